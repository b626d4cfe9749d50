//! What a verb of a resource can fail with, in the words of the API and without HTTP.
//!
//! `endpoints` maps every variant to a Status, in one place.

use super::field::FieldError;
use crate::authorization::AuthorizationError;
use crate::storage::StorageError;

/// A machine-readable cause within an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The reason, such as `NamespaceTerminating`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field it is about; empty = none.
    pub field: String,
}

/// An error of a verb or a subresource.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Storage failed; its keys are those of the request's resource.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The object or the options are invalid; `kind` and `name` are what is invalid.
    #[error("{kind} {name:?} is invalid")]
    Invalid {
        /// The kind, not the resource.
        kind: String,
        /// The object's name; may be empty.
        name: String,
        /// Every invalid field.
        errors: Vec<FieldError>,
    },
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// The caller may not, by a rule of the resource (RBAC has been asked before).
    #[error("{message}")]
    Forbidden {
        /// Why, and what would help.
        message: String,
        /// Machine-readable causes.
        causes: Vec<Cause>,
    },
    /// The state of the object forbids it now: held, changed, finished.
    #[error("{message}")]
    Conflict {
        /// Which state, whose, until when.
        message: String,
        /// Machine-readable causes.
        causes: Vec<Cause>,
    },
    /// Another object that the request needs is absent, such as its namespace.
    #[error("{resource} {name:?} not found")]
    NotFound {
        /// The group of what is absent; empty = core.
        group: String,
        /// The plural resource.
        resource: String,
        /// Its name.
        name: String,
    },
    /// The object would be larger than one may be.
    #[error("the object would have {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its length as JSON, in bytes.
        bytes: usize,
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// Too many of something that is bounded; try again later.
    #[error("{message}")]
    TooManyRequests {
        /// Which bound.
        message: String,
        /// After how many seconds to try again.
        retry_after_seconds: u32,
    },
    /// Whether the caller may could not be found out.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// A defect of the server.
    #[error("internal error: {0}")]
    Internal(String),
}
