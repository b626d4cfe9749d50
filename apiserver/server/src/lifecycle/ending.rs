//! Ends that are asked for: cancel, DELETE, the order's deadline, its TTL. And suspending, which only postpones.

use brokkr_apis::work::v1alpha1::reasons::{CANCELLED, DEADLINE_EXCEEDED};
use brokkr_apis::work::v1alpha1::{
    AttemptOutcome, CancellationCause, FailureClass, LogOutcome, WorkOrderPhase,
};
use generic_apiserver::mutant;
use k8s_openapi::jiff::Timestamp;

use super::completion::{cancelled_entry, end_attempt, finish};
use super::effect::{AttemptEnd, Effect, LogEntry, Transition};
use super::state::after;
use super::{Ending, Moment, Refusal, State};

/// How long a holder has to confirm the end when the request says nothing.
pub const CANCEL_GRACE_SECONDS: i64 = 60;
/// The longest time a request may give it.
const GRACE_SECONDS_MAX: i64 = 3600;
/// The shortest time other than none: a holder learns of the end from its doorbell, which takes a moment.
const GRACE_SECONDS_MIN: i64 = 5;

/// How long a holder has to confirm the end: `gracePeriodSeconds` of a DELETE, brought into its range.
pub fn grace_seconds(requested: Option<i64>) -> i64 {
    match requested {
        None => CANCEL_GRACE_SECONDS,
        Some(0) => 0,
        Some(seconds) => seconds.clamp(GRACE_SECONDS_MIN, GRACE_SECONDS_MAX),
    }
}

/// `spec.cancel` was set.
pub(super) fn cancel_requested(
    state: &State,
    by: &str,
    reason: &str,
    at: Moment,
) -> Result<Transition, Refusal> {
    let ending = Ending {
        cause: CancellationCause::Cancel,
        by: by.to_owned(),
        reason: reason.to_owned(),
        deadline: after(at.now, CANCEL_GRACE_SECONDS),
    };
    match state.phase {
        WorkOrderPhase::Pending | WorkOrderPhase::RetryPending => Ok(end_unclaimed(state, ending, at)),
        WorkOrderPhase::Claimed | WorkOrderPhase::Running => Ok(begin_ending(state, ending)),
        // The end was asked for already, or has come; the spec may say so too, but nothing follows from it.
        WorkOrderPhase::Cancelling
        | WorkOrderPhase::Succeeded
        | WorkOrderPhase::Failed
        | WorkOrderPhase::Cancelled => Ok(Transition::unchanged(state)),
    }
}

/// The object was deleted.
pub(super) fn delete_requested(
    state: &State,
    by: &str,
    requested: Option<i64>,
    at: Moment,
) -> Result<Transition, Refusal> {
    let grace = grace_seconds(requested);
    let ending = Ending {
        cause: CancellationCause::Delete,
        by: by.to_owned(),
        reason: String::new(),
        deadline: after(at.now, grace),
    };
    let mut state = state.clone();
    match state.phase {
        WorkOrderPhase::Pending | WorkOrderPhase::RetryPending => {
            state.deleting = true;
            Ok(end_unclaimed(&state, ending, at))
        }
        WorkOrderPhase::Claimed | WorkOrderPhase::Running if grace == 0 => {
            state.deleting = true;
            state.ending = Some(ending.clone());
            let step = end_unconfirmed(&state, "ForcedDelete", at).with(Effect::RecordCancellation(ending));
            Ok(step.saying(format!("deleted by {by} without waiting")))
        }
        WorkOrderPhase::Claimed | WorkOrderPhase::Running => {
            state.deleting = true;
            let step = begin_ending(&state, ending);
            Ok(step.with(Effect::BeginDeletion))
        }
        WorkOrderPhase::Cancelling => delete_while_cancelling(&state, by, grace, at),
        WorkOrderPhase::Succeeded | WorkOrderPhase::Failed | WorkOrderPhase::Cancelled if state.deleting => {
            Ok(Transition::unchanged(&state))
        }
        WorkOrderPhase::Succeeded | WorkOrderPhase::Failed | WorkOrderPhase::Cancelled => {
            state.deleting = true;
            Ok(Transition::unchanged(&state).with(Effect::DeleteObject))
        }
    }
}

