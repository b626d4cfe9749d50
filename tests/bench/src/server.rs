//! The process under test: its start, its end, and what it needs of memory.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::client::Target;
use crate::options::Options;
use crate::usage;

/// The longest a start may take; the first one also migrates the database.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between two looks whether it is ready: short against what is measured.
const READY_INTERVAL: Duration = Duration::from_millis(2);

/// A running server; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// From the start of the process until it called itself ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts the server and waits until it is ready.
    pub(crate) async fn start(options: &Options, target: &Target) -> Result<Self> {
        let (program, flags) = options.server.split_first().context("no server is given")?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(&options.server_log)?;
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{program} could not be started"))?;
        while !is_ready(target).await {
            if let Some(status) = child.try_wait()? {
                bail!(
                    "{program} ended with {status}; see {}",
                    options.server_log.display()
                );
            }
            if started.elapsed() > READY_TIMEOUT {
                bail!("{program} was not ready within {READY_TIMEOUT:?}");
            }
            tokio::time::sleep(READY_INTERVAL).await;
        }
        Ok(Self {
            child,
            ready_after: started.elapsed(),
        })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Its resident memory, in MiB.
    pub(crate) fn memory(&self) -> Result<f64> {
        usage::resident_mib(self.pid()?)
    }

    /// Ends it; nothing waits for a drain.
    pub(crate) async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Whether it answers and calls itself ready.
async fn is_ready(target: &Target) -> bool {
    let Ok(mut connection) = target.connect("bench").await else {
        return false;
    };
    let answer = connection.get("/readyz").await;
    answer.is_ok_and(|response| response.status().is_success())
}
