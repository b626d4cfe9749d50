//! The program behind `hack/bench.sh`: starts the server under test, loads it and the things it is
//! compared with in turns, and prints ratios.
//!
//! One thread on purpose: client and servers share the machine, so a client that costs little leaves the
//! servers more of it. What every contestant costs is read from /proc beside every rate.
//!
//! | module | what |
//! |---|---|
//! | `options`, `bench` | what is asked; the parts in their order |
//! | `client`, `orders` | one HTTP/2 connection; bodies and paths |
//! | `server`, `usage` | the process under test; processor time and memory |
//! | `pgbench` | the probe of the same PostgreSQL |
//! | `starts`, `wakes`, `creates`, `claims` | the parts |
//! | `sample`, `report` | medians and percentiles; tables and aims |
//!
//! What it leaves out: bringing up control plane, database and certificates, which is the script's.

mod bench;
mod claims;
mod client;
mod creates;
mod options;
mod orders;
mod pgbench;
mod report;
mod sample;
mod server;
mod starts;
mod usage;
mod wakes;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::Bench;
use crate::options::Options;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "brokkr-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and says whether every aim that was judged is met.
async fn run(options: Options) -> anyhow::Result<bool> {
    let mut bench = Bench::new(&options)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Dropped unfinished, it takes the server under test with it.
    let report = tokio::select! {
        report = bench.run() => report?,
        _ = terminate.recv() => bail!("stopped"),
        _ = interrupt.recv() => bail!("interrupted"),
    };
    let text = report.render(&options);
    writeln!(std::io::stdout(), "\n{text}")?;
    if options.smoke {
        // hack/test.sh adds this up with the totals of its test runners.
        writeln!(std::io::stdout(), "Smoke: {} passed", options.parts.len())?;
    }
    if let Some(file) = &options.report {
        std::fs::write(file, &text).with_context(|| format!("--report {}", file.display()))?;
    }
    Ok(options.smoke || report.aims_met())
}

/// A line of progress.
fn progress(line: &str) {
    // Nobody may be reading any more; the report still counts.
    let _ = writeln!(std::io::stdout(), "  {line}");
}
