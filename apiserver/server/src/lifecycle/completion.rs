//! How attempts end, and whether another follows.

use brokkr_apis::work::v1alpha1::reasons::{
    self, AGENT_LOST, CANCELLED, Decision, Failure, NAMESPACE_TERMINATING, TIMEOUT,
};
use brokkr_apis::work::v1alpha1::{
    AttemptOutcome, CompletionOutcome, FailureClass, LogOutcome, WorkOrderCompletionSpec, WorkOrderPhase,
};
use generic_apiserver::mutant;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::claim::{current, requeue};
use super::effect::{AttemptEnd, Effect, LogEntry, Transition};
use super::ending::end;
use super::{Moment, Refusal, State};

/// The holder reports how the run ended.
pub(super) fn completed(
    state: &State,
    report: &WorkOrderCompletionSpec,
    at: Moment,
) -> Result<Transition, Refusal> {
    if state.settled_fences.contains(&report.fence) {
        return Ok(Transition::unchanged(state));
    }
    current(state, report.fence)?;
    let mut step = match report.outcome {
        CompletionOutcome::Succeeded => succeed(state, report, at),
        CompletionOutcome::Cancelled => cancelled(state, report, at),
        CompletionOutcome::Failed => failed(state, report, at),
    };
    step.next.settled_fences.push(report.fence);
    Ok(step)
}

fn succeed(state: &State, report: &WorkOrderCompletionSpec, at: Moment) -> Transition {
    let attempt_end = AttemptEnd {
        outcome: AttemptOutcome::Succeeded,
        class: None,
        reason: None,
        rule: None,
    };
    let entry = LogEntry {
        outcome: LogOutcome::Succeeded,
        class: None,
        reason: "Succeeded".to_owned(),
        outcome_unknown: false,
    };
    let message = if report.message.is_empty() {
        "the work is done"
    } else {
        report.message.as_str()
    };
    // A success counts even while the order is being cancelled: the work was done.
    finish(end_attempt(state, attempt_end, false), entry, at).saying(message)
}

/// The run was stopped: by us, because the end was asked for, or behind our back.
fn cancelled(state: &State, report: &WorkOrderCompletionSpec, at: Moment) -> Transition {
    let attempt_end = AttemptEnd {
        outcome: AttemptOutcome::Cancelled,
        class: Some(FailureClass::Cancelled),
        reason: Some(CANCELLED.to_owned()),
        rule: Some("Cancelled"),
    };
    let step = end_attempt(state, attempt_end, false);
    let outcome_unknown = report.child_confirmed_ended == Some(false);
    if state.phase == WorkOrderPhase::Cancelling {
        return end(step, outcome_unknown, at);
    }
    let message = if report.message.is_empty() {
        "the run was cancelled in its cluster"
    } else {
        &report.message
    };
    finish(step, cancelled_entry(outcome_unknown), at).saying(message)
}

pub(super) fn cancelled_entry(outcome_unknown: bool) -> LogEntry {
    LogEntry {
        outcome: LogOutcome::Cancelled,
        class: Some(FailureClass::Cancelled),
        reason: CANCELLED.to_owned(),
        outcome_unknown,
    }
}

fn failed(state: &State, report: &WorkOrderCompletionSpec, at: Moment) -> Transition {
    let failure = Failure::reported(report);
    let decision = reasons::decide(&failure, &state.policy());
    let outcome = match decision.class {
        FailureClass::Cancelled => AttemptOutcome::Cancelled,
        FailureClass::Permanent | FailureClass::Retryable | FailureClass::RetryableNotCharged => {
            AttemptOutcome::Failed
        }
    };
    let step = end_attempt(state, attempt_end(outcome, &failure, decision), false);
    if state.phase == WorkOrderPhase::Cancelling {
        return end(step, !failure.child_confirmed_ended, at);
    }
    let message = if report.message.is_empty() {
        failure.reason
    } else {
        &report.message
    };
    decide_next(step, holder(state), &failure, decision, message, at)
}

/// The agent that holds the order.
fn holder(state: &State) -> &str {
    state
        .claim
        .as_ref()
        .map(|claim| claim.agent.as_str())
        .unwrap_or_default()
}