/// A further DELETE may only shorten the time; the first request stays on record.
fn delete_while_cancelling(state: &State, by: &str, grace: i64, at: Moment) -> Result<Transition, Refusal> {
    let mut state = state.clone();
    let was_deleting = std::mem::replace(&mut state.deleting, true);
    if grace == 0 {
        return Ok(
            end_unconfirmed(&state, "ForcedDelete", at).saying(format!("deleted by {by} without waiting"))
        );
    }
    let deadline = after(at.now, grace);
    let mut step = Transition::unchanged(&state);
    if let Some(ending) = &mut step.next.ending
        && (deadline < ending.deadline || mutant!("i8-second-delete-lengthens"))
    {
        ending.deadline = deadline;
        step = step.with(Effect::SetCancelDeadline { at: deadline });
    }
    Ok(if was_deleting {
        step
    } else {
        step.with(Effect::BeginDeletion)
    })
}

/// Our finalizer was removed by hand: somebody does not want to wait for the confirmation.
pub(super) fn finalizer_removed(state: &State, by: &str, at: Moment) -> Result<Transition, Refusal> {
    match state.phase {
        WorkOrderPhase::Cancelling if state.deleting => {
            let message = format!("the finalizer was removed by {by}");
            Ok(end_unconfirmed(state, "FinalizerRemoved", at).saying(message))
        }
        WorkOrderPhase::Cancelling
        | WorkOrderPhase::Pending
        | WorkOrderPhase::Claimed
        | WorkOrderPhase::Running
        | WorkOrderPhase::RetryPending
        | WorkOrderPhase::Succeeded
        | WorkOrderPhase::Failed
        | WorkOrderPhase::Cancelled => Ok(Transition::unchanged(state)),
    }
}

/// The holder has not confirmed in time.
pub(super) fn cancel_deadline_reached(state: &State, at: Moment) -> Result<Transition, Refusal> {
    match (state.phase, &state.ending) {
        (WorkOrderPhase::Cancelling, Some(ending)) if at.now < ending.deadline => Err(Refusal::NotDue {
            until: ending.deadline,
        }),
        (WorkOrderPhase::Cancelling, _) => Ok(end_unconfirmed(state, "CancelDeadline", at)),
        (
            WorkOrderPhase::Pending
            | WorkOrderPhase::Claimed
            | WorkOrderPhase::Running
            | WorkOrderPhase::RetryPending
            | WorkOrderPhase::Succeeded
            | WorkOrderPhase::Failed
            | WorkOrderPhase::Cancelled,
            _,
        ) => Err(Refusal::Superseded),
    }
}

/// The order has lasted too long as a whole.
pub(super) fn deadline_reached(state: &State, at: Moment) -> Result<Transition, Refusal> {
    let until = state.deadline.ok_or(Refusal::Superseded)?;
    let ending = |deadline: Timestamp| Ending {
        cause: CancellationCause::Deadline,
        by: String::new(),
        reason: "spec.activeDeadlineSeconds passed".to_owned(),
        deadline,
    };
    match state.phase {
        WorkOrderPhase::Cancelling
        | WorkOrderPhase::Succeeded
        | WorkOrderPhase::Failed
        | WorkOrderPhase::Cancelled => Err(Refusal::Superseded),
        _ if at.now < until => Err(Refusal::NotDue { until }),
        WorkOrderPhase::Pending | WorkOrderPhase::RetryPending => {
            Ok(end_unclaimed(state, ending(at.now), at))
        }
        WorkOrderPhase::Claimed | WorkOrderPhase::Running => {
            Ok(begin_ending(state, ending(after(at.now, CANCEL_GRACE_SECONDS))))
        }
    }
}

