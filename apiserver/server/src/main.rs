//! The binary `brokkr-apiserver`.

use std::process::ExitCode;

use brokkr_apiserver::config::CompletedConfig;
use brokkr_apiserver::options::Options;
use brokkr_apiserver::{logging, server};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    logging::start(options.log_format, options.log_level);
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    server::run(CompletedConfig::try_from(options)?).await
}
