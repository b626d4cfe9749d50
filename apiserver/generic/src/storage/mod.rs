//! Storage: versioned objects in PostgreSQL, with list and watch served from a cache in memory.
//!
//! One writer per replica puts concurrent mutations into one transaction under one cluster-wide
//! advisory lock; the lock is held to the commit, so that the order of resource versions is the order
//! in which changes become visible. Every change writes its event into the change log in the same
//! transaction; one tailer per replica feeds the watch cache from it.
//!
//! ```text
//! update, run -> writer (batch -> judge -> stage -> commit) -> tables and change log
//!                                                                     |
//!                                                      nudge, poll -> tailer
//!                                                                     |
//! get, list, watch <- cacher (objects, ring, watchers) <--------------+
//!                  <- table_scan, table_history (resources that live in the database only)
//! ```
//!
//! # Invariants
//!
//! The guards of each can be left out one at a time in a test build ([`crate::mutants`]); then a test fails.
//!
//! * **I1** Resource versions strictly increase in visibility order; no event is ever inserted at or
//!   below a delivered version. A database that has lost some goes on in a new epoch, above them all.
//! * **I2** Every committed mutation has exactly one event per object it touches, in the same
//!   transaction.
//! * **I3** Replaying the events `(a, b]` onto the list at `a` equals the list at `b`.
//! * **I4** On one watch, versions strictly increase and no matching event after the start is missing,
//!   or the stream ends with an expiry or is closed.
//! * **I5** All writes of one mutation, in every table, commit together or not at all.
//! * **I6** A version is drawn once and never again.
//! * **I7** A [`SetMutation`](mutation::SetMutation) reads under the lock, so nothing changes between
//!   its read and its write.
//! * **I8** Times are the database's: mutations are given `clock_timestamp()` read under the lock.
//! * **I9** A success is reported only after the commit is durable.
//! * **I10** The floor of the change log is visible no later than the disappearance of the events
//!   below it.
//!
//! What this module leaves out: HTTP, authorisation, defaulting and validation.
//! Upstream concept: `k8s.io/apiserver/pkg/storage` and its `cacher`.

mod builder;
mod cacher;
mod continue_token;
mod encoding;
pub mod error;
mod high_water_mark;
mod metrics;
mod migrations;
pub mod mutation;
mod options;
mod postgres;
mod read;
mod read_table;
pub mod resource_version;
pub mod selection;
mod store;
pub mod table;
mod table_history;
mod table_scan;
mod tailer;
pub mod types;
mod watch_stream;

pub use builder::StorageBuilder;
pub use cacher::Tally;
pub use error::StorageError;
pub use high_water_mark::HighWaterMark;
pub use migrations::migrator;
pub use mutation::{Change, ObjectWrite, SetMutation, SideRow, Update, Versions, Writes};
pub use options::StorageOptions;
pub use resource_version::ResourceVersion;
pub use selection::Selection;
pub use store::Storage;
pub use table::{ColumnSpec, Companions, GroupResource, Residence, ResourceTable};
pub use types::{
    Freshness, Key, ListOptions, ListPage, ListVersion, Stored, WatchEvent, WatchEventType, WatchOptions,
    WatchStart,
};
pub use watch_stream::WatchStream;
