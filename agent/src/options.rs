//! Command line options, and the configuration they complete to.
//!
//! [`Options`] is what was typed and may be wrong; [`CompletedConfig`] cannot be. Completing reads files, so that a
//! wrong path is an error at start and names its flag, but calls nobody.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use kube::config::{KubeConfigOptions, Kubeconfig};
use uuid::Uuid;

use crate::config::{AgentConfig, InvalidField, WorkOrdersConfig};

const EXAMPLES: &str = "Examples:
  Hub and own cluster are the same, the agent runs as a pod in it:
    brokkr-agent --name local

  The hub is elsewhere, called with a token that is renewed in place:
    brokkr-agent --name east-1 --hub-url https://hub.example.com:6443 \\
      --hub-ca-file /etc/brokkr/hub-ca.crt --hub-token-file /var/run/brokkr/token

  On a laptop, with a kubeconfig for each:
    brokkr-agent --name dev --hub-kubeconfig hub.kubeconfig --kubeconfig kind.kubeconfig --config agent.yaml

Signals:
  SIGTERM, SIGINT  stop claiming, report what ends within --drain-timeout, leave the rest running and exit;
                   the next process of the same name takes over. A second signal exits at once.";

/// Claims work orders from a Brokkr Work hub and runs them in its own cluster. Calls out only; nobody calls it.
#[derive(Debug, Parser)]
#[command(name = "brokkr-agent", version, after_help = EXAMPLES)]
pub struct Options {
    /// Name of the Agent object on the hub that this process acts for
    #[arg(long, env = "BROKKR_AGENT_NAME")]
    pub name: String,

    /// YAML file that says how work orders are taken and run; all defaults without it
    #[arg(long, env = "BROKKR_AGENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Kubeconfig of the cluster where the work runs; the pod's own cluster without it
    #[arg(long, env = "BROKKR_AGENT_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Account that is impersonated, in the namespace of each order, for everything the agent writes
    #[arg(
        long,
        env = "BROKKR_AGENT_RUNNER_ACCOUNT",
        value_name = "NAME",
        default_value = "brokkr-runner"
    )]
    pub runner_account: String,

    /// How long orders in hand are waited for after SIGTERM, such as 30s or 5m; 0 for not at all
    #[arg(
        long,
        env = "BROKKR_AGENT_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub drain_timeout: String,

    /// Address for /metrics, /healthz and /readyz over plain HTTP, such as 0.0.0.0:8080; none without it
    #[arg(long, env = "BROKKR_AGENT_METRICS_BIND_ADDRESS", value_name = "IP:PORT")]
    pub metrics_bind_address: Option<SocketAddr>,

    /// How log lines are written
    #[arg(long, env = "BROKKR_AGENT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// How much is logged
    #[arg(long, env = "BROKKR_AGENT_LOG_LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,

    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a doc comment would replace the help text of the program"
    )]
    pub hub: HubOptions,
}

/// Where the hub is. With none of these, the hub is the cluster where the work runs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Hub")]
pub struct HubOptions {
    /// Kubeconfig of the hub
    #[arg(
        long,
        env = "BROKKR_AGENT_HUB_KUBECONFIG",
        value_name = "FILE",
        conflicts_with = "hub_url"
    )]
    pub hub_kubeconfig: Option<PathBuf>,

    /// Address of the hub's API server
    #[arg(
        long,
        env = "BROKKR_AGENT_HUB_URL",
        value_name = "URL",
        requires = "hub_token_file"
    )]
    pub hub_url: Option<String>,

    /// Certificates, in PEM, that the hub's own is checked against; the file is read again as it changes
    #[arg(
        long,
        env = "BROKKR_AGENT_HUB_CA_FILE",
        value_name = "FILE",
        requires = "hub_url"
    )]
    pub hub_ca_file: Option<PathBuf>,

    /// Token the hub is called with; the file is read again as it changes
    #[arg(
        long,
        env = "BROKKR_AGENT_HUB_TOKEN_FILE",
        value_name = "FILE",
        requires = "hub_url"
    )]
    pub hub_token_file: Option<PathBuf>,

    /// Name of the hub, written on everything started for it; for clusters that serve several hubs
    #[arg(long, env = "BROKKR_AGENT_HUB_ID", value_name = "NAME")]
    pub hub_id: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object in a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// The agent coped.
    Warn,
    /// What happens to orders.
    Info,
    /// Every call of the agent's own.
    Debug,
    /// Everything, the HTTP client's calls included.
    Trace,
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct CompletedConfig {
    /// The name of the Agent object.
    pub name: String,
    /// A random id of this process.
    pub holder: String,
    /// How the hub is called.
    pub hub: kube::Config,
    /// How the cluster where the work runs is called.
    pub cluster: kube::Config,
    /// The hub's name for labels, if it has one.
    pub hub_id: Option<String>,
    /// The account that is impersonated.
    pub runner_account: String,
    /// How long orders in hand are waited for after SIGTERM.
    pub drain_timeout: Duration,
    /// Where health and metrics are told; nowhere without it.
    pub metrics_bind_address: Option<SocketAddr>,
    /// How work orders are taken and run.
    pub work_orders: WorkOrdersConfig,
}

