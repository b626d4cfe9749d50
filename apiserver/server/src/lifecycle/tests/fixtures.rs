//! States, events and a readable form of what comes out.

use brokkr_apis::work::defaults::RetryLimits;
use brokkr_apis::work::v1alpha1::{
    CancellationCause, CompletionOutcome, Fence, Progress, ProgressPhase, SideEffects,
    WorkOrderCompletionSpec, WorkOrderPhase, WorkType,
};
use k8s_openapi::jiff::Timestamp;

use crate::lifecycle::{
    Claim, ClaimRequest, Effect, Ending, Event, Moment, Refusal, State, Transition, transition,
};

/// The fence of the claim in every held state.
pub(super) const FENCE: Fence = Fence(100);
/// A fence that was current once.
pub(super) const OLD_FENCE: Fence = Fence(50);
/// The version a new claim is written at.
pub(super) const NEXT_FENCE: Fence = Fence(200);

/// A time on a common clock, in seconds.
pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A moment without jitter.
pub(super) fn at(seconds: i64) -> Moment {
    Moment {
        now: time(seconds),
        jitter: 0.0,
    }
}

/// An idempotent job in a phase; it was claimed at 0 by process `h` of agent `edge-1` with a lease of a minute.
pub(super) fn state(phase: WorkOrderPhase) -> State {
    let mut state = State {
        phase,
        suspended: false,
        deleting: false,
        namespace_terminating: false,
        another_agent_targeted: false,
        work_type: Some(WorkType::Job),
        side_effects: SideEffects::Idempotent,
        retry_on: Vec::new(),
        never_retry_on: Vec::new(),
        limits: RetryLimits {
            max_retries: 3,
            backoff_seconds: 60,
            max_backoff_seconds: 3600,
            max_lost_attempts: 3,
        },
        retry_count: 0,
        lost_attempts: 0,
        attempts_made: 0,
        claim: None,
        ending: None,
        next_retry_after: None,
        settled_fences: Vec::new(),
        claim_timeout_seconds: 3600,
        deadline: Some(time(7200)),
        completed_at: None,
        ttl_seconds: Some(3600),
    };
    if phase.is_held() {
        state.attempts_made = 1;
        state.claim = Some(Claim {
            agent: "edge-1".to_owned(),
            holder: "h".to_owned(),
            fence: FENCE,
            claimed_at: time(0),
            lease_seconds: 60,
            expires_at: time(60),
            lapsed: false,
        });
    }
    match phase {
        WorkOrderPhase::RetryPending => {
            (state.attempts_made, state.retry_count) = (1, 1);
            state.next_retry_after = Some(time(60));
            state.settled_fences = vec![OLD_FENCE];
        }
        WorkOrderPhase::Cancelling => {
            state.ending = Some(Ending {
                cause: CancellationCause::Cancel,
                by: "alice".to_owned(),
                reason: "not needed".to_owned(),
                deadline: time(60),
            });
        }
        WorkOrderPhase::Succeeded | WorkOrderPhase::Failed | WorkOrderPhase::Cancelled => {
            state.attempts_made = 1;
            state.completed_at = Some(time(0));
            state.settled_fences = vec![OLD_FENCE];
        }
        WorkOrderPhase::Pending | WorkOrderPhase::Claimed | WorkOrderPhase::Running => {}
    }
    state
}

/// The same order, but one that must not run twice.
pub(super) fn harmful(phase: WorkOrderPhase) -> State {
    State {
        side_effects: SideEffects::NonIdempotent,
        ..state(phase)
    }
}

pub(super) fn claim_by(agent: &str, holder: &str, takeover: bool) -> Event {
    Event::Claimed(ClaimRequest {
        agent: agent.to_owned(),
        holder: holder.to_owned(),
        fence: NEXT_FENCE,
        takeover,
        lease_seconds: 60,
    })
}

pub(super) fn running(fence: Fence) -> Event {
    let progress = Progress {
        phase: Some(ProgressPhase::Running),
        ..Progress::default()
    };
    Event::Progress {
        fence,
        progress: Box::new(progress),
    }
}

