//! How a server listens. Plain values: the binary maps its flags to them.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/server/options.SecureServingOptions` and `ServerRunOptions`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::secure_serving::{SecureServing, SecureServingError};

/// The certificate and key a server shows.
#[derive(Clone)]
pub enum ServingCertificate {
    /// PEM files, read again every few seconds: what replaces them is served without a restart.
    Files {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// The private key.
        private_key: PathBuf,
    },
    /// PEM text that never changes.
    Pem {
        /// The chain, leaf first.
        certificate: String,
        /// The private key.
        private_key: String,
    },
}

/// As given; may be wrong.
#[derive(Clone, Debug)]
pub struct ServingOptions {
    /// Where to listen. Port 0 = any free port. Default: all IPv4 addresses, port
    /// 6443; `[::]` listens on both families.
    pub bind_address: SocketAddr,
    /// What to show.
    pub certificate: ServingCertificate,
    /// How often the certificate's files are read again. Default 5 s.
    pub certificate_reload_interval: Duration,
    /// Connections at once; further ones wait unaccepted. Default 10 000.
    pub max_connections: usize,
    /// Reads in work at once. Default 400.
    pub max_requests_in_flight: usize,
    /// Mutations in work at once. Default 200.
    pub max_mutations_in_flight: usize,
    /// The longest a request that is not long-running may take. Default 60 s.
    pub request_timeout: Duration,
    /// How long to serve on after `/readyz` began to fail. Default 0; behind a Service, 5 s or more.
    pub shutdown_delay: Duration,
    /// How long requests in work may take to finish when draining. Default 60 s.
    pub drain_timeout: Duration,
}

impl ServingOptions {
    /// The defaults, with this certificate.
    #[must_use]
    pub fn new(certificate: ServingCertificate) -> Self {
        Self {
            bind_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6443)),
            certificate,
            certificate_reload_interval: Duration::from_secs(5),
            max_connections: 10_000,
            max_requests_in_flight: 400,
            max_mutations_in_flight: 200,
            request_timeout: Duration::from_secs(60),
            shutdown_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(60),
        }
    }

    /// Checks the values and loads the certificate.
    ///
    /// # Errors
    /// When a limit is zero, or the certificate cannot be used.
    pub fn complete(self) -> Result<CompletedConfig, OptionsError> {
        let limits = [
            ("max_connections", self.max_connections),
            ("max_requests_in_flight", self.max_requests_in_flight),
            ("max_mutations_in_flight", self.max_mutations_in_flight),
        ];
        let durations = [
            ("request_timeout", self.request_timeout),
            ("certificate_reload_interval", self.certificate_reload_interval),
        ];
        let zero_limit = limits
            .iter()
            .find(|(_, limit)| *limit == 0)
            .map(|(field, _)| *field);
        let zero_duration = durations
            .iter()
            .find(|(_, given)| given.is_zero())
            .map(|(field, _)| *field);
        if let Some(field) = zero_limit.or(zero_duration) {
            return Err(OptionsError::Zero { field });
        }
        Ok(CompletedConfig {
            bind_address: self.bind_address,
            tls: Arc::new(SecureServing::load(
                self.certificate,
                self.certificate_reload_interval,
            )?),
            max_connections: self.max_connections,
            max_requests_in_flight: self.max_requests_in_flight,
            max_mutations_in_flight: self.max_mutations_in_flight,
            request_timeout: self.request_timeout,
            shutdown_delay: self.shutdown_delay,
            drain_timeout: self.drain_timeout,
        })
    }
}

/// Checked options; only [`ServingOptions::complete`] makes them.
#[derive(Debug)]
pub struct CompletedConfig {
    pub(super) bind_address: SocketAddr,
    pub(super) tls: Arc<SecureServing>,
    pub(super) max_connections: usize,
    pub(super) max_requests_in_flight: usize,
    pub(super) max_mutations_in_flight: usize,
    pub(super) request_timeout: Duration,
    pub(super) shutdown_delay: Duration,
    pub(super) drain_timeout: Duration,
}

/// The options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A limit of zero would let nothing through.
    #[error("{field} is 0: give at least 1")]
    Zero {
        /// The field of [`ServingOptions`].
        field: &'static str,
    },
    /// The serving certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] SecureServingError),
}

impl std::fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files {
                certificate,
                private_key,
            } => f
                .debug_struct("Files")
                .field("certificate", certificate)
                .field("private_key", private_key)
                .finish(),
            // The key must not reach a log.
            Self::Pem { .. } => f.debug_struct("Pem").finish_non_exhaustive(),
        }
    }
}
