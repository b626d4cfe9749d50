//! The queue.
mod digest;
mod order;
mod rows;
mod written;
pub mod claim;
pub mod report;
pub mod ring;
pub mod targets;
