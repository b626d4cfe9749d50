//! What the state machine knows of an order.
//!
//! The object in the store and a few queue columns say everything; [`State::of`] reads them, and
//! [`Transition::apply`](super::Transition::apply) writes them back.

use brokkr_apis::work::defaults::RetryLimits;
use brokkr_apis::work::v1alpha1::reasons::Policy;
use brokkr_apis::work::v1alpha1::{
    AttemptOutcome, CancellationCause, Fence, SideEffects, WorkOrder, WorkOrderPhase, WorkOrderStatus,
    WorkType,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// An order, as far as its life is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Where the order is in its life.
    pub phase: WorkOrderPhase,
    /// Whether `spec.suspend` is set.
    pub suspended: bool,
    /// Whether the object has a deletionTimestamp.
    pub deleting: bool,
    /// Whether the namespace is being deleted.
    pub namespace_terminating: bool,
    /// Whether an agent other than the holder is targeted and not excluded.
    pub another_agent_targeted: bool,
    /// The work type; None for one this version does not know.
    pub work_type: Option<WorkType>,
    /// Whether running twice may do harm.
    pub side_effects: SideEffects,
    /// `retryPolicy.retryOn`.
    pub retry_on: Vec<String>,
    /// `retryPolicy.neverRetryOn`.
    pub never_retry_on: Vec<String>,
    /// The numbers of the retry policy.
    pub limits: RetryLimits,
    /// How many failed attempts were charged to maxRetries.
    pub retry_count: i64,
    /// How many attempts were charged to maxLostAttempts.
    pub lost_attempts: i64,
    /// The number of the latest attempt; 0 before the first.
    pub attempts_made: i64,
    /// Who holds the order, exactly while the phase is Claimed, Running or Cancelling.
    pub claim: Option<Claim>,
    /// The end that was asked for, while the phase is Cancelling.
    pub ending: Option<Ending>,
    /// When the next attempt may be claimed, while the phase is RetryPending.
    pub next_retry_after: Option<Timestamp>,
    /// Fences whose completion was accepted, as far as the object remembers; repeating one is answered, not refused.
    pub settled_fences: Vec<Fence>,
    /// `claimTimeoutSeconds`.
    pub claim_timeout_seconds: i64,
    /// When `activeDeadlineSeconds` passes.
    pub deadline: Option<Timestamp>,
    /// When the order reached a terminal phase.
    pub completed_at: Option<Timestamp>,
    /// `ttlSecondsAfterFinished`; None for ever.
    pub ttl_seconds: Option<i64>,
}

/// Who holds an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The name of the Agent object.
    pub agent: String,
    /// The random id of the agent process.
    pub holder: String,
    /// The fence of the claim.
    pub fence: Fence,
    /// When the attempt was claimed.
    pub claimed_at: Timestamp,
    /// How long the lease lasts.
    pub lease_seconds: i64,
    /// When the lease runs out without a renewal.
    pub expires_at: Timestamp,
    /// Whether the lease has run out and is kept because the order must not run twice.
    pub lapsed: bool,
}

/// An end that was asked for while somebody held the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What asked for it.
    pub cause: CancellationCause,
    /// The user who asked; empty for the order's own deadline.
    pub by: String,
    /// Why, in the user's words.
    pub reason: String,
    /// When the order ends even without a confirmation.
    pub deadline: Timestamp,
}

/// What the queue's row knows beyond the object, by the database's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueColumns {
    /// When the lease runs out; the row of the lease.
    pub lease_expires_at: Option<Timestamp>,
    /// Whether the lease is marked lapsed.
    pub lapsed: bool,
    /// When the next attempt may be claimed.
    pub next_retry_after: Option<Timestamp>,
    /// When the order ends even without a confirmation.
    pub cancel_deadline: Option<Timestamp>,
    /// Whether the namespace is being deleted.
    pub namespace_terminating: bool,
    /// Whether an agent other than the holder is targeted and not excluded.
    pub another_agent_targeted: bool,
}