fn attempt_end(outcome: AttemptOutcome, failure: &Failure<'_>, decision: Decision) -> AttemptEnd {
    AttemptEnd {
        outcome,
        class: Some(decision.class),
        reason: Some(failure.reason.to_owned()),
        rule: Some(decision.rule),
    }
}

/// The attempt has lasted too long. Nobody saw the run end, so it may still be alive.
pub(super) fn attempt_cap_reached(state: &State, at: Moment) -> Result<Transition, Refusal> {
    match state.phase {
        WorkOrderPhase::Claimed | WorkOrderPhase::Running => {}
        // While cancelling, the cancel's own deadline is the shorter one.
        WorkOrderPhase::Pending
        | WorkOrderPhase::RetryPending
        | WorkOrderPhase::Cancelling
        | WorkOrderPhase::Succeeded
        | WorkOrderPhase::Failed
        | WorkOrderPhase::Cancelled => return Err(Refusal::Superseded),
    }
    let until = state.attempt_deadline().ok_or(Refusal::Superseded)?;
    if at.now < until {
        return Err(Refusal::NotDue { until });
    }
    let lapsed = state.claim.as_ref().is_some_and(|claim| claim.lapsed);
    let failure = Failure::unobserved(if lapsed { AGENT_LOST } else { TIMEOUT });
    let decision = reasons::decide(&failure, &state.policy());
    let step = end_attempt(
        state,
        attempt_end(AttemptOutcome::Unknown, &failure, decision),
        true,
    );
    let message = format!(
        "the attempt reached its cap of {} seconds",
        state.claim_timeout_seconds
    );
    Ok(decide_next(step, holder(state), &failure, decision, &message, at))
}

/// Sends a failed order back to the queue, to its backoff, or to its end.
fn decide_next(
    step: Transition,
    agent: &str,
    failure: &Failure<'_>,
    decision: Decision,
    message: &str,
    at: Moment,
) -> Transition {
    let unknown = !failure.child_confirmed_ended;
    if decision.class == FailureClass::Cancelled {
        return finish(step, cancelled_entry(unknown), at).saying(message);
    }
    if step.next.namespace_terminating {
        return fail_for_namespace(step, unknown, at);
    }
    if decision.elsewhere && step.next.another_agent_targeted {
        let message = format!("failed on agent {agent}, which is not asked again: {message}");
        return requeue(step.with(Effect::ExcludeAgent {
            agent: agent.to_owned(),
        }))
        .saying(message);
    }
    match decision.class {
        FailureClass::Retryable
            if step.next.retry_count
                < step.next.limits.max_retries + i64::from(mutant!("i8-one-retry-too-many")) =>
        {
            let wait = backoff(&step.next, at.jitter);
            retry(step, wait, Account::Retries, message, at)
        }
        FailureClass::RetryableNotCharged if step.next.lost_attempts < step.next.limits.max_lost_attempts => {
            let wait = backoff(&step.next, at.jitter);
            retry(step, wait, Account::LostAttempts, message, at)
        }
        FailureClass::Permanent
        | FailureClass::Retryable
        | FailureClass::RetryableNotCharged
        | FailureClass::Cancelled => {
            finish(step, failed_entry(failure.reason, decision.class, unknown), at).saying(message)
        }
    }
}

/// Which counter a retry is charged to.
#[derive(Clone, Copy)]
enum Account {
    Retries,
    LostAttempts,
}

fn retry(
    mut step: Transition,
    wait: SignedDuration,
    account: Account,
    message: &str,
    at: Moment,
) -> Transition {
    let next = &mut step.next;
    let (counter, limit, what) = match account {
        Account::Retries => (&mut next.retry_count, next.limits.max_retries, "retry"),
        Account::LostAttempts => (
            &mut next.lost_attempts,
            next.limits.max_lost_attempts,
            "lost attempt",
        ),
    };
    *counter += 1;
    let count = *counter;
    let until = at.now.checked_add(wait).unwrap_or(Timestamp::MAX);
    next.phase = WorkOrderPhase::RetryPending;
    next.next_retry_after = Some(until);
    let message = format!("{message}; {what} {count} of {limit} in {} s", wait.as_secs());
    step.with(Effect::ScheduleRetry { until }).saying(message)
}

