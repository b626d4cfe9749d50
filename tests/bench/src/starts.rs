//! From the start of the process until it is ready, and its memory when nothing is asked of it.

use std::time::Duration;

use anyhow::Result;

use crate::client::Target;
use crate::options::Options;
use crate::progress;
use crate::sample::milliseconds;
use crate::server::Server;

/// How long it idles before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// What the starts gave, one number for each.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// Milliseconds until ready, on a database that is up to date.
    pub(crate) ready: Vec<f64>,
    /// MiB after idling.
    pub(crate) memory: Vec<f64>,
}

pub(crate) async fn measure(options: &Options, target: &Target) -> Result<Starts> {
    let mut starts = Starts::default();
    for _ in 0..options.repeats {
        let server = Server::start(options, target).await?;
        starts.ready.push(milliseconds(server.ready_after));
        tokio::time::sleep(if options.smoke { Duration::ZERO } else { IDLE }).await;
        starts.memory.push(server.memory()?);
        server.end().await?;
        progress(&format!(
            "ready after {:.0} ms; {:.1} MiB when idle",
            starts.ready.last().copied().unwrap_or(f64::NAN),
            starts.memory.last().copied().unwrap_or(f64::NAN)
        ));
    }
    Ok(starts)
}
