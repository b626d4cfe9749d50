//! What is measured, how long, and where everything is.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures brokkr-apiserver beside pgbench and kube-apiserver; run by hack/bench.sh.
#[derive(Debug, Parser)]
#[command(name = "brokkr-bench", version)]
pub(crate) struct Options {
    /// What is measured, in the order given here
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    pub(crate) parts: Vec<Part>,

    /// Numbers of clients of the creates
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    pub(crate) clients: Vec<usize>,

    /// How often everything is measured; the medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) repeats: u32,

    /// Seconds of one measurement
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,

    /// One short pass over everything, to see that it works; no aim is judged
    #[arg(long)]
    pub(crate) smoke: bool,

    /// Seed of arrival times and names
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Write the tables to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// What the report says of the code and the machine
    #[arg(long, default_value = "")]
    pub(crate) about: String,

    /// state.json of the control plane
    #[arg(long, value_name = "FILE")]
    pub(crate) control_plane: PathBuf,

    /// Address the server under test listens on
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) server_address: SocketAddr,

    /// CA of its serving certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) server_ca: PathBuf,

    /// Folder of pgbench and psql
    #[arg(long, value_name = "FOLDER")]
    pub(crate) postgres_bin: PathBuf,

    /// Folder of PostgreSQL's socket
    #[arg(long, value_name = "FOLDER")]
    pub(crate) postgres_socket: PathBuf,

    /// Process id of the postmaster
    #[arg(long, value_name = "PID")]
    pub(crate) postmaster: u32,

    /// Folder of the probe's statements
    #[arg(long, value_name = "FOLDER")]
    pub(crate) probe: PathBuf,

    /// File that takes what the server under test logs
    #[arg(long, value_name = "FILE")]
    pub(crate) server_log: PathBuf,

    /// The server under test: program and flags
    #[arg(last = true, required = true)]
    pub(crate) server: Vec<String>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Time from start to ready, and memory when idle
    Starts,
    /// Time from a create to the claim of an agent that it woke
    Wakes,
    /// Creates per second
    Creates,
    /// Claims and completions per second
    Claims,
}

impl Part {
    const ALL: [Self; 4] = [Self::Starts, Self::Wakes, Self::Creates, Self::Claims];
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Starts => "starts",
            Self::Wakes => "wakes",
            Self::Creates => "creates",
            Self::Claims => "claims",
        };
        f.write_str(name)
    }
}
