//! Writing a transition into the object.
//!
//! Times in an object have whole seconds, as everywhere in Kubernetes; the queue columns keep the exact ones. What is
//! rounded is rounded so that nobody comes too early.

use brokkr_apis::work::v1alpha1::{
    Attempt, CANCELLATION_FINALIZER, Cancellation, ClaimStatus, CompletionOutcome, Progress, WorkOrder,
    WorkOrderCompletionSpec, WorkOrderPhase, WorkOrderStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::conditions::set_conditions;
use super::{AttemptEnd, Claim, Effect, Ending, Event, Transition, log_name};

/// How many attempts a status remembers.
const ATTEMPTS_MAX: usize = 10;

impl Transition {
    /// Writes what has become of the order into its status and its metadata. `event` is the one the transition came
    /// from. Applying nothing but a lease's renewal changes nothing.
    pub fn apply(&self, order: &mut WorkOrder, event: &Event, now: Timestamp) {
        let generation = order.metadata.generation;
        let name = log_name(
            order.metadata.name.as_deref().unwrap_or_default(),
            order.metadata.uid.as_deref().unwrap_or_default(),
        );
        let status = order.status.get_or_insert_default();
        status.phase = self.next.phase;
        status.observed_generation = generation;
        status.retry_count = self.next.retry_count;
        status.lost_attempts = self.next.lost_attempts;
        status.next_retry_after = self.next.next_retry_after.map(next_second);
        status.claim = self.next.claim.as_ref().map(claim_status);
        if let Some(message) = &self.message {
            status.message.clone_from(message);
        }
        for effect in &self.effects {
            self.apply_to_status(effect, status, event, now);
            apply_to_metadata(effect, &mut order.metadata, now);
        }
        if self.log_entry().is_some() {
            status.completion_time = Some(second(now));
            status.log_name = Some(name);
        }
        set_conditions(self, status, generation, now);
    }

    fn apply_to_status(&self, effect: &Effect, status: &mut WorkOrderStatus, event: &Event, now: Timestamp) {
        match effect {
            Effect::AttemptStarted { number } => self.start_attempt(*number, status, now),
            Effect::AttemptEnded(attempt_end) => end_attempt(attempt_end, status, event, now),
            Effect::SetLease { holder, fence, .. } => {
                if let Some(attempt) = status.attempts.last_mut() {
                    attempt.holder.clone_from(holder);
                    attempt.fence = *fence;
                }
            }
            Effect::RecordProgress => {
                if let Event::Progress { progress, .. } = event {
                    record_progress(progress, status);
                }
            }
            Effect::RecordCancellation(ending) => {
                let waiting = self.next.phase == WorkOrderPhase::Cancelling;
                status.cancellation = Some(cancellation(ending, waiting, now));
            }
            Effect::SetCancelDeadline { at } => {
                if let Some(cancellation) = &mut status.cancellation {
                    cancellation.deadline = Some(next_second(*at));
                }
            }
            Effect::WriteLogEntry(_)
            | Effect::RenewLease { .. }
            | Effect::MarkLapsed
            | Effect::ClearLapsed
            | Effect::DropLease
            | Effect::ExcludeAgent { .. }
            | Effect::MakeClaimable
            | Effect::ScheduleRetry { .. }
            | Effect::RingHolder { .. }
            | Effect::BeginDeletion
            | Effect::SetExpiry { .. }
            | Effect::DeleteObject => {}
        }
    }

    fn start_attempt(&self, number: i64, status: &mut WorkOrderStatus, now: Timestamp) {
        let Some(claim) = &self.next.claim else { return };
        status.start_time.get_or_insert_with(|| second(now));
        // Only the latest attempt keeps its actions; ten times all of them would outgrow the object.
        if let Some(previous) = status.attempts.last_mut() {
            previous.actions.clear();
        }
        status.attempts.push(Attempt {
            number,
            agent: claim.agent.clone(),
            holder: claim.holder.clone(),
            fence: claim.fence,
            claimed_at: Some(second(now)),
            ..Attempt::default()
        });
        let excess = status.attempts.len().saturating_sub(ATTEMPTS_MAX);
        status.attempts.drain(..excess);
    }
}

fn end_attempt(attempt_end: &AttemptEnd, status: &mut WorkOrderStatus, event: &Event, now: Timestamp) {
    let Some(attempt) = status.attempts.last_mut() else {
        return;
    };
    attempt.ended_at = Some(second(now));
    attempt.outcome = Some(attempt_end.outcome);
    attempt.class = attempt_end.class;
    attempt.reason.clone_from(&attempt_end.reason);
    attempt.rule = attempt_end.rule.map(str::to_owned);
    if let Event::Completed(report) = event {
        record_report(report, attempt);
        if report.outcome == CompletionOutcome::Succeeded {
            status.results.clone_from(&report.results);
        }
    } else {
        attempt.child_confirmed_ended = Some(false);
    }
}

fn record_report(report: &WorkOrderCompletionSpec, attempt: &mut Attempt) {
    attempt.source_reason.clone_from(&report.source_reason);
    attempt.exit_code = report.exit_code;
    attempt.scope = report.scope;
    attempt.execution_started = report.execution_started;
    attempt.message.clone_from(&report.message);
    // A run that did its work has ended, whether its agent said so or not.
    let succeeded = report.outcome == CompletionOutcome::Succeeded;
    attempt.child_confirmed_ended = if succeeded {
        Some(true)
    } else {
        report.child_confirmed_ended
    };
}

fn record_progress(progress: &Progress, status: &mut WorkOrderStatus) {
    if let Some(child) = &progress.child_ref
        && child.kind == "BuildRun"
    {
        status.build_run_name = Some(child.name.clone());
    }
    let Some(attempt) = status.attempts.last_mut() else {
        return;
    };
    if progress.phase.is_some() {
        attempt.execution_started = Some(status.phase != WorkOrderPhase::Claimed);
    }
    if let Some(message) = &progress.message {
        attempt.message.clone_from(message);
    }
    if let Some(child) = &progress.child_ref {
        attempt.child = Some(child.clone());
    }
    if !progress.actions.is_empty() {
        attempt.actions.clone_from(&progress.actions);
    }
}

fn apply_to_metadata(effect: &Effect, metadata: &mut ObjectMeta, now: Timestamp) {
    let finalizers = metadata.finalizers.get_or_insert_default();
    match effect {
        Effect::BeginDeletion => {
            if !finalizers
                .iter()
                .any(|finalizer| finalizer == CANCELLATION_FINALIZER)
            {
                finalizers.push(CANCELLATION_FINALIZER.to_owned());
            }
            mark_deleted(metadata, now);
        }
        Effect::DeleteObject => {
            finalizers.retain(|finalizer| finalizer != CANCELLATION_FINALIZER);
            mark_deleted(metadata, now);
        }
        _ => {}
    }
    if metadata.finalizers.as_ref().is_some_and(Vec::is_empty) {
        metadata.finalizers = None;
    }
}

/// The time to confirm the end is a queue column, so that the object says 0, as for every kind without graceful
/// deletion of its own.
fn mark_deleted(metadata: &mut ObjectMeta, now: Timestamp) {
    if metadata.deletion_timestamp.is_none() {
        metadata.deletion_timestamp = Some(second(now));
        metadata.deletion_grace_period_seconds = Some(0);
    }
}

fn claim_status(claim: &Claim) -> ClaimStatus {
    ClaimStatus {
        agent: claim.agent.clone(),
        holder: claim.holder.clone(),
        fence: claim.fence,
        claimed_at: second(claim.claimed_at),
        lease_duration_seconds: claim.lease_seconds,
    }
}

fn cancellation(ending: &Ending, waiting: bool, now: Timestamp) -> Cancellation {
    Cancellation {
        cause: ending.cause,
        requested_by: ending.by.clone(),
        reason: ending.reason.clone(),
        requested_at: second(now),
        deadline: waiting.then(|| next_second(ending.deadline)),
    }
}

/// The second a time lies in.
pub(crate) fn second(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// The first whole second that is not before a time.
fn next_second(time: Timestamp) -> Time {
    let floor = second(time);
    if floor.0 == time {
        return floor;
    }
    let next = floor.0.checked_add(SignedDuration::from_secs(1));
    Time(next.unwrap_or(Timestamp::MAX))
}
