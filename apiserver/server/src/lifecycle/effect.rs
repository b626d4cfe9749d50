//! What comes out of an event: the new state and what is to be written beside it.

use brokkr_apis::work::v1alpha1::{AttemptOutcome, FailureClass, Fence, LogOutcome, WorkOrderPhase};
use k8s_openapi::jiff::Timestamp;

use super::{Ending, State};

/// What becomes of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The order afterwards.
    pub next: State,
    /// What is written beside it in the same transaction, in this order.
    pub effects: Vec<Effect>,
    /// What `status.message` says afterwards; None leaves it.
    pub message: Option<String>,
}

/// Something that is written beside the order, or done after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An attempt begins: a new row of attempts.
    AttemptStarted {
        /// Its number.
        number: i64,
    },
    /// The running attempt ends: its row is completed.
    AttemptEnded(AttemptEnd),
    /// The order's lease row is now this one, whatever it was before.
    SetLease {
        /// The agent that holds the claim.
        agent: String,
        /// The process that holds it.
        holder: String,
        /// The fence of the claim.
        fence: Fence,
        /// When the lease runs out.
        expires_at: Timestamp,
    },
    /// The lease row lives on until then.
    RenewLease {
        /// When the lease runs out.
        expires_at: Timestamp,
    },
    /// The lease has run out, but the order must not run twice: the lease row stays, with its fence and marked lapsed,
    /// so that its holder may still renew or complete.
    MarkLapsed,
    /// The holder of a lapsed lease is back: the mark goes.
    ClearLapsed,
    /// The lease row goes; its fence is spent.
    DropLease,
    /// The agent is not offered this order again.
    ExcludeAgent {
        /// The agent.
        agent: String,
    },
    /// The order may be claimed: it gets its turn, and idle agents are rung.
    MakeClaimable,
    /// The order waits for its next attempt.
    ScheduleRetry {
        /// When it may be claimed.
        until: Timestamp,
    },
    /// The agent is rung, because its claim is to end or has ended.
    RingHolder {
        /// The agent.
        agent: String,
    },
    /// What the holder reported is recorded: message, child and actions.
    RecordProgress,
    /// Who asked for the end of the order is recorded.
    RecordCancellation(Ending),
    /// The order ends then, whether its holder has confirmed or not.
    SetCancelDeadline {
        /// When.
        at: Timestamp,
    },
    /// The object gets our finalizer and its deletionTimestamp, and stays until the run has ended.
    BeginDeletion,
    /// The one entry of this order is written to the log.
    WriteLogEntry(LogEntry),
    /// The finished order disappears then; never, without a time.
    SetExpiry {
        /// When.
        at: Option<Timestamp>,
    },
    /// Our finalizer goes, and the object with it unless somebody else's finalizer is left.
    DeleteObject,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// How the failure was classed.
    pub class: Option<FailureClass>,
    /// The normalised reason; for a release, the words of who released it.
    pub reason: Option<String>,
    /// The rule that decided.
    pub rule: Option<&'static str>,
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Succeeded, Failed or Cancelled.
    pub outcome: LogOutcome,
    /// How the last failure was classed.
    pub class: Option<FailureClass>,
    /// The normalised reason.
    pub reason: String,
    /// Whether nobody saw the run end.
    pub outcome_unknown: bool,
}

impl Transition {
    /// An event that is accepted and changes nothing, such as a repeated request.
    pub(super) fn unchanged(state: &State) -> Self {
        Self {
            next: state.clone(),
            effects: Vec::new(),
            message: None,
        }
    }

    /// The phase afterwards.
    pub fn phase(&self) -> WorkOrderPhase {
        self.next.phase
    }

    /// The log entry to write, if the order has just ended.
    pub fn log_entry(&self) -> Option<&LogEntry> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::WriteLogEntry(entry) => Some(entry),
            _ => None,
        })
    }

    /// Whether an event with a new version of the object must be written; a bare renewal changes its lease row alone.
    pub fn changes_object(&self) -> bool {
        let row_only = |effect: &Effect| matches!(effect, Effect::RenewLease { .. });
        self.message.is_some() || !self.effects.iter().all(row_only)
    }

    pub(super) fn with(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    pub(super) fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}
