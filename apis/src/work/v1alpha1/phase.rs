//! The phases of a WorkOrder.

use crate::string_enum::string_enum;

string_enum! {
    /// Where an order is in its life.
    #[derive(Default)]
    closed WorkOrderPhase {
        /// Waiting to be claimed.
        #[default]
        Pending = "Pending",
        /// Held by an agent that has not started the run yet.
        Claimed = "Claimed",
        /// The run has started.
        Running = "Running",
        /// Failed, and waiting for the backoff to pass.
        RetryPending = "RetryPending",
        /// The end was asked for; the holder is stopping the run.
        Cancelling = "Cancelling",
        /// Terminal: the work was done.
        Succeeded = "Succeeded",
        /// Terminal: the work failed for good.
        Failed = "Failed",
        /// Terminal: the work was cancelled.
        Cancelled = "Cancelled",
    }
}

impl WorkOrderPhase {
    /// Whether the order has ended; a terminal phase never changes.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether an agent holds the order.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Claimed | Self::Running | Self::Cancelling)
    }
}
