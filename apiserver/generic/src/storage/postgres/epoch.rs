//! The epoch: which history of the database versions belong to.
//!
//! A standby that takes over may lack acknowledged writes, and so may a database that was restored; both
//! would draw the versions of those writes again, for others. So whoever opens a connection first compares
//! the database's history with what is known of it. Another system or timeline, or a known version or
//! event that is not there, begins a new epoch, far above all versions ever drawn, with the floor at its
//! beginning: whoever watches from an older version is told to list anew.
//!
//! Known is what this replica has read and written since it started, and a high-water mark kept outside
//! the database. Lost writes stay unnoticed when nobody knows of them: those after the last record of the
//! mark, if every replica that has seen them has ended before the database comes back, and the timeline
//! is the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::change_log::Point;
use super::unreachable;
use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::high_water_mark::HighWaterMark;
use crate::storage::options::StorageOptions;
use crate::storage::resource_version::{EPOCH_SHIFT, ResourceVersion};

/// How long a record that was read before is waited for; others may have raised it since.
const READ_AGAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The last epoch: versions stay below 2^53, as clients may take them for floating-point numbers.
const EPOCH_MAX: i64 = (1 << 13) - 1;

/// Of what the database is; of what it holds; and whether it holds the event `$1`, written at `$2`.
const LOOK: &str = "select m.system_identifier is null,
        m.system_identifier is not distinct from s.system_identifier::text
            and m.timeline is not distinct from t.timeline,
        s.system_identifier::text, t.timeline,
        greatest(m.floor_rv, (select max(rv) from apiserver.watch_events)),
        $1 <= m.floor_rv or exists (select from apiserver.watch_events e
            where e.rv = $1 and (extract(epoch from e.at) * 1000000)::bigint = $2),
        greatest(m.epoch, (select last_value from apiserver.resource_version) >> $3)
    from apiserver.rv_meta m, pg_control_system() s,
        (select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer as timeline) t";

/// What is known of the database's history by others than the database.
pub(crate) struct History {
    lock_key: i64,
    patience: Duration,
    mark: Option<Arc<dyn HighWaterMark>>,
    mark_was_read: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// A version that was drawn.
    version: ResourceVersion,
    /// The newest event that was read.
    event: Option<(ResourceVersion, i64)>,
    /// What the high-water mark was last raised to.
    recorded: ResourceVersion,
}

/// What a look at the database has found.
struct Found {
    /// No version has been drawn yet.
    fresh: bool,
    same: bool,
    system: String,
    timeline: i32,
    /// All that is known is there.
    whole: bool,
    epoch: i64,
}

impl Found {
    const fn goes_on(&self) -> bool {
        self.same && self.whole
    }
}

impl History {
    pub(crate) fn new(options: &StorageOptions, mark: Option<Arc<dyn HighWaterMark>>) -> Self {
        Self {
            lock_key: options.lock_key,
            patience: options.statement_timeout,
            mark,
            mark_was_read: AtomicBool::new(false),
            known: Mutex::default(),
        }
    }

    /// A version has been drawn, and its transaction has committed.
    pub(crate) fn committed(&self, version: ResourceVersion) {
        let mut known = self.known();
        known.version = known.version.max(version);
    }

