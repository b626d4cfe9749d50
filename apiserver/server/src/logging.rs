//! The log of the process, on standard error.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

use crate::options::{LogFormat, LogLevel};

/// Starts logging; called once.
pub fn start(format: LogFormat, level: LogLevel) {
    let builder = fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::from(level))
        .with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
