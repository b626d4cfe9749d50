//! A set of CA certificates that client certificates are verified against.
//!
//! Upstream concept: `x509.VerifyOptions` of `dynamiccertificates.CAContentProvider`. Revocation lists
//! are left out, as upstream does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::AuthenticationError;

static NEXT_GENERATION: AtomicU64 = AtomicU64::new(0);

/// CA certificates, never changed; a new bundle is a new value.
#[derive(Clone, Debug)]
pub struct TrustedRoots {
    /// Distinguishes this bundle from every other one, as the key of cached verdicts.
    generation: u64,
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl TrustedRoots {
    /// Reads a bundle of one or more PEM certificates.
    ///
    /// # Errors
    /// Says what is wrong when the bundle holds no certificate or one that cannot be a CA.
    pub fn from_pem(bundle: &[u8]) -> Result<Self, String> {
        let certificates = CertificateDer::pem_slice_iter(bundle)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("not a bundle of PEM certificates: {error}"))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("a certificate of the bundle cannot be a CA: {error}"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| format!("no usable CA certificate: {error}"))?;
        Ok(Self {
            generation: NEXT_GENERATION.fetch_add(1, Ordering::Relaxed),
            certificates,
            verifier,
        })
    }

    /// Whether any certificate is in both bundles.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.certificates
            .iter()
            .any(|certificate| other.certificates.contains(certificate))
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Verifies that the first certificate chains to a root, is valid now and may be a client's;
    /// intermediates are taken from the rest.
    pub(super) fn verify(&self, chain: &[CertificateDer<'static>]) -> Result<(), AuthenticationError> {
        let (leaf, intermediates) = chain
            .split_first()
            .ok_or_else(|| AuthenticationError::Certificate("none presented".to_owned()))?;
        self.verifier
            .verify_client_cert(leaf, intermediates, UnixTime::now())
            .map(|_verified| ())
            .map_err(|error| AuthenticationError::Certificate(error.to_string()))
    }
}
