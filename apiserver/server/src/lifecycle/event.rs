//! Everything that may happen to an order after its creation.

use brokkr_apis::work::v1alpha1::{Fence, Progress, WorkOrderCompletionSpec};

/// Something that happens to an order. The caller has found the order by uid and checked who asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An agent claims the order.
    Claimed(ClaimRequest),
    /// The holder reports progress; a renewal as well.
    Progress {
        /// The fence the holder carries.
        fence: Fence,
        /// What has changed.
        progress: Box<Progress>,
    },
    /// The holder renews its claim and nothing else. Written only when the claim had lapsed; a plain renewal of a lease
    /// row needs no transition.
    Renewed {
        /// The fence the holder carries.
        fence: Fence,
    },
    /// The holder reports how the run ended.
    Completed(Box<WorkOrderCompletionSpec>),
    /// The holder gives the order back, or an operator takes it.
    Released {
        /// The fence the holder carries; not looked at with force.
        fence: Option<Fence>,
        /// The user who asks.
        by: String,
        /// Why.
        reason: String,
        /// Whether an operator takes the order, whatever its holder is doing.
        force: bool,
    },
    /// The lease of the claim with this fence ran out; the caller holds its row.
    LeaseLost {
        /// The fence of the lease row.
        fence: Fence,
    },
    /// The attempt has lasted `claimTimeoutSeconds`.
    AttemptCapReached,
    /// The order has lasted `activeDeadlineSeconds`.
    DeadlineReached,
    /// The wait before the next attempt is over.
    BackoffElapsed,
    /// `spec.cancel` was set.
    CancelRequested {
        /// The user who set it.
        by: String,
        /// Why.
        reason: String,
    },
    /// The object was deleted.
    DeleteRequested {
        /// The user who deleted it.
        by: String,
        /// `gracePeriodSeconds` of the request.
        grace_seconds: Option<i64>,
    },
    /// The finalizer `work.brokkr.io/cancellation` was removed by hand.
    FinalizerRemoved {
        /// The user who removed it.
        by: String,
    },
    /// The holder has had its time to confirm the end.
    CancelDeadlineReached,
    /// The finished order has been visible for its time.
    TtlElapsed,
    /// `spec.suspend` became true.
    Suspended,
    /// `spec.suspend` became false.
    Resumed,
}

/// Who claims an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The name of the Agent object.
    pub agent: String,
    /// The random id of the agent process.
    pub holder: String,
    /// The version the claim is written at, which becomes its fence if it is granted.
    pub fence: Fence,
    /// Whether a claim of another process of the same agent is taken over.
    pub takeover: bool,
    /// How long the claim lives without a renewal.
    pub lease_seconds: i64,
}
