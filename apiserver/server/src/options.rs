//! Options as typed on the command line, unchecked. [`crate::config`] checks them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use brokkr_apis::work::v1alpha1::{self, ParseDurationError};
use clap::{Parser, ValueEnum};

/// Serves work.brokkr.io to a Kubernetes cluster, from PostgreSQL.
///
/// The server is registered as an APIService: kube-apiserver authenticates and authorizes every request,
/// proxies it here over its front-proxy certificate, and this server asks it again (SubjectAccessReview).
/// It needs a serving certificate for SERVICE.NAMESPACE.svc, a database, and an account bound to
/// system:auth-delegator and to the role extension-apiserver-authentication-reader in kube-system.
///
/// Several replicas may run on one database. SIGTERM drains: readiness fails, running requests end,
/// watches are closed.
#[derive(Debug, Parser)]
#[command(name = "brokkr-apiserver", version)]
pub struct Options {
    /// Kubeconfig of the cluster the API is served to, with the server's own namespace in its context;
    /// without it the account of the pod is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Address of the database, such as postgresql://brokkr@db.example.com/brokkr?sslmode=verify-full
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// File that holds the address of the database; keeps a password out of the command line, and wins
    /// over --database-url and DATABASE_URL
    #[arg(long, value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,

    /// Address to listen on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,

    /// Port to listen on; 0 = any free one, which the log names
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub secure_port: u16,

    /// Serving certificate with its chain, PEM; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: PathBuf,

    /// Key of the serving certificate, PEM; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: PathBuf,

    /// How long to serve on after SIGTERM while readiness fails already, such as 10s; behind a Service,
    /// what its load balancers take to notice
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub shutdown_delay_duration: Duration,

    /// Form of the log
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Least severe level that is logged
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// The least severe level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// A person must act
    Error,
    /// We coped
    Warn,
    /// Events of the system, one line per request
    Info,
    /// Everything
    Debug,
}

impl From<LogLevel> for tracing::level_filters::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

fn duration(text: &str) -> Result<Duration, ParseDurationError> {
    v1alpha1::Duration::from_text(text).parse()
}
