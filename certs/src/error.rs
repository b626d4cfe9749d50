//! Everything that can go wrong while minting, in the words of the caller: a field, a file, a key.
//!
//! Messages say what to do next. openssl's own error stack is the source, never the message.

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;

/// Why a certificate was not minted, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a request is outside its range.
    #[error("{field} {value:?} is not usable: {problem}")]
    Invalid {
        /// The field, named as in the request type.
        field: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },

    /// A CA stands where a new one was to be created; nothing was changed.
    #[error("{path} exists and a CA is never overwritten; load it, rotate it, or use another directory")]
    Exists {
        /// The file that is in the way.
        path: PathBuf,
    },

    /// One file of a CA's pair is there without the other.
    #[error("{present} is there without {missing}; restore the missing file, or remove the one that is left")]
    Incomplete {
        /// The file that exists.
        present: PathBuf,
        /// The file that does not.
        missing: PathBuf,
    },

    /// A file that another command makes is not there yet.
    #[error("{path} does not exist; {remedy}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Which command makes it.
        remedy: &'static str,
    },

    /// A CA's private key can be read by others than its owner.
    #[error(
        "{path} is open to others (mode {mode:04o}) and whoever reads it can sign; `chmod 600` it, and rotate \
         the CA if it may have been read"
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// A rotation was begun and not finished, or finished without having begun.
    #[error("{path}: {problem}")]
    Rotation {
        /// The file that keeps the previous CA certificate.
        path: PathBuf,
        /// What is wrong, and what to do first.
        problem: &'static str,
    },

    /// The private key is not the certificate's.
    #[error(
        "the private key does not belong to certificate {subject:?}; the pair was mixed up or half replaced"
    )]
    KeyMismatch {
        /// The certificate's common name.
        subject: String,
    },

    /// The certificate given as a CA is a leaf, or is signed by another CA.
    #[error("certificate {subject:?} is not a self-signed CA that may sign certificates; give a root CA")]
    NotAuthority {
        /// The certificate's common name.
        subject: String,
    },

    /// The CA is past its end; what it would sign nobody would accept.
    #[error("CA {subject:?} expired at {not_after}; rotate it before issuing")]
    Expired {
        /// The CA's common name.
        subject: String,
        /// Its last moment, as openssl prints times.
        not_after: String,
    },

    /// The serving certificate is past its end; who verifies it refuses it.
    #[error("{path} expired at {not_after}; issue it again with `serving`")]
    LeafExpired {
        /// The certificate's file.
        path: PathBuf,
        /// Its last moment, as openssl prints times.
        not_after: String,
    },

    /// The serving certificate comes from a CA that would not be trusted.
    #[error(
        "{path} was issued by none of the CAs that the bundle holds (of {authority} and, during a rotation, \
         the previous one); issue it again with `serving`"
    )]
    NotIssued {
        /// The certificate's file.
        path: PathBuf,
        /// The CA's file.
        authority: PathBuf,
    },

    /// The serving certificate does not hold the name that the aggregator connects to.
    #[error(
        "{path} is not valid for {host}, which kube-apiserver connects to; issue it with `serving` for this \
         service and namespace"
    )]
    WrongName {
        /// The certificate's file.
        path: PathBuf,
        /// The name that is missing.
        host: String,
    },

    /// The text is not PEM of the expected kind.
    #[error("{what} is not readable as PEM")]
    Pem {
        /// Which input: "certificate" or "private key".
        what: &'static str,
        /// openssl's reasons.
        source: ErrorStack,
    },

    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// "read", "write", "create" or "remove".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },

    /// openssl refused a step that valid input does not make fail: no entropy, no memory.
    #[error("openssl failed")]
    Openssl(#[from] ErrorStack),
}

impl Error {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.into(),
            source,
        }
    }
}