    /// The change log has been read up to here.
    pub(crate) fn read(&self, point: Point) {
        self.committed(point.version);
        if let Some(written) = point.written {
            self.known().event = Some((point.version, written));
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Self::confirm`] for a connection that was just opened: others may have written and ended since the last
    /// one, so that the high-water mark alone knows of it.
    ///
    /// # Errors
    /// As there; and `Unreachable` while the high-water mark has never been read.
    pub(crate) async fn confirm_new(&self, connection: &mut PgConnection) -> Result<(), StorageError> {
        self.read_mark().await?;
        self.confirm(connection).await
    }

    /// Makes sure that what is read and drawn through this connection belongs to a history that holds
    /// all that is known.
    ///
    /// # Errors
    /// `Unreachable` on a standby, which may lack what was acknowledged.
    pub(crate) async fn confirm(&self, connection: &mut PgConnection) -> Result<(), StorageError> {
        let standby: bool = sqlx::query_scalar("select pg_is_in_recovery()")
            .fetch_one(&mut *connection)
            .await?;
        if standby {
            return Err(unreachable("the database is a standby"));
        }
        if self.look(connection).await?.goes_on() {
            return Ok(());
        }
        // Under the writers' own lock nobody draws a version while this is decided.
        let mut tx = connection.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(self.lock_key)
            .execute(&mut *tx)
            .await?;
        let found = self.look(&mut tx).await?;
        if found.goes_on() {
            return Ok(());
        }
        sqlx::query("update apiserver.rv_meta set system_identifier = $1, timeline = $2")
            .bind(&found.system)
            .bind(found.timeline)
            .execute(&mut *tx)
            .await?;
        if !(found.fresh && found.whole) {
            self.begin_epoch(&mut tx, &found).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn look(&self, connection: &mut PgConnection) -> Result<Found, StorageError> {
        // Taken before the database is asked: what is known by then must be there.
        let known = *self.known();
        let (version, written) = known.event.unwrap_or_default();
        let row = sqlx::query(LOOK)
            .bind(version.as_i64())
            .bind(written)
            .bind(EPOCH_SHIFT.cast_signed())
            .fetch_one(connection)
            .await?;
        let newest = ResourceVersion::new(row.try_get::<i64, _>(4)?.cast_unsigned());
        let mut found = Found {
            fresh: row.try_get(0)?,
            same: row.try_get(1)?,
            system: row.try_get(2)?,
            timeline: row.try_get(3)?,
            whole: known.version <= newest && row.try_get(5)?,
            epoch: row
                .try_get::<i64, _>(6)?
                .max(known.version.as_i64() >> EPOCH_SHIFT),
        };
        if mutant!("i1-epoch-kept-after-a-failover") {
            found.same = true;
        }
        if mutant!("i1-lost-versions-drawn-again") {
            found.whole = true;
        }
        if mutant!("i1-lost-event-not-missed") {
            found.whole = known.version <= newest;
        }
        Ok(found)
    }

    async fn begin_epoch(&self, connection: &mut PgConnection, found: &Found) -> Result<(), StorageError> {
        let epoch = found.epoch + 1;
        if epoch > EPOCH_MAX {
            let message = format!("epoch {epoch} would be the next one, and there are {EPOCH_MAX}");
            return Err(StorageError::Corrupt(message));
        }
        let first = epoch << EPOCH_SHIFT;
        tracing::error!(
            epoch,
            system = found.system,
            timeline = found.timeline,
            same_timeline = found.same,
            holds_all_that_is_known = found.whole,
            "the database is not the one it was, and may lack acknowledged writes: a new epoch begins, and all \
             clients list anew"
        );
        sqlx::query("update apiserver.rv_meta set epoch = $1::bigint::integer, floor_rv = $2, floor_at = clock_timestamp()")
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

    /// A failure counts only while the mark was never read: what was read then is known here.
    async fn read_mark(&self) -> Result<(), StorageError> {
        let Some(mark) = &self.mark else { return Ok(()) };
        if mutant!("i1-high-water-mark-not-read") {
            return Ok(());
        }
        let read_before = self.mark_was_read.load(Ordering::Acquire);
        let patience = match read_before {
            true => self.patience.min(READ_AGAIN_TIMEOUT),
            false => self.patience,
        };
        let read = match timeout(patience, mark.read()).await {
            Ok(read) => read.map_err(|error| format!("the high-water mark was not read: {error}")),
            Err(_) => Err("reading the high-water mark took too long".to_owned()),
        };
        match read {
            Ok(version) => {
                self.committed(version.unwrap_or(ResourceVersion::ZERO));
                self.mark_was_read.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) if read_before => {
                tracing::warn!(error, "what others have recorded since is not known");
                Ok(())
            }
            Err(error) => Err(unreachable(error)),
        }
    }

    /// Raises the mark at each interval in which a version was drawn, until the token is cancelled.
    pub(crate) async fn record(self: Arc<Self>, interval: Duration, token: CancellationToken) {
        while token
            .run_until_cancelled(tokio::time::sleep(interval))
            .await
            .is_some()
        {
            self.raise_mark().await;
        }
    }

    /// Raises the mark to the newest version, if there has been one since the last time.
    pub(crate) async fn raise_mark(&self) {
        let Known {
            version: newest,
            recorded,
            ..
        } = *self.known();
        let Some(mark) = self.mark.as_ref().filter(|_| newest > recorded) else {
            return;
        };
        match timeout(self.patience, mark.raise(newest)).await {
            Ok(Ok(())) => self.known().recorded = newest,
            Ok(Err(error)) => tracing::warn!(%error, "the high-water mark was not raised"),
            Err(_) => tracing::warn!("raising the high-water mark took too long"),
        }
    }
}
