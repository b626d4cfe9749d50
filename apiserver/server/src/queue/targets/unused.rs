//! Sets of target terms that no order has referred to for an hour go.
//!
//! A claim looks into every set of its agent, so sets must not be kept for ever. What always holds: *the set of an order
//! exists as long as the order, and no create fails because a set goes*. A create reads the id of its set and writes its
//! order in one transaction under the version lock ([`NewOrders`](super::NewOrders)); nothing keeps the set there but
//! the lock. So a removal takes it too, and asks under it once more whether any order refers to the set. Whoever comes
//! after finds no such set, and makes it anew.
//!
//! All else is done without the lock: which sets are unused, and since when. The hour is for sets that are used again
//! and again: to make one, all agents are read and matched under the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use generic_apiserver::mutant;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, Storage, StorageError, Versions};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::IgnoredAny;
use sqlx::postgres::PgPool;

use crate::queue::guard::without;
use crate::queue::rows;

/// How many sets one look goes through: a few milliseconds of a connection.
const NOTED_MAX: i64 = 1000;
/// How many sets one look removes: three milliseconds of the version lock, with that many members.
const REMOVED_MAX: i64 = 100;
/// How many members the sets have that one look removes, but for those of the last.
const MEMBERS_MAX: i64 = 1000;

/// The looks of one replica for sets that no order refers to. Two that meet find nothing left to do.
#[derive(Debug, Default)]
pub(in crate::queue) struct UnusedSets {
    removal: Arc<RemoveSets>,
    /// The set after which the next look goes on. One that begins anew with the process misses nothing.
    after: AtomicI64,
}

/// What a look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// How many sets were removed.
    pub removed: usize,
    /// Whether there are sets that it has not come to.
    pub more: bool,
}

impl UnusedSets {
    /// One look: notes since when the next sets have been unused, and removes some that have been for an hour.
    pub(in crate::queue) async fn look(&self, storage: &Storage) -> Result<Looked, StorageError> {
        let next = note(storage.pool(), self.after.load(Ordering::Relaxed)).await?;
        self.after.store(next.unwrap_or_default(), Ordering::Relaxed);
        let sets = long_unused(storage.pool()).await?;
        let removed = if sets.is_empty() {
            0
        } else {
            self.remove(storage, RemoveSetsInput { sets }).await?
        };
        let more = next.is_some() || removed > 0;
        Ok(Looked { removed, more })
    }

    async fn remove(&self, storage: &Storage, input: RemoveSetsInput) -> Result<usize, StorageError> {
        if mutant!("i7-set-removed-without-the-lock") {
            let query = sqlx::query(self.removal.statement()).bind(rows::text(&[input]));
            return Ok(query.fetch_all(storage.pool()).await?.len());
        }
        storage.run(&self.removal, input).await
    }
}

/// Gives the set after which to go on.
async fn note(pool: &PgPool, after: i64) -> Result<Option<i64>, StorageError> {
    sqlx::query_scalar(include_str!("note_unused.sql"))
        .bind(after)
        .bind(NOTED_MAX)
        .fetch_one(pool)
        .await
        .map_err(StorageError::from)
}

async fn long_unused(pool: &PgPool) -> Result<Vec<i64>, StorageError> {
    sqlx::query_scalar(include_str!("long_unused.sql"))
        .bind(REMOVED_MAX)
        .bind(MEMBERS_MAX)
        .fetch_all(pool)
        .await
        .map_err(StorageError::from)
}

/// The set mutation that removes sets which no order refers to.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveSets;

/// One wish to remove sets.
#[derive(Clone, Debug, Serialize)]
pub struct RemoveSetsInput {
    /// Sets that no order referred to a moment ago.
    pub sets: Vec<i64>,
}

impl SetMutation for RemoveSets {
    type Input = RemoveSetsInput;
    /// A set that was removed; that there is one says enough.
    type Row = IgnoredAny;
    /// How many were removed.
    type Output = usize;

    fn name(&self) -> &'static str {
        "remove-sets"
    }

    fn statement(&self) -> &'static str {
        let statement = include_str!("remove_unused.sql");
        if mutant!("i7-set-in-use-removed") {
            return without(statement, "and o.used is null", "");
        }
        statement
    }

    fn decide(
        &self,
        inputs: &[RemoveSetsInput],
        rows: Vec<IgnoredAny>,
        _versions: &mut Versions,
        _now: Timestamp,
    ) -> Result<SetOutcome<usize>, StorageError> {
        Ok(SetOutcome {
            objects: Vec::new(),
            rows: Vec::new(),
            new_rows: Vec::new(),
            outputs: vec![rows.len(); inputs.len()],
        })
    }
}