impl State {
    /// Reads an order and its queue columns.
    pub fn of(order: &WorkOrder, columns: &QueueColumns) -> Self {
        // Borrowed, because attempts and results may be large and a batch reads a hundred orders under the lock.
        let unset = WorkOrderStatus::default();
        let status = order.status.as_ref().unwrap_or(&unset);
        let reported = |outcome| {
            matches!(
                outcome,
                AttemptOutcome::Succeeded | AttemptOutcome::Failed | AttemptOutcome::Cancelled
            )
        };
        let settled = status
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome.is_some_and(reported));
        let policy = Policy::of(&order.spec);
        let deadline = order
            .spec
            .active_deadline_seconds
            .zip(order.metadata.creation_timestamp.as_ref());
        Self {
            phase: status.phase,
            suspended: order.spec.is_suspended(),
            deleting: order.metadata.deletion_timestamp.is_some(),
            namespace_terminating: columns.namespace_terminating,
            another_agent_targeted: columns.another_agent_targeted,
            work_type: policy.work_type,
            side_effects: policy.side_effects,
            retry_on: policy.retry_on.to_vec(),
            never_retry_on: policy.never_retry_on.to_vec(),
            limits: order.spec.retry_limits(),
            retry_count: status.retry_count,
            lost_attempts: status.lost_attempts,
            attempts_made: status.attempts.last().map_or(0, |attempt| attempt.number),
            claim: claim_of(order, columns),
            ending: ending_of(order, columns),
            next_retry_after: columns.next_retry_after,
            settled_fences: settled.map(|attempt| attempt.fence).collect(),
            claim_timeout_seconds: order.spec.claim_timeout_seconds_or_default(),
            deadline: deadline.map(|(seconds, created)| after(created.0, seconds)),
            completed_at: status.completion_time.as_ref().map(|time| time.0),
            ttl_seconds: order.spec.ttl_seconds(),
        }
    }

    /// The same order under the limits of a spec that a user has just changed.
    #[must_use]
    pub fn under_spec_of(self, changed: &WorkOrder) -> Self {
        let changed = Self::of(changed, &QueueColumns::default());
        Self {
            limits: changed.limits,
            deadline: changed.deadline,
            ttl_seconds: changed.ttl_seconds,
            ..self
        }
    }

    /// Whether an agent may claim the order now.
    pub fn is_claimable(&self) -> bool {
        self.phase == WorkOrderPhase::Pending
            && !self.suspended
            && !self.deleting
            && !self.namespace_terminating
    }

    /// When the running attempt reaches its cap.
    pub fn attempt_deadline(&self) -> Option<Timestamp> {
        self.claim
            .as_ref()
            .map(|claim| after(claim.claimed_at, self.claim_timeout_seconds))
    }

    /// When the finished order disappears; None while it has not finished, and for ever.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.completed_at
            .zip(self.ttl_seconds)
            .map(|(completed_at, ttl)| after(completed_at, ttl))
    }

    /// Whether running twice may do harm; a word this version does not know is taken for the worse case.
    pub(super) fn may_do_harm(&self) -> bool {
        !matches!(self.side_effects, SideEffects::None | SideEffects::Idempotent)
    }

    /// What the order says about failures.
    pub(super) fn policy(&self) -> Policy<'_> {
        Policy {
            retry_on: &self.retry_on,
            never_retry_on: &self.never_retry_on,
            side_effects: self.side_effects.clone(),
            work_type: self.work_type,
        }
    }
}

/// A time so many seconds later; the end of time rather than an overflow.
pub(super) fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

fn claim_of(order: &WorkOrder, columns: &QueueColumns) -> Option<Claim> {
    let claim = order.status.as_ref()?.claim.as_ref()?;
    let expires_at = || after(claim.claimed_at.0, claim.lease_duration_seconds);
    Some(Claim {
        agent: claim.agent.clone(),
        holder: claim.holder.clone(),
        fence: claim.fence,
        claimed_at: claim.claimed_at.0,
        lease_seconds: claim.lease_duration_seconds,
        expires_at: columns.lease_expires_at.unwrap_or_else(expires_at),
        lapsed: columns.lapsed,
    })
}

/// The end that was asked for; once the order has finished it is history and no longer part of the state.
fn ending_of(order: &WorkOrder, columns: &QueueColumns) -> Option<Ending> {
    let status = order
        .status
        .as_ref()
        .filter(|status| status.phase == WorkOrderPhase::Cancelling)?;
    let cancellation = status.cancellation.as_ref()?;
    let recorded = cancellation
        .deadline
        .as_ref()
        .unwrap_or(&cancellation.requested_at)
        .0;
    Some(Ending {
        cause: cancellation.cause,
        by: cancellation.requested_by.clone(),
        reason: cancellation.reason.clone(),
        deadline: columns.cancel_deadline.unwrap_or(recorded),
    })
}
