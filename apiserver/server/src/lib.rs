//! The aggregated API server of `work.brokkr.io`.

pub mod events;
pub mod lifecycle;
pub mod queue;
pub mod registry;
