//! The two kinds of mutation that enter the writer.
//!
//! * [`Update`]: one object, an expected version, and what else is to be written with it. It is built
//!   outside the lock and is compare-and-swap: the caller reads again and retries on a conflict.
//! * [`SetMutation`]: the resource supplies one statement for a whole batch, run under the lock, and a
//!   pure function from its rows to objects, side rows and one result per caller.
//!
//! A [`Follower`] is a set mutation whose inputs are the changes of the batch itself: it is asked once, in the
//! same transaction, after all others. A [`Forerunner`] is asked about the objects that updates are to create, before
//! their rows are written.
//!
//! The writer alone draws versions and writes objects and events; every statement is set-based.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::StorageError;
use super::resource_version::ResourceVersion;
use super::table::GroupResource;
use super::types::{Key, Stored};
use crate::object::Object;

/// One object to write. The writer sets `metadata.resourceVersion`, and `metadata.creationTimestamp` of a new
/// object of an [`Update`] that has none: the database's clock, read under the lock.
#[derive(Clone, Debug)]
pub enum ObjectWrite {
    /// Insert; fails with `AlreadyExists` when the key is taken.
    Create {
        /// The resource.
        resource: GroupResource,
        /// The new object; its uid is set.
        object: Object,
    },
    /// Replace the version `old`; fails with `Conflict` when it is no longer current.
    Replace {
        /// The resource.
        resource: GroupResource,
        /// The version it replaces.
        old: Arc<Stored>,
        /// The new object.
        object: Object,
    },
    /// Delete the version `old`; fails with `Conflict` when it is no longer current.
    Delete {
        /// The resource.
        resource: GroupResource,
        /// The version to delete.
        old: Arc<Stored>,
        /// The state that the event carries, where the object went with a change that was never stored; none = the state
        /// of `old`.
        last: Option<Object>,
    },
}

/// A row for a table that is not an object's: all rows of one statement are written together.
#[derive(Clone, Debug)]
pub struct SideRow {
    /// A statement with one parameter, `$1::json`: the array of rows. It takes no lock but on rows.
    pub statement: &'static str,
    /// The row.
    pub row: Value,
}

/// What a mutation writes: the objects first, in order, then the side rows.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// Columns of the row that the object itself gets when it is created, by name: some of
    /// [`creation_columns`](super::ResourceTable::creation_columns) and of its companions.
    pub columns: Map<String, Value>,
    /// The objects.
    pub objects: Vec<ObjectWrite>,
    /// The rows of other tables.
    pub rows: Vec<SideRow>,
}

/// One key, an expected version, and further writes that commit with it or not at all.
#[derive(Clone, Debug)]
pub struct Update {
    /// The object the caller speaks of; its new state is the answer.
    pub object: ObjectWrite,
    /// Objects of other resources and side rows.
    pub further: Writes,
}

/// Draws versions inside a set mutation.
///
/// Exclusive by construction: it exists only while the writer holds the lock.
#[derive(Debug)]
pub struct Versions {
    last: u64,
}

impl Versions {
    /// Starts after `last`, the newest version drawn so far.
    pub(crate) const fn after(last: ResourceVersion) -> Self {
        Self { last: last.get() }
    }

    /// The next version.
    pub const fn draw(&mut self) -> ResourceVersion {
        self.last += 1;
        ResourceVersion::new(self.last)
    }

    /// The newest version drawn.
    #[must_use]
    pub const fn last(&self) -> ResourceVersion {
        ResourceVersion::new(self.last)
    }
}

/// One object written by a set mutation, at a version that the mutation drew itself.
///
/// The version is drawn by the mutation because it may be part of the object (a token that is the version
/// at which it was granted).
#[derive(Clone, Debug)]
pub struct VersionedWrite {
    /// The version of the write; unique, drawn from the [`Versions`] given.
    pub version: ResourceVersion,
    /// The write.
    pub write: ObjectWrite,
}

/// What a set mutation makes of one batch.
#[derive(Debug)]
pub struct SetOutcome<Output> {
    /// The objects, in the order of their versions.
    pub objects: Vec<VersionedWrite>,
    /// The rows of other tables.
    pub rows: Vec<SideRow>,
    /// What is said of objects that are about to be created: of a [`Forerunner`], else empty.
    pub new_rows: Vec<NewRow>,
    /// One result per input, in the order of the inputs.
    pub outputs: Vec<Output>,
}

/// What a [`Forerunner`] says of an object that is about to be created.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// The resource.
    pub resource: GroupResource,
    /// The object.
    pub key: Key,
    /// Values by name for columns of its row that are not made from it: some of
    /// [`creation_columns`](super::ResourceTable::creation_columns) and of its companions.
    pub columns: Map<String, Value>,
    /// The names of followers that have nothing to do for it: they are not asked, unless set mutations that may change
    /// that share the batch.
    pub spared: &'static [&'static str],
    /// What its creator is told once it is created.
    pub warnings: Vec<String>,
}

/// A mutation that decides over a whole batch of inputs under the lock.
///
/// All inputs of one batch are decided together: the mutation arbitrates between them (two callers for
/// one object: the first wins).
pub trait SetMutation: Send + Sync + 'static {
    /// What one caller asks. Serialised, it is one element of the array given to the statement as
    /// `$1::json`.
    type Input: Serialize + Send + Sync + 'static;
    /// One row of the statement's answer.
    type Row: DeserializeOwned + Send;
    /// What one caller is answered.
    type Output: Send + 'static;

    /// The name in logs and metrics.
    fn name(&self) -> &'static str;

    /// The statement: one parameter, the inputs as `$1::json`; it returns one column of json text per
    /// row. It may delete or lock side rows but never writes objects. Everybody waits while it runs: it
    /// must be served by indexes, and is planned without sequential scans, hash and merge joins.
    fn statement(&self) -> &'static str;

    /// Decides. Pure: it depends on its arguments alone. `now` is the database's clock, read under the
    /// lock.
    ///
    /// # Errors
    /// When a row cannot be understood; the whole set fails and nothing is written.
    fn decide(
        &self,
        inputs: &[Self::Input],
        rows: Vec<Self::Row>,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<Self::Output>, StorageError>;
}

/// One change that a batch has made so far.
#[derive(Clone, Debug)]
pub struct Change {
    /// The resource.
    pub resource: GroupResource,
    /// The state before; `None` when the object is new.
    pub old: Option<Arc<Stored>>,
    /// The state after; `None` when the object is gone.
    pub new: Option<Arc<Stored>>,
    /// The last state of an object that is gone, as its event carries it.
    pub last: Option<Arc<Stored>>,
}

/// A set mutation that follows the changes of a batch in the same transaction.
///
/// Its own changes are not followed again.
pub trait Follower: SetMutation<Output = ()> {
    /// What the changes of the batch ask for; empty = nothing to do, and the statement is not run.
    fn inputs(&self, changes: &[Change]) -> Vec<Self::Input>;
}

/// A set mutation that is asked about the objects that the updates of a batch are to create.
///
/// Its statement runs right after the lock was taken and costs no round trip: it sees the tables as they were before
/// the batch. It writes no objects, but may give the new rows columns with their first write, which costs
/// nothing beside changing the row once more. Objects that set mutations create have no forerunner.
pub trait Forerunner: SetMutation<Output = ()> {
    /// What a new object asks for. It stands in the text of a statement, which the database may log, so nothing of it
    /// is secret. The rows may answer for more inputs than are decided on: those of refused updates are left out.
    fn input(&self, resource: GroupResource, object: &Object) -> Option<Self::Input>;
}
