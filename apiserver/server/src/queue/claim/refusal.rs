//! Why a claim is not granted.

use brokkr_apis::work::v1alpha1::Fence;
use jiff::Timestamp;

use crate::lifecycle::Refusal;
use crate::queue::order::LeaseRow;

/// Why a claim is not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// There is no such Agent.
    #[error("the agent does not exist")]
    NoAgent,
    /// There is no such order.
    #[error("the order does not exist")]
    NoOrder,
    /// The request id was used for another request.
    #[error("requestID was used for another claim less than ten minutes ago; use a new one for a new claim")]
    RequestReused,
    /// What was granted to this request id has ended.
    #[error(
        "the claim that was granted to this requestID is no longer current; use a new one for a new claim"
    )]
    RequestSpent,
    /// The agent is not among the targets of the order.
    #[error(
        "the order's targets do not match the agent; compare spec.targets with the agent's labels and annotations"
    )]
    NotTargeted,
    /// The agent does not serve the work type.
    #[error("the agent does not serve work type {0:?}; see spec.workTypes of the agent")]
    NotServed(String),
    /// An earlier failure has excluded the agent.
    #[error(
        "the agent is excluded from this order after a failure in its cluster; another targeted agent may claim it"
    )]
    Excluded,
    /// The agent may not claim more.
    #[error("the agent is unschedulable; set spec.unschedulable of the agent to false to let it claim")]
    Unschedulable,
    /// The agent holds as many orders as it may.
    #[error(
        "the agent holds {held} orders and may hold {limit}; complete one first or raise spec.concurrency"
    )]
    AtCapacity {
        /// How many it holds of those that count.
        held: i64,
        /// How many it may.
        limit: i64,
    },
    /// The order's state forbids it.
    #[error("{refusal}{}", .held.as_ref().map(HeldBy::clause).unwrap_or_default())]
    State {
        /// What the state machine says.
        refusal: Refusal,
        /// Who holds it, if anybody does.
        held: Option<HeldBy>,
    },
}

/// Who holds an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    /// The agent.
    pub agent: String,
    /// Its process.
    pub holder: String,
    /// The fence of the claim.
    pub fence: Fence,
    /// When the claim ends without a renewal.
    pub expires_at: Timestamp,
}

impl HeldBy {
    pub(crate) fn of(lease: &LeaseRow) -> Self {
        Self {
            agent: lease.agent.clone(),
            holder: lease.holder.clone(),
            fence: lease.fence,
            expires_at: lease.expires_at,
        }
    }

    fn clause(&self) -> String {
        format!(
            " (holder {}, fence {}, expires {})",
            self.holder, self.fence, self.expires_at
        )
    }
}