/// How long the next attempt waits: `backoffSeconds` doubled for every retry made, capped, and up to ten percent more.
pub fn backoff(state: &State, jitter: f64) -> SignedDuration {
    let limits = state.limits;
    let doublings = u32::try_from(state.retry_count).unwrap_or(0).min(62);
    let seconds = limits
        .backoff_seconds
        .saturating_mul(1 << doublings)
        .min(limits.max_backoff_seconds);
    let milliseconds = seconds.saturating_mul(1000);
    // Rounded to milliseconds; the range keeps a caller's mistake from becoming a panic.
    let extra = milliseconds as f64 * 0.1 * jitter.clamp(0.0, 1.0);
    SignedDuration::from_millis(milliseconds.saturating_add(extra as i64))
}

/// The wait is over.
pub(super) fn backoff_elapsed(state: &State, at: Moment) -> Result<Transition, Refusal> {
    match state.phase {
        WorkOrderPhase::RetryPending => {}
        WorkOrderPhase::Claimed if mutant!("i8-stale-retry-timer") => {}
        WorkOrderPhase::Pending
        | WorkOrderPhase::Claimed
        | WorkOrderPhase::Running
        | WorkOrderPhase::Cancelling
        | WorkOrderPhase::Succeeded
        | WorkOrderPhase::Failed
        | WorkOrderPhase::Cancelled => return Err(Refusal::Superseded),
    }
    if let Some(until) = state.next_retry_after.filter(|until| at.now < *until) {
        return Err(Refusal::NotDue { until });
    }
    let mut step = Transition::unchanged(state);
    step.next.next_retry_after = None;
    if state.namespace_terminating {
        return Ok(fail_for_namespace(step, false, at));
    }
    Ok(requeue(step).saying("the backoff is over; waiting to be claimed"))
}

/// Ends the running attempt and drops its lease. `ring` tells the holder, who does not know yet.
pub(super) fn end_attempt(state: &State, attempt_end: AttemptEnd, ring: bool) -> Transition {
    let mut step = Transition::unchanged(state)
        .with(Effect::AttemptEnded(attempt_end))
        .with(Effect::DropLease);
    if let Some(claim) = step.next.claim.take()
        && ring
    {
        step = step.with(Effect::RingHolder { agent: claim.agent });
    }
    step
}

fn failed_entry(reason: &str, class: FailureClass, outcome_unknown: bool) -> LogEntry {
    LogEntry {
        outcome: LogOutcome::Failed,
        class: Some(class),
        reason: reason.to_owned(),
        outcome_unknown,
    }
}

/// Ends the order as failed, without anybody having seen its run end.
pub(super) fn fail_unobserved(step: Transition, reason: &str, class: FailureClass, at: Moment) -> Transition {
    finish(step, failed_entry(reason, class, true), at)
}

/// Ends the order as failed because its namespace is being deleted and nothing is requeued there.
pub(super) fn fail_for_namespace(step: Transition, outcome_unknown: bool, at: Moment) -> Transition {
    let entry = failed_entry(NAMESPACE_TERMINATING, FailureClass::Permanent, outcome_unknown);
    finish(step, entry, at).saying("the namespace is being deleted, so the order is not tried again")
}

/// Ends the order: one log entry, and an expiry or the end of the object.
pub(super) fn finish(mut step: Transition, entry: LogEntry, at: Moment) -> Transition {
    let next = &mut step.next;
    next.phase = match entry.outcome {
        LogOutcome::Succeeded => WorkOrderPhase::Succeeded,
        LogOutcome::Failed => WorkOrderPhase::Failed,
        LogOutcome::Cancelled => WorkOrderPhase::Cancelled,
    };
    next.completed_at = Some(at.now);
    next.next_retry_after = None;
    next.ending = None;
    let gone = next.deleting || next.ttl_seconds == Some(0);
    next.deleting = gone;
    let expiry = next.expires_at();
    let step = step.with(Effect::WriteLogEntry(entry));
    step.with(if gone {
        Effect::DeleteObject
    } else {
        Effect::SetExpiry { at: expiry }
    })
}