/// A report of a run that had started and was seen to end.
pub(super) fn report(fence: Fence, outcome: CompletionOutcome, reason: &str) -> WorkOrderCompletionSpec {
    WorkOrderCompletionSpec {
        uid: "u".to_owned(),
        fence,
        outcome,
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        execution_started: Some(true),
        child_confirmed_ended: Some(true),
        ..WorkOrderCompletionSpec::default()
    }
}

pub(super) fn succeeded(fence: Fence) -> Event {
    Event::Completed(Box::new(report(fence, CompletionOutcome::Succeeded, "")))
}

pub(super) fn failed(reason: &str) -> Event {
    Event::Completed(Box::new(report(FENCE, CompletionOutcome::Failed, reason)))
}

pub(super) fn cancelled(fence: Fence) -> Event {
    Event::Completed(Box::new(report(fence, CompletionOutcome::Cancelled, "")))
}

pub(super) fn released(fence: Option<Fence>, force: bool) -> Event {
    Event::Released {
        fence,
        by: "bob".to_owned(),
        reason: "draining".to_owned(),
        force,
    }
}

pub(super) fn cancel() -> Event {
    Event::CancelRequested {
        by: "alice".to_owned(),
        reason: "not needed".to_owned(),
    }
}

pub(super) fn delete(grace_seconds: Option<i64>) -> Event {
    Event::DeleteRequested {
        by: "alice".to_owned(),
        grace_seconds,
    }
}

pub(super) fn finalizer_removed() -> Event {
    Event::FinalizerRemoved {
        by: "alice".to_owned(),
    }
}

/// Runs a transition that is expected to be accepted.
pub(super) fn accepted(state: &State, event: &Event, seconds: i64) -> Transition {
    transition(state, event, at(seconds)).unwrap_or_else(|refusal| panic!("{event:?} refused: {refusal}"))
}

/// What comes out, in a line: `Phase: Effect, Effect`, `unchanged`, or `!Refusal`.
pub(super) fn outcome(state: &State, event: &Event, seconds: i64) -> String {
    match transition(state, event, at(seconds)) {
        Ok(step) if step.effects.is_empty() && step.next == *state => "unchanged".to_owned(),
        Ok(step) => {
            let effects: Vec<_> = step.effects.iter().map(effect_name).collect();
            format!("{}: {}", step.phase(), effects.join(", "))
                .trim_end_matches(": ")
                .to_owned()
        }
        Err(refusal) => format!("!{}", refusal_name(&refusal)),
    }
}

fn effect_name(effect: &Effect) -> &'static str {
    match effect {
        Effect::AttemptStarted { .. } => "AttemptStarted",
        Effect::AttemptEnded(_) => "AttemptEnded",
        Effect::SetLease { .. } => "SetLease",
        Effect::RenewLease { .. } => "RenewLease",
        Effect::MarkLapsed => "MarkLapsed",
        Effect::ClearLapsed => "ClearLapsed",
        Effect::DropLease => "DropLease",
        Effect::ExcludeAgent { .. } => "ExcludeAgent",
        Effect::MakeClaimable => "MakeClaimable",
        Effect::ScheduleRetry { .. } => "ScheduleRetry",
        Effect::RingHolder { .. } => "RingHolder",
        Effect::RecordProgress => "RecordProgress",
        Effect::RecordCancellation(_) => "RecordCancellation",
        Effect::SetCancelDeadline { .. } => "SetCancelDeadline",
        Effect::BeginDeletion => "BeginDeletion",
        Effect::WriteLogEntry(_) => "WriteLogEntry",
        Effect::SetExpiry { .. } => "SetExpiry",
        Effect::DeleteObject => "DeleteObject",
    }
}

fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Held { .. } => "Held",
        Refusal::HeldByOtherProcess { .. } => "HeldByOtherProcess",
        Refusal::NotDue { .. } => "NotDue",
        Refusal::Suspended => "Suspended",
        Refusal::Finished { .. } => "Finished",
        Refusal::FenceSpent => "FenceSpent",
        Refusal::NamespaceTerminating => "NamespaceTerminating",
        Refusal::ExecutionStarted => "ExecutionStarted",
        Refusal::NotHeld => "NotHeld",
        Refusal::Superseded => "Superseded",
        Refusal::NotFinished => "NotFinished",
    }
}
