//! What can go wrong in storage, in storage's words: keys and versions, not resources and HTTP.

use super::resource_version::ResourceVersion;
use super::types::Key;

/// An error of the storage layer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// No object has this key.
    #[error("no object {0}")]
    NotFound(Key),
    /// An object with this key exists already.
    #[error("object {key} exists")]
    AlreadyExists {
        /// The key that is taken.
        key: Key,
        /// Whether the existing object is being deleted.
        terminating: bool,
    },
    /// The object changed since it was read: read it again and retry.
    #[error("object {key} changed since version {expected}")]
    Conflict {
        /// The object.
        key: Key,
        /// The version the caller had read.
        expected: ResourceVersion,
    },
    /// A named constraint of the schema refused the write.
    #[error("constraint {0} refused the write")]
    Constraint(String),
    /// The asked version is older than the history kept; `continue_from` continues a list inconsistently.
    #[error("version {asked} is older than the oldest kept, {oldest}")]
    Expired {
        /// What was asked.
        asked: ResourceVersion,
        /// The oldest version that can still be served.
        oldest: ResourceVersion,
        /// A token that continues from the same key at the newest version, for an expired list.
        continue_from: Option<String>,
    },
    /// The asked version has not been reached within the time allowed.
    #[error("version {asked} has not been reached, the newest is {current}")]
    TooLarge {
        /// What was asked.
        asked: ResourceVersion,
        /// The newest version known here.
        current: ResourceVersion,
    },
    /// The continue token is not one of ours, or belongs to another collection.
    #[error("continue key is not valid: {0}")]
    InvalidContinue(String),
    /// The database cannot be reached or did not answer in time; whether a write took effect is unknown
    /// only when `ambiguous`.
    #[error("database unreachable: {message}")]
    Unreachable {
        /// What failed.
        message: String,
        /// The commit was sent and its answer lost.
        ambiguous: bool,
    },
    /// A statement ran into its time limit, or was cancelled on the server; nothing was written.
    #[error("database too slow: {0}")]
    TimedOut(String),
    /// The queue of the writer, or another bounded place, is full.
    #[error("storage is overloaded: {0}")]
    Overloaded(&'static str),
    /// What was read cannot be decoded; a person must look.
    #[error("stored object is corrupt: {0}")]
    Corrupt(String),
    /// The database refused a statement: a defect of the program or of the schema.
    #[error("database error: {0}")]
    Database(String),
}
