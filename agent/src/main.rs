//! The program: options, logging, signals, and the agent.

use std::process::ExitCode;

use brokkr_agent::agent::Agent;
use brokkr_agent::handler::Handlers;
use brokkr_agent::logging;
use brokkr_agent::options::Options;
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    logging::init(options.log_format, options.log_level);
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let agent = Agent::new(options.complete().await?, Handlers::new())?;
    let stop = CancellationToken::new();
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signals = tokio::spawn(stop_on_signals(terminate, interrupt, stop.clone()));
    agent.serve(stop).await;
    signals.abort();
    Ok(())
}

/// The first signal stops the agent gently, the second at once.
async fn stop_on_signals(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    for round in 0.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if round > 0 {
            info!("second signal; exiting at once");
            std::process::exit(1);
        }
        stop.cancel();
    }
}
