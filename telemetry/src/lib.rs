//! What a process says of itself: metrics with their descriptions, and the context of a trace.
//!
//! Shared by the API server library and the agent, which share nothing else but the API's types. There is
//! no global state: a part owns the handles of its metrics and registers them with the one
//! [`MetricsRegistry`] of its process. Left out: an HTTP server (each process has its own listener and its
//! own rule for who may read), and exporters of spans.

pub mod process;
mod readings;
mod registry;
pub mod trace_context;

pub use readings::{Reading, Readings};
pub use registry::{Described, Kind, MetricsRegistry, TEXT_FORMAT, Untyped};
pub use trace_context::TraceContext;

/// The crate whose counters, gauges and histograms are registered.
pub use prometheus_client;
