//! Options, checked: after this module nothing about the configuration can be wrong but the world.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::options::Options;

/// A configuration that can be used.
#[derive(Clone)]
pub struct CompletedConfig {
    /// Kubeconfig of the hub; `None` = the pod's account.
    pub kubeconfig: Option<PathBuf>,
    /// The database.
    pub database: PgConnectOptions,
    /// Where to listen; port 0 = any.
    pub address: SocketAddr,
    /// Serving certificate.
    pub tls_cert_file: PathBuf,
    /// Its key.
    pub tls_private_key_file: PathBuf,
    /// How long to serve on while readiness fails already.
    pub shutdown_delay: Duration,
}

/// Without the database: its address may hold a password.
impl std::fmt::Debug for CompletedConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompletedConfig")
            .field("kubeconfig", &self.kubeconfig)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// An option that cannot be used; the message names the flag.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither flag of the database is given.
    #[error("no database: give --database-url-file, --database-url or DATABASE_URL")]
    NoDatabase,
    /// The file of the database's address cannot be read.
    #[error("--database-url-file {path}: {source}", path = path.display())]
    DatabaseFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address is not one of PostgreSQL. The address itself may hold a password and is not shown.
    #[error("--database-url is not an address of PostgreSQL: {0}")]
    DatabaseUrl(String),
    /// A file that must exist does not.
    #[error("{flag} {path}: no such file", path = path.display())]
    NoFile {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
    },
}

impl TryFrom<Options> for CompletedConfig {
    type Error = ConfigError;

    fn try_from(options: Options) -> Result<Self, ConfigError> {
        let database = database(&options)?;
        Ok(Self {
            kubeconfig: options
                .kubeconfig
                .map(|path| existing("--kubeconfig", path))
                .transpose()?,
            database,
            address: SocketAddr::new(options.bind_address, options.secure_port),
            tls_cert_file: existing("--tls-cert-file", options.tls_cert_file)?,
            tls_private_key_file: existing("--tls-private-key-file", options.tls_private_key_file)?,
            shutdown_delay: options.shutdown_delay_duration,
        })
    }
}

fn database(options: &Options) -> Result<PgConnectOptions, ConfigError> {
    let url = match (&options.database_url_file, &options.database_url) {
        (Some(path), _) => std::fs::read_to_string(path).map_err(|source| ConfigError::DatabaseFile {
            path: path.clone(),
            source,
        })?,
        (None, Some(url)) => url.clone(),
        (None, None) => return Err(ConfigError::NoDatabase),
    };
    let url = url.trim();
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        return Err(ConfigError::DatabaseUrl(
            "it must begin with postgresql://".to_owned(),
        ));
    }
    let options = PgConnectOptions::from_str(url).map_err(|e| ConfigError::DatabaseUrl(e.to_string()))?;
    Ok(options.application_name("brokkr-apiserver"))
}

fn existing(flag: &'static str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(ConfigError::NoFile { flag, path })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config.rs");
    const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    fn parse(certificate: &str, database: &str) -> Result<CompletedConfig, ConfigError> {
        let files = ["--tls-cert-file", certificate, "--tls-private-key-file", KEY];
        let arguments = ["brokkr-apiserver", "--database-url", database];
        Options::parse_from(arguments.iter().chain(&files)).try_into()
    }

    #[test]
    fn missing_certificate_is_named_by_its_flag() {
        let error = parse("absent.crt", "postgresql:///brokkr").unwrap_err();
        assert!(error.to_string().starts_with("--tls-cert-file"), "{error}");
    }

    #[test]
    fn unusable_database_url_is_refused_without_showing_it() {
        let error = parse(CERTIFICATE, "mysql://user:geheim@host/x")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--database-url") && !error.contains("geheim"),
            "{error}"
        );
    }

    #[test]
    fn password_of_the_database_is_not_shown() {
        let config = parse(CERTIFICATE, "postgresql://user:geheim@host/x").unwrap();
        assert!(!format!("{config:?}").contains("geheim"));
    }
}
