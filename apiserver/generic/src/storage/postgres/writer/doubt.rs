//! A commit that was sent and not answered, and how it is found out what became of it.
//!
//! The transaction held the lock, so whoever holds the lock after it knows that it has ended. It has
//! committed exactly if its first event is in the change log. Until that is known its callers wait;
//! only when the database cannot be asked in time are they told that the outcome is unknown.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{Executor, SqlStr};

use super::batch::Answers;
use crate::storage::error::StorageError;
use crate::storage::resource_version::ResourceVersion;

/// What is known of a transaction when its commit is sent.
#[derive(Debug)]
pub(super) struct Doubt {
    /// The version of its last event; versions that were drawn and not used leave no trace.
    pub(super) last: Option<ResourceVersion>,
    /// What its updates are answered if it has committed.
    pub(super) answers: Answers,
    /// Its first event; none when it has written side rows alone, which leave no trace to look for.
    pub(super) witness: Option<Value>,
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
            "select exists (select from apiserver.watch_events e
                 where e.rv = cast($1::json ->> 'rv' as bigint) and e.object = $1::json ->> 'object')",
        )
        .bind(witness.to_string())
        .fetch_one(&mut *connection)
        .await?;
        connection.execute("rollback").await?;
        Ok(Some(found))
    }
}
