//! The epoch: which history of the database versions belong to.
//!
//! A standby that takes over may lack acknowledged writes, and would draw their versions again for
//! others. So the first writer that finds another timeline, or another system, starts a new epoch far
//! above all versions drawn before, with the floor at its beginning: whoever watches from an older
//! version is told to list anew.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::unreachable;
use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::resource_version::EPOCH_SHIFT;

/// Whether the history is known at all, and whether it is the one known; then epoch, system, timeline.
const LOOK: &str = "select m.system_identifier is null,
        m.system_identifier is not distinct from s.system_identifier::text
            and m.timeline is not distinct from t.timeline,
        m.epoch, s.system_identifier::text, t.timeline
    from apiserver.rv_meta m, pg_control_system() s,
        (select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer as timeline) t";

struct History {
    fresh: bool,
    same: bool,
    epoch: i32,
    system: String,
    timeline: i32,
}

/// Makes sure that versions drawn through this connection belong to the database's present history.
///
/// # Errors
/// `Unreachable` on a standby, which draws none.
pub(crate) async fn confirm(connection: &mut PgConnection, lock_key: i64) -> Result<(), StorageError> {
    let standby: bool = sqlx::query_scalar("select pg_is_in_recovery()")
        .fetch_one(&mut *connection)
        .await?;
    if standby {
        return Err(unreachable("the database is a standby"));
    }
    if mutant!("i1-epoch-kept-after-a-failover") || look(connection).await?.same {
        return Ok(());
    }
    // Under the writers' own lock nobody draws a version while this is decided.
    let mut tx = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(lock_key)
        .execute(&mut *tx)
        .await?;
    let History {
        fresh,
        same,
        epoch,
        system,
        timeline,
    } = look(&mut tx).await?;
    if same {
        return Ok(());
    }
    sqlx::query("update apiserver.rv_meta set system_identifier = $1, timeline = $2")
        .bind(&system)
        .bind(timeline)
        .execute(&mut *tx)
        .await?;
    if !fresh {
        tracing::warn!(
            epoch = epoch + 1,
            system,
            timeline,
            "the database's history forked: new epoch"
        );
        begin_epoch(&mut tx, epoch + 1).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn look(connection: &mut PgConnection) -> Result<History, StorageError> {
    let row = sqlx::query(LOOK).fetch_one(connection).await?;
    Ok(History {
        fresh: row.try_get(0)?,
        same: row.try_get(1)?,
        epoch: row.try_get(2)?,
        system: row.try_get(3)?,
        timeline: row.try_get(4)?,
    })
}

async fn begin_epoch(connection: &mut PgConnection, epoch: i32) -> Result<(), StorageError> {
    let first = i64::from(epoch) << EPOCH_SHIFT;
    sqlx::query("update apiserver.rv_meta set epoch = $1, floor_rv = $2, floor_at = clock_timestamp()")
        .bind(epoch)
        .bind(first)
        .execute(&mut *connection)
        .await?;
    sqlx::query("select setval('apiserver.resource_version', $1)")
        .bind(first)
        .execute(connection)
        .await?;
    Ok(())
}
