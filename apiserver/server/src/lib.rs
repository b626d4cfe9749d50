//! The aggregated API server of `work.brokkr.io`.

pub mod config;
pub mod events;
pub mod high_water_mark;
pub mod install;
pub mod lifecycle;
pub mod logging;
pub mod migrate;
pub mod options;
pub mod queue;
pub mod registry;
pub mod server;
