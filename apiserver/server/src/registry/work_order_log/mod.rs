//! The permanent log: one entry for each order that ran or was cancelled. Read-only for everyone.

pub mod strategy;
pub mod table;

pub use strategy::WorkOrderLogStrategy;