/// The finished order has been visible long enough.
pub(super) fn ttl_elapsed(state: &State, at: Moment) -> Result<Transition, Refusal> {
    if !state.phase.is_terminal() {
        return Err(Refusal::NotFinished);
    }
    match state.expires_at() {
        _ if state.deleting => Err(Refusal::Superseded),
        None => Err(Refusal::Superseded),
        Some(until) if at.now < until => Err(Refusal::NotDue { until }),
        Some(_) => {
            let mut step = Transition::unchanged(state);
            step.next.deleting = true;
            Ok(step.with(Effect::DeleteObject))
        }
    }
}

/// `spec.suspend` became true: the order leaves the queue; a claimed one runs on.
pub(super) fn suspended(state: &State) -> Transition {
    let mut step = Transition::unchanged(state);
    step.next.suspended = true;
    if state.phase == WorkOrderPhase::Pending && !state.suspended {
        step = step.saying("suspended; set spec.suspend to false to let it be claimed");
    }
    step
}

/// `spec.suspend` became false: the order is back in the queue.
pub(super) fn resumed(state: &State) -> Transition {
    let mut step = Transition::unchanged(state);
    step.next.suspended = false;
    if state.suspended && step.next.is_claimable() {
        step = step
            .with(Effect::MakeClaimable)
            .saying("resumed; waiting to be claimed");
    }
    step
}

/// Asks the holder to stop, and gives it until the deadline.
fn begin_ending(state: &State, ending: Ending) -> Transition {
    let mut step = Transition::unchanged(state);
    step.next.phase = WorkOrderPhase::Cancelling;
    let deadline = Effect::SetCancelDeadline { at: ending.deadline };
    step = step
        .with(Effect::RecordCancellation(ending.clone()))
        .with(deadline);
    if let Some(claim) = &state.claim {
        step = step.with(Effect::RingHolder {
            agent: claim.agent.clone(),
        });
    }
    let message = format!("{}; waiting for the agent to stop the run", describe(&ending));
    step.next.ending = Some(ending);
    step.saying(message)
}

/// Ends an order nobody holds; nothing has to be stopped first.
fn end_unclaimed(state: &State, ending: Ending, at: Moment) -> Transition {
    let mut step = Transition::unchanged(state);
    step.next.ending = Some(ending.clone());
    end(step.with(Effect::RecordCancellation(ending)), false, at)
}

/// Ends an order whose holder has not confirmed that its run has ended.
fn end_unconfirmed(state: &State, rule: &'static str, at: Moment) -> Transition {
    let attempt_end = AttemptEnd {
        outcome: AttemptOutcome::Unknown,
        class: Some(FailureClass::Cancelled),
        reason: Some(CANCELLED.to_owned()),
        rule: Some(rule),
    };
    end(end_attempt(state, attempt_end, true), true, at)
}

/// Ends an order whose end was asked for: Failed if its own deadline did, Cancelled otherwise.
pub(super) fn end(step: Transition, outcome_unknown: bool, at: Moment) -> Transition {
    let cause = step.next.ending.as_ref().map(|ending| ending.cause);
    let message = step.next.ending.as_ref().map(describe).unwrap_or_default();
    let unknown = if outcome_unknown {
        "; nobody has seen the run end"
    } else {
        ""
    };
    let entry = match cause {
        Some(CancellationCause::Deadline) => LogEntry {
            outcome: LogOutcome::Failed,
            class: Some(FailureClass::Permanent),
            reason: DEADLINE_EXCEEDED.to_owned(),
            outcome_unknown,
        },
        Some(CancellationCause::Cancel | CancellationCause::Delete) | None => {
            cancelled_entry(outcome_unknown)
        }
    };
    finish(step, entry, at).saying(format!("{message}{unknown}"))
}

fn describe(ending: &Ending) -> String {
    let why = if ending.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", ending.reason)
    };
    match ending.cause {
        CancellationCause::Cancel => format!("cancelled by {}{why}", ending.by),
        CancellationCause::Delete => format!("deleted by {}", ending.by),
        CancellationCause::Deadline => "the order's deadline (spec.activeDeadlineSeconds) passed".to_owned(),
    }
}
