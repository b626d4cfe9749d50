//! The TLS side of the listener: one configuration per certificate, replaced when its files change.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/server/secure_serving.go` and `dynamiccertificates`. A client
//! certificate is requested, never required, and any is accepted during the handshake, if the client has
//! its key: CAs change while connections live, and a bad certificate is to be answered with a 401 that can
//! be read, not with a TLS alert. Who trusts it is decided per request, in `authentication`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use telemetry::{MetricsRegistry, Reading, Readings};
use tokio_util::sync::CancellationToken;

use super::certificate_expiry::{Reminder, ValidityPeriod};
use super::options::ServingCertificate;

/// The serving certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecureServingError {
    /// A file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The PEM text is not what it should be.
    #[error("serving certificate: {part} cannot be read: {problem}")]
    Pem {
        /// `certificate` or `private key`.
        part: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The parts do not fit together.
    #[error("serving certificate: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Certificate and key as PEM bytes.
#[derive(Clone, PartialEq, Eq)]
struct KeyPair {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

/// The current TLS configuration and where it comes from.
pub(crate) struct SecureServing {
    source: ServingCertificate,
    interval: Duration,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    pair: KeyPair,
    validity: ValidityPeriod,
    config: Arc<ServerConfig>,
}

impl SecureServing {
    /// Loads the certificate for the first time.
    pub(crate) fn load(source: ServingCertificate, interval: Duration) -> Result<Self, SecureServingError> {
        let loaded = Loaded::from_pair(read(&source)?)?;
        Ok(Self {
            source,
            interval,
            current: ArcSwap::from_pointee(loaded),
        })
    }

    /// The configuration for the next connection; connections keep the one they began with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// Adds when the certificate that is served now ends.
    pub(crate) fn register_metrics(self: &Arc<Self>, registry: &mut MetricsRegistry) {
        let serving = Arc::clone(self);
        let ends = move || vec![Reading::plain(serving.current.load().validity.ends())];
        registry.register(
            "apiserver_serving_certificate_expiration_timestamp_seconds",
            &[],
            "When the serving certificate ends, in seconds since 1970",
            Readings::gauge(ends),
        );
    }

    /// Reads the files again and again until `stop`. Contents are compared rather than times: a mounted
    /// Secret is replaced through symbolic links whose times say little. When certificate and key do not
    /// fit, as between two writes, the last good pair stays. What is served is reminded of when it ends.
    pub(crate) async fn reload_until(self: Arc<Self>, stop: CancellationToken) {
        let mut reminder = Reminder::default();
        reminder.look(self.current.load().validity);
        if matches!(self.source, ServingCertificate::Pem { .. }) {
            return;
        }
        while tokio::time::timeout(self.interval, stop.cancelled())
            .await
            .is_err()
        {
            reminder.look(self.current.load().validity);
            let serving = Arc::clone(&self);
            let reloaded = tokio::task::spawn_blocking(move || serving.reload()).await;
            if let Ok(Err(error)) = reloaded {
                tracing::warn!(%error, "the serving certificate was not reloaded; the last good one stays");
            }
        }
    }

    fn reload(&self) -> Result<(), SecureServingError> {
        let pair = read(&self.source)?;
        if pair != self.current.load().pair {
            self.current.store(Arc::new(Loaded::from_pair(pair)?));
            tracing::info!("the serving certificate was replaced");
        }
        Ok(())
    }
}

fn read(source: &ServingCertificate) -> Result<KeyPair, SecureServingError> {
    Ok(match source {
        ServingCertificate::Files {
            certificate,
            private_key,
        } => KeyPair {
            certificate: read_file(certificate)?,
            private_key: read_file(private_key)?,
        },
        ServingCertificate::Pem {
            certificate,
            private_key,
        } => KeyPair {
            certificate: certificate.clone().into_bytes(),
            private_key: private_key.clone().into_bytes(),
        },
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, SecureServingError> {
    std::fs::read(path).map_err(|error| SecureServingError::File {
        path: path.display().to_string(),
        error,
    })
}

impl Loaded {
    fn from_pair(pair: KeyPair) -> Result<Self, SecureServingError> {
        let unreadable = |part| {
            move |error: rustls::pki_types::pem::Error| SecureServingError::Pem {
                part,
                problem: error.to_string(),
            }
        };
        let chain = CertificateDer::pem_slice_iter(&pair.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable("certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&pair.private_key).map_err(unreadable("private key"))?;
        let leaf = chain.first().ok_or_else(|| SecureServingError::Pem {
            part: "certificate",
            problem: "the file holds none".to_owned(),
        })?;
        let validity = ValidityPeriod::of(leaf).map_err(|problem| SecureServingError::Pem {
            part: "certificate",
            problem,
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = AnyClientCertificate::new(&provider);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            pair,
            validity,
            config: Arc::new(config),
        })
    }
}

/// Requests a client certificate and accepts any whose key the client proves to have.
#[derive(Debug)]
struct AnyClientCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyClientCertificate {
    fn new(provider: &CryptoProvider) -> Self {
        Self {
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hint: clients then present what they have.
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for SecureServing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecureServing")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