/// An option that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A value is not what its flag takes.
    #[error("{flag} is {value:?}: {problem}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What it was set to.
        value: String,
        /// What is wrong, and what is accepted.
        problem: String,
    },
    /// A file cannot be read or does not hold what the flag asks for.
    #[error("{flag}: {}: {problem}", path.display())]
    File {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A field of the configuration file cannot be used.
    #[error("--config: {}: {problem}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field and what is wrong with it.
        problem: InvalidField,
    },
    /// There is neither a kubeconfig nor a pod's own cluster.
    #[error("--kubeconfig is not set, and this process does not run in a pod: {problem}")]
    NoCluster {
        /// What is missing of a pod's surroundings.
        problem: String,
    },
}

impl Options {
    /// Checks the options and reads the files they name.
    ///
    /// # Errors
    ///
    /// Names the flag, or the field of the configuration file, that cannot be used.
    pub async fn complete(self) -> Result<CompletedConfig, OptionsError> {
        check_name("--name", &self.name, 253)?;
        check_name("--runner-account", &self.runner_account, 253)?;
        if let Some(hub_id) = &self.hub.hub_id {
            check_name("--hub-id", hub_id, 63)?;
        }
        let drain_timeout = parse_duration("--drain-timeout", &self.drain_timeout)?;
        let work_orders = read_config(self.config.as_deref())?.work_orders;
        let cluster = cluster_config(self.kubeconfig.as_deref()).await?;
        let hub = self.hub.connection().await?.unwrap_or_else(|| cluster.clone());
        Ok(CompletedConfig {
            name: self.name,
            holder: Uuid::new_v4().to_string(),
            hub,
            cluster,
            hub_id: self.hub.hub_id,
            runner_account: self.runner_account,
            drain_timeout,
            metrics_bind_address: self.metrics_bind_address,
            work_orders,
        })
    }
}

impl HubOptions {
    /// How the hub is called; None if it is the cluster where the work runs.
    async fn connection(&self) -> Result<Option<kube::Config>, OptionsError> {
        if let Some(path) = &self.hub_kubeconfig {
            return read_kubeconfig("--hub-kubeconfig", path).await.map(Some);
        }
        let (Some(url), Some(token_file)) = (&self.hub_url, &self.hub_token_file) else {
            return Ok(None);
        };
        let address = url
            .parse::<http::Uri>()
            .map_err(|error| value("--hub-url", url, &error.to_string()))?;
        if address.scheme_str() != Some("https") {
            return Err(value(
                "--hub-url",
                url,
                "must begin with https://; the token would be readable otherwise",
            ));
        }
        check_readable("--hub-token-file", token_file)?;
        let mut config = kube::Config::new(address);
        config.auth_info.token_file = Some(token_file.display().to_string());
        if let Some(path) = &self.hub_ca_file {
            check_readable("--hub-ca-file", path)?;
            config.root_cert_file = Some(path.clone());
        }
        Ok(Some(without_retries(config)))
    }
}

async fn cluster_config(path: Option<&Path>) -> Result<kube::Config, OptionsError> {
    match path {
        Some(path) => read_kubeconfig("--kubeconfig", path).await,
        None => kube::Config::incluster()
            .map(without_retries)
            .map_err(|error| OptionsError::NoCluster {
                problem: error.to_string(),
            }),
    }
}

async fn read_kubeconfig(flag: &'static str, path: &Path) -> Result<kube::Config, OptionsError> {
    let refused = |problem: String| OptionsError::File {
        flag,
        path: path.to_owned(),
        problem,
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| refused(error.to_string()))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config
        .map(without_retries)
        .map_err(|error| refused(error.to_string()))
}

/// Every call of the agent has its own rule for trying again; the client must not add a second one below it.
fn without_retries(mut config: kube::Config) -> kube::Config {
    config.default_retry = false;
    config
}

fn read_config(path: Option<&Path>) -> Result<AgentConfig, OptionsError> {
    let Some(path) = path else {
        return Ok(AgentConfig::default());
    };
    let refused = |problem: String| OptionsError::File {
        flag: "--config",
        path: path.to_owned(),
        problem,
    };
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    if text.trim().is_empty() {
        return Ok(AgentConfig::default());
    }
    let config: AgentConfig = serde_saphyr::from_str(&text).map_err(|error| refused(error.to_string()))?;
    config.validate().map_err(|problem| OptionsError::Field {
        path: path.to_owned(),
        problem,
    })?;
    Ok(config)
}

fn check_readable(flag: &'static str, path: &Path) -> Result<(), OptionsError> {
    let opened = std::fs::File::open(path).map(drop);
    opened.map_err(|error| OptionsError::File {
        flag,
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn check_name(flag: &'static str, name: &str, length_max: usize) -> Result<(), OptionsError> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let valid = name.chars().all(inner) && ends(name.chars().next()) && ends(name.chars().last());
    if valid && name.len() <= length_max {
        return Ok(());
    }
    let rule = format!(
        "must be lower-case letters, digits, - and ., begin and end with a letter or digit, and have \
        at most {length_max} characters"
    );
    Err(value(flag, name, &rule))
}

fn parse_duration(flag: &'static str, text: &str) -> Result<Duration, OptionsError> {
    let duration = brokkr_apis::work::v1alpha1::Duration::from_text(text);
    duration
        .parse()
        .map_err(|error| value(flag, text, &error.to_string()))
}

fn value(flag: &'static str, value: &str, problem: &str) -> OptionsError {
    OptionsError::Value {
        flag,
        value: value.to_owned(),
        problem: problem.to_owned(),
    }
}
