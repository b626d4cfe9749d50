//! Why a run failed, and what that means for the order: the one table shared by server, agent and documentation.
//!
//! An agent translates what its engine said into a *normalised reason* ([`from_source`]) and sends both. The server
//! decides from the normalised reason, never from message text, and stores the rule that decided with the attempt.
//!
//! Rules are asked in this order; the first that applies decides:
//!
//! | rule | applies when | class |
//! |---|---|---|
//! | `Cancelled` | the reason is Cancelled | Cancelled |
//! | `Final` | the order has no future (NamespaceTerminating, DeadlineExceeded) | Permanent |
//! | `NeverRetryOn` | `retryPolicy.neverRetryOn` names the failure | Permanent |
//! | `RunMayBeAlive` | the run was not seen to end, and running twice may do harm | Permanent |
//! | `RetryOn` | `retryPolicy.retryOn` names the failure | Retryable |
//! | `CutShort` | the run was cut off half-way, and running twice may do harm | Permanent |
//! | `BuildStep` | TaskFailed of a build: the same step fails again | Permanent |
//! | `SideEffects` | TaskFailed or a reason not in the table: running twice may do harm, or not | either |
//! | `Table` | the table names a class | as there |
//!
//! What it leaves out: budgets. Whether a retryable failure is retried depends on the attempts already made, which is
//! the state machine's business.

mod table;
#[cfg(test)]
mod tests;

use super::{FailureClass, FailureScope, SideEffects, WorkOrderCompletionSpec, WorkOrderSpec, WorkType};

pub use table::*;

/// One row of the table of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The normalised reason.
    pub name: &'static str,
    /// What it means for the order.
    pub class: ReasonClass,
    /// Where the failure lies unless the agent says otherwise.
    pub scope: FailureScope,
    /// Whether the run was cut off at an arbitrary point, so that its side effects may be half done.
    pub cuts_short: bool,
    /// The words of the engines it is derived from.
    pub sources: &'static [&'static str],
    /// What a person should do about it.
    pub advice: &'static str,
}

/// What a reason means for the order, before policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonClass {
    /// Trying again cannot help, unless `retryOn` says it does.
    Permanent,
    /// The order has no future; not even `retryOn` can change that.
    Final,
    /// Trying again may help; charged to maxRetries.
    Retryable,
    /// Trying again may help, and the order is not to blame; charged to maxLostAttempts.
    RetryableNotCharged,
    /// The run was stopped on request.
    Cancelled,
    /// Depends on the work type and its side effects.
    ByPolicy,
}

/// A failed run, as its agent described it.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The normalised reason.
    pub reason: &'a str,
    /// The reason as the engine gave it.
    pub source_reason: Option<&'a str>,
    /// The exit code of the failing container.
    pub exit_code: Option<i32>,
    /// Where the failure lies, if the agent said so.
    pub scope: Option<FailureScope>,
    /// Whether the run had started.
    pub execution_started: bool,
    /// Whether the run was seen to have ended.
    pub child_confirmed_ended: bool,
}

/// What the order says about failures.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    /// Failures that are retried.
    pub retry_on: &'a [String],
    /// Failures that are never retried.
    pub never_retry_on: &'a [String],
    /// Whether running twice may do harm.
    pub side_effects: SideEffects,
    /// The work type; None if this version does not know it.
    pub work_type: Option<WorkType>,
}

/// What a failure means for the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the order may be tried again, and on whose account.
    pub class: FailureClass,
    /// Whether the agent is to blame, so that the order may be tried on another agent at once, whatever the class.
    pub elsewhere: bool,
    /// The rule that decided.
    pub rule: &'static str,
}

impl<'a> Failure<'a> {
    /// The failure a completion reports. What the agent left out is taken for the worse case.
    pub fn reported(completion: &'a WorkOrderCompletionSpec) -> Self {
        let execution_started = completion.execution_started.unwrap_or(true);
        Self {
            reason: completion.reason.as_deref().unwrap_or(UNKNOWN),
            source_reason: completion.source_reason.as_deref(),
            exit_code: completion.exit_code,
            scope: completion.scope,
            execution_started,
            child_confirmed_ended: completion.child_confirmed_ended.unwrap_or(!execution_started),
        }
    }

    /// A failure the server found by itself: nobody saw how the run ended.
    pub fn unobserved(reason: &'a str) -> Self {
        Self {
            reason,
            source_reason: None,
            exit_code: None,
            scope: Some(FailureScope::Order),
            execution_started: true,
            child_confirmed_ended: false,
        }
    }

