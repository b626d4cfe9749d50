//! The aggregated API server of `work.brokkr.io`.

pub mod lifecycle;
pub mod queue;
pub mod registry;
