//! Condition types of WorkOrder and Agent, and the reasons the server gives with them.
//!
//! Reasons of a failure come from the reason table and are not repeated here.

/// An agent could claim the order: some agent is targeted, serves the type and has room.
pub const SCHEDULABLE: &str = "Schedulable";
/// An agent holds the order.
pub const CLAIMED: &str = "Claimed";
/// The order has succeeded; what `kubectl wait --for=condition=Complete` waits for, as for Jobs.
pub const COMPLETE: &str = "Complete";
/// True when bad: the order failed or was cancelled.
pub const FAILED: &str = "Failed";
/// True when bad: the holder of an order that must not run twice has stopped renewing its claim.
pub const HOLDER_UNREACHABLE: &str = "HolderUnreachable";

/// Types the server owns on a WorkOrder; other controllers may write any other.
pub const WORK_ORDER_TYPES: [&str; 5] = [SCHEDULABLE, CLAIMED, COMPLETE, FAILED, HOLDER_UNREACHABLE];

/// The agent has been in touch within its lease. The server's.
pub const READY: &str = "Ready";
/// The engines the agent needs for its work types are installed. The agent's.
pub const PREREQUISITES: &str = "Prerequisites";

/// Reason of Schedulable: some agent matches and serves the type.
pub const AGENT_AVAILABLE: &str = "AgentAvailable";
/// Reason of Schedulable: no agent matches the targets.
pub const NO_AGENT_TARGETED: &str = "NoAgentTargeted";
/// Reason of Schedulable: no targeted agent serves the work type.
pub const WORK_TYPE_NOT_SERVED: &str = "WorkTypeNotServed";
/// Reason of Schedulable: every targeted agent has been at its concurrency for 30 seconds.
pub const AGENTS_AT_CAPACITY: &str = "AgentsAtCapacity";
/// Reason of Schedulable: `spec.suspend` is true.
pub const SUSPENDED: &str = "Suspended";
/// Reason of Schedulable: the backoff has not passed.
pub const BACKOFF: &str = "Backoff";

/// Reason of Claimed: an agent holds the order.
pub const HELD: &str = "Held";
/// Reason of Claimed: the order went back to the queue.
pub const REQUEUED: &str = "Requeued";
/// Reason of Claimed: the order has finished.
pub const FINISHED: &str = "Finished";

/// Reason of HolderUnreachable: the lease has run out.
pub const LEASE_EXPIRED: &str = "LeaseExpired";
/// Reason of HolderUnreachable: the holder renewed its claim again.
pub const RENEWED: &str = "Renewed";

/// Reason of Complete: the order succeeded.
pub const SUCCEEDED: &str = "Succeeded";