    /// Whether a list of a retry policy names the failure: by its reason, by the engine's, or as `ExitCode:<number>`.
    fn is_named_in(&self, list: &[String]) -> bool {
        list.iter().any(|entry| match entry.strip_prefix("ExitCode:") {
            Some(code) => code
                .parse()
                .ok()
                .is_some_and(|code: i32| self.exit_code == Some(code)),
            None => entry == self.reason || Some(entry.as_str()) == self.source_reason,
        })
    }
}

impl<'a> Policy<'a> {
    /// The policy of an order, defaults included.
    pub fn of(spec: &'a WorkOrderSpec) -> Self {
        let policy = spec.retry_policy.as_ref();
        Self {
            retry_on: policy.map_or(&[], |policy| &policy.retry_on),
            never_retry_on: policy.map_or(&[], |policy| &policy.never_retry_on),
            side_effects: spec.side_effects_or_default(),
            work_type: spec.canonical_work_type(),
        }
    }

    /// Whether running twice may do harm; a word this version does not know is taken for the worse case.
    fn may_do_harm(&self) -> bool {
        match self.side_effects {
            SideEffects::None | SideEffects::Idempotent => false,
            SideEffects::NonIdempotent | SideEffects::Unsupported(_) => true,
        }
    }
}

/// The row of a normalised reason.
pub fn lookup(reason: &str) -> Option<&'static Reason> {
    TABLE.iter().find(|row| row.name == reason)
}

/// The normalised reason of an engine's word, for words that mean the same wherever they occur.
pub fn from_source(source_reason: &str) -> Option<&'static Reason> {
    TABLE.iter().find(|row| row.sources.contains(&source_reason))
}

/// What a failure means for the order.
pub fn decide(failure: &Failure<'_>, policy: &Policy<'_>) -> Decision {
    let row = lookup(failure.reason);
    let (class, rule) = class_and_rule(failure, policy, row);
    let scope = failure
        .scope
        .or(row.map(|row| row.scope))
        .unwrap_or(FailureScope::Order);
    // A failure of the agent's cluster says nothing about other clusters, unless the work may be half done already.
    let repeatable = !policy.may_do_harm() || (failure.child_confirmed_ended && !failure.execution_started);
    let decided_by_failure = matches!(rule, "Table" | "SideEffects" | "RetryOn");
    Decision {
        class,
        elsewhere: scope == FailureScope::Agent && repeatable && decided_by_failure,
        rule,
    }
}

/// Asks the rules in the order of the module's table.
fn class_and_rule(
    failure: &Failure<'_>,
    policy: &Policy<'_>,
    row: Option<&Reason>,
) -> (FailureClass, &'static str) {
    let class = row.map_or(ReasonClass::ByPolicy, |row| row.class);
    if class == ReasonClass::Cancelled {
        return (FailureClass::Cancelled, "Cancelled");
    }
    if class == ReasonClass::Final {
        return (FailureClass::Permanent, "Final");
    }
    if failure.is_named_in(policy.never_retry_on) {
        return (FailureClass::Permanent, "NeverRetryOn");
    }
    if policy.may_do_harm() && !failure.child_confirmed_ended {
        return (FailureClass::Permanent, "RunMayBeAlive");
    }
    if failure.is_named_in(policy.retry_on) {
        return (FailureClass::Retryable, "RetryOn");
    }
    if policy.may_do_harm() && failure.execution_started && row.is_some_and(|row| row.cuts_short) {
        return (FailureClass::Permanent, "CutShort");
    }
    match class {
        ReasonClass::Permanent | ReasonClass::Final => (FailureClass::Permanent, "Table"),
        ReasonClass::Retryable => (FailureClass::Retryable, "Table"),
        ReasonClass::RetryableNotCharged => (FailureClass::RetryableNotCharged, "Table"),
        ReasonClass::Cancelled => (FailureClass::Cancelled, "Table"),
        ReasonClass::ByPolicy => by_policy(failure, policy),
    }
}

/// Decides what the table leaves to the order: the work itself failed, or for a reason nobody knows.
fn by_policy(failure: &Failure<'_>, policy: &Policy<'_>) -> (FailureClass, &'static str) {
    if failure.reason == TASK_FAILED && policy.work_type == Some(WorkType::Build) {
        return (FailureClass::Permanent, "BuildStep");
    }
    if policy.may_do_harm() {
        (FailureClass::Permanent, "SideEffects")
    } else {
        (FailureClass::Retryable, "SideEffects")
    }
}
