//! Agents: members of the fleet, and the doorbell that each of them watches.
//!
//! Written by fleet administrators; the agent of that name reports into `status`.

pub mod claim;
pub mod complete;
pub mod pending;
pub mod renew;
pub mod strategy;
pub mod table;

pub use claim::AgentClaims;
pub use complete::AgentCompletions;
pub use pending::PendingOrders;
pub use renew::AgentRenewals;
pub use strategy::AgentStrategy;
