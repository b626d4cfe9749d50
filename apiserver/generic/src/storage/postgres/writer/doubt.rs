//! A commit that was sent and not answered, and how it is found out what became of it.
//!
//! The transaction held the lock, so whoever holds the lock after it knows that it has ended. It has
//! committed exactly if its first event is in the change log. Until that is known its callers wait;
//! only when the database cannot be asked in time are they told that the outcome is unknown.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{Executor, SqlStr};

use super::batch::Answers;
use crate::storage::error::StorageError;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::types::Stored;

/// What is known of a transaction when its commit is sent.
#[derive(Debug)]
pub(super) struct Doubt {
    /// The version of its last event; versions that were drawn and not used leave no trace.
    pub(super) last: Option<ResourceVersion>,
    /// What its updates are answered if it has committed.
    pub(super) answers: Answers,
    /// The state that its first event carries; none when it has written side rows alone, which leave no trace to look for.
    pub(super) witness: Option<Arc<Stored>>,
}

impl Doubt {
    /// Whether the transaction has committed; none when that cannot be told.
    pub(super) async fn committed(
        &self,
        connection: &mut PgConnection,
        lock: SqlStr,
    ) -> Result<Option<bool>, StorageError> {
        let Some(witness) = &self.witness else {
            return Ok(None);
        };
        connection.execute(sqlx::raw_sql(lock)).await?;
        // The version alone is no proof: another writer may have drawn it after a rollback.
        let found = sqlx::query_scalar(
            "select exists (select from apiserver.watch_events e where e.rv = $1 and e.object = $2)",
        )
        .bind(witness.version.as_i64())
        .bind(String::from_utf8_lossy(&witness.encoded))
        .fetch_one(&mut *connection)
        .await?;
        connection.execute("rollback").await?;
        Ok(Some(found))
    }
}
