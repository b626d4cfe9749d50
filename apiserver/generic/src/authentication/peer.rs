//! The certificates a connection presented, with what was already found out about them.
//!
//! A certificate is verified per request, because CAs change while a connection lives; the verdict is
//! kept for a short time, because a front proxy sends thousands of requests over one connection.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AuthenticationError, TrustedRoots};

/// How long a verdict holds; within it a certificate may expire unnoticed.
const VERDICT_LIFETIME: Duration = Duration::from_secs(10);

/// Verdicts kept: two bundles (client CA and request-header CA), each before and after a rotation.
const VERDICTS_MAX: usize = 4;

/// `1.3.6.1.4.1.57683.2`: the attribute of a subject that holds a Kubernetes user's UID.
const UID_ATTRIBUTE: &str = "1.3.6.1.4.1.57683.2";

/// The chain a client presented during the handshake; proved to be its own, trusted by nobody yet.
#[derive(Debug)]
pub struct PeerCertificates {
    chain: Vec<CertificateDer<'static>>,
    subject: OnceLock<Result<Subject, AuthenticationError>>,
    verdicts: Mutex<Vec<Verdict>>,
}

/// What a leaf certificate says of its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The common name; the last one, should there be several. Empty = none.
    pub common_name: String,
    /// The organizations, in order.
    pub organizations: Vec<String>,
    /// The Kubernetes UIDs; a user has at most one.
    pub uids: Vec<String>,
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub fingerprint: String,
    /// The last moment of the certificate, in seconds since 1970.
    pub not_after: i64,
}

#[derive(Debug)]
struct Verdict {
    generation: u64,
    reached: Instant,
    result: Result<(), AuthenticationError>,
}

impl PeerCertificates {
    /// Takes the chain of a connection, leaf first. None when it is empty.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Option<Self> {
        (!chain.is_empty()).then(|| Self {
            chain,
            subject: OnceLock::new(),
            verdicts: Mutex::default(),
        })
    }

    /// Verifies the chain against these roots: signatures, validity, and that it may be a client's.
    ///
    /// # Errors
    /// When it does not chain to them.
    pub fn verify(&self, roots: &TrustedRoots) -> Result<(), AuthenticationError> {
        let generation = roots.generation();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.retain(|verdict| verdict.reached.elapsed() < VERDICT_LIFETIME);
        if let Some(known) = verdicts.iter().find(|verdict| verdict.generation == generation) {
            return known.result.clone();
        }
        let result = roots.verify(&self.chain);
        if verdicts.len() == VERDICTS_MAX {
            verdicts.remove(0);
        }
        verdicts.push(Verdict {
            generation,
            reached: Instant::now(),
            result: result.clone(),
        });
        result
    }

    /// What the leaf says of its holder. Believe it only after [`Self::verify`].
    ///
    /// # Errors
    /// When the leaf cannot be read.
    pub fn subject(&self) -> Result<&Subject, AuthenticationError> {
        self.subject
            .get_or_init(|| read_subject(&self.chain[0]))
            .as_ref()
            .map_err(Clone::clone)
    }
}

fn read_subject(leaf: &CertificateDer<'_>) -> Result<Subject, AuthenticationError> {
    let malformed = |error: &dyn std::fmt::Display| AuthenticationError::Certificate(error.to_string());
    let (_rest, certificate) = X509Certificate::from_der(leaf).map_err(|error| malformed(&error))?;
    let mut subject = Subject {
        fingerprint: sha256_hex(leaf),
        not_after: certificate.validity().not_after.timestamp(),
        ..Subject::default()
    };
    for attribute in certificate.subject().iter_attributes() {
        let value = || {
            attribute
                .as_str()
                .map(str::to_owned)
                .map_err(|error| malformed(&error))
        };
        match attribute.attr_type().to_id_string().as_str() {
            "2.5.4.3" => subject.common_name = value()?,
            "2.5.4.10" => subject.organizations.push(value()?),
            UID_ATTRIBUTE => subject.uids.push(value()?),
            _ => {}
        }
    }
    Ok(subject)
}

fn sha256_hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
