//! Why an event does nothing.

use brokkr_apis::work::v1alpha1::WorkOrderPhase;
use k8s_openapi::jiff::Timestamp;

/// Why an event does nothing. For requests each of these is a conflict (409) and the text is the client's message; for
/// sweeps it means that somebody else was faster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else holds the order.
    #[error("the order is held by agent {agent}{}", until_clause(*.until))]
    Held {
        /// The agent that holds it.
        agent: String,
        /// When the claim ends without a further renewal.
        until: Option<Timestamp>,
    },
    /// Another process of the same agent holds the order.
    #[error("the order is held by another process of agent {agent}; set takeover to take it over")]
    HeldByOtherProcess {
        /// The agent that holds it.
        agent: String,
        /// The process that holds it.
        holder: String,
    },
    /// It is too early.
    #[error("not due until {until}")]
    NotDue {
        /// When it will be time.
        until: Timestamp,
    },
    /// `spec.suspend` is set.
    #[error("the order is suspended; set spec.suspend to false to let it be claimed")]
    Suspended,
    /// The order has ended.
    #[error("the order has finished with phase {phase}")]
    Finished {
        /// The terminal phase.
        phase: WorkOrderPhase,
    },
    /// The fence is not the one of the current claim.
    #[error("the claim this request carries is no longer current; stop the work or detach from it")]
    FenceSpent,
    /// The namespace is being deleted.
    #[error("the namespace is being deleted; nothing can be claimed in it")]
    NamespaceTerminating,
    /// The run has started, and running it twice may do harm.
    #[error("the run has started and must not run twice; complete the order instead, or force the release")]
    ExecutionStarted,
    /// Nobody holds the order.
    #[error("the order is not claimed, so there is nothing to release")]
    NotHeld,
    /// The order has moved on; only sweeps see this.
    #[error("the order has moved on")]
    Superseded,
    /// The order has not ended; only sweeps see this.
    #[error("the order has not finished")]
    NotFinished,
}

fn until_clause(until: Option<Timestamp>) -> String {
    until
        .map(|until| format!(" until {until} unless it renews its claim"))
        .unwrap_or_default()
}
