//! The queue: what is decided over many orders at once under the version lock.

pub mod claim;
pub(crate) mod digest;
mod order;
pub(crate) mod rows;
pub(crate) mod written;
