//! Orders: what may be created, changed and deleted, and what is written with it.
//!
//! What becomes of an order is decided in [`crate::lifecycle`]; what runs over many orders at once is in
//! [`crate::queue`]. Here is what one request of a user does to one order.

mod create;
mod delete;
mod idempotency;
mod roster;
mod schedulable;
mod strategy;
pub mod table;
mod update;
mod writes;

pub use strategy::WorkOrderStrategy;
