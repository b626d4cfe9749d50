//! Orders: the resource, what one request of a user does to one order, and the claim protocol by name.
//!
//! What becomes of an order is decided in [`crate::lifecycle`]; what runs over many orders at once is in
//! [`crate::queue`].

pub mod claim;
pub mod complete;
mod create;
mod delete;
mod idempotency;
pub mod release;
pub mod renew;
mod roster;
mod schedulable;
mod strategy;
pub mod table;
mod update;
mod writes;

pub use claim::WorkOrderClaims;
pub use complete::WorkOrderCompletions;
pub use release::WorkOrderReleases;
pub use renew::WorkOrderRenewals;
pub use strategy::WorkOrderStrategy;
