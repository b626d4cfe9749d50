//! Log lines to standard error, for people or as JSON.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::options::{LogFormat, LogLevel};

/// Starts logging. The HTTP client and its connections speak only when everything is asked for.
pub fn init(format: LogFormat, level: LogLevel) {
    let (own, others) = match level {
        LogLevel::Error => (Level::ERROR, Level::ERROR),
        LogLevel::Warn => (Level::WARN, Level::WARN),
        LogLevel::Info => (Level::INFO, Level::WARN),
        LogLevel::Debug => (Level::DEBUG, Level::WARN),
        LogLevel::Trace => (Level::TRACE, Level::TRACE),
    };
    // The HTTP client logs as errors what the agent copes with and logs itself.
    let client = if level == LogLevel::Trace {
        LevelFilter::TRACE
    } else {
        LevelFilter::OFF
    };
    let filter = Targets::new()
        .with_default(others)
        .with_target("brokkr_agent", own)
        .with_target("kube_client", client);
    let layer = match format {
        LogFormat::Text => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .init();
}
