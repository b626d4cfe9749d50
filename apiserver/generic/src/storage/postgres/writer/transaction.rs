//! One transaction of the writer, from the lock to the commit.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row, SqlSafeStr, SqlStr};

use super::batch::{Answers, Batch};
use super::doubt::Doubt;
use super::judge::Judge;
use super::set::{Decided, ErasedFollower, SetGroup};
use super::stage::{Stage, Written, state};
use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::metrics::StorageMetrics;
use crate::storage::mutation::{Change, Versions};
use crate::storage::postgres::{Resources, statement};
use crate::storage::resource_version::ResourceVersion;

/// The transaction's first round trip. The lock is its first statement that locks anything, and what
/// follows sees every commit before it: under READ COMMITTED each statement has its own snapshot.
pub(super) fn lock_statement(key: i64) -> SqlStr {
    let (mut isolation, mut lock, mut last) = ("read committed", "pg_advisory_xact_lock", "last_value");
    if mutant!("i1-lock-not-taken") {
        lock = "abs";
    }
    if mutant!("i1-versions-of-a-bare-sequence") {
        (lock, last) = ("abs", "nextval('apiserver.resource_version') - 1");
    }
    if mutant!("i7-snapshot-before-the-lock") {
        isolation = "repeatable read";
    }
    statement(format!(
        "begin isolation level {isolation};
         select {lock}({key});
         select {last}, (extract(epoch from clock_timestamp()) * 1000000)::bigint
         from apiserver.resource_version"
    ))
}

/// The parts of one transaction.
pub(super) struct Transaction<'a> {
    connection: &'a mut PgConnection,
    resources: &'a Resources,
    followers: &'a [Arc<dyn ErasedFollower>],
    lock: SqlStr,
    metrics: &'a StorageMetrics,
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(
        connection: &'a mut PgConnection,
        resources: &'a Resources,
        followers: &'a [Arc<dyn ErasedFollower>],
        lock: SqlStr,
        metrics: &'a StorageMetrics,
    ) -> Self {
        Self {
            connection,
            resources,
            followers,
            lock,
            metrics,
        }
    }

    /// Runs the batch. `doubt` is filled when the commit is sent: when this fails or is given up after
    /// that, the outcome is unknown. The caller rolls back after an error.
    pub(super) async fn run(
        mut self,
        batch: &mut Batch,
        doubt: &mut Option<Doubt>,
    ) -> Result<Answers, StorageError> {
        let asked = Instant::now();
        let (mut versions, now) = self.lock().await?;
        self.metrics.locked(asked);
        let locked = Instant::now();
        let start = versions.last();
        let mut written = Written::default();
        let answers = self.updates(batch, &mut versions, now, &mut written).await?;
        for set in &mut batch.sets {
            self.set(set.as_mut(), &mut versions, now, &mut written).await?;
        }
        self.follow(&mut versions, now, &mut written).await?;
        if !written.any {
            self.connection.execute("rollback").await?;
            return Ok(answers);
        }
        *doubt = Some(Doubt {
            last: written.last().map(|state| state.version),
            answers: answers.clone(),
            witness: written.first().cloned(),
        });
        if mutant!("i9-answered-before-the-commit") {
            std::mem::take(batch).answer(answers.clone());
        }
        let sent = Instant::now();
        self.commit(start, versions.last()).await?;
        self.metrics.committed(locked, sent, versions.last());
        Ok(answers)
    }

    async fn lock(&mut self) -> Result<(Versions, Timestamp), StorageError> {
        let rows = sqlx::raw_sql(self.lock.clone())
            .fetch_all(&mut *self.connection)
            .await?;
        let row = rows
            .last()
            .ok_or_else(|| StorageError::Database("the version sequence is gone".to_owned()))?;
        let last: i64 = row.try_get(0)?;
        let microseconds: i64 = row.try_get(1)?;
        let now = Timestamp::from_microsecond(microseconds)
            .map_err(|error| StorageError::Database(format!("the database's clock: {error}")))?;
        let now = if mutant!("i8-clock-of-the-replica") {
            Timestamp::now()
        } else {
            now
        };
        Ok((Versions::after(ResourceVersion::new(last.cast_unsigned())), now))
    }

    async fn updates(
        &mut self,
        batch: &mut Batch,
        versions: &mut Versions,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<Answers, StorageError> {
        if batch.updates.is_empty() {
            return Ok(Vec::new());
        }
        let mut judge = Judge::read(self.connection, self.resources, &batch.updates, batch.refused).await?;
        let mut stage = Stage::new(self.resources);
        let mut answers = Vec::with_capacity(batch.updates.len());
        for pending in &mut batch.updates {
            if let Err(error) = judge.accept(&pending.update) {
                answers.push(Err(error));
                continue;
            }
            let own = written.changes.len();
            pending.date(now);
            let update = &mut pending.update;
            for write in std::iter::once(&mut update.object).chain(&mut update.further.objects) {
                stage.add(write, versions.draw(), written)?;
            }
            update
                .further
                .rows
                .iter()
                .cloned()
                .for_each(|row| stage.add_side(row));
            let made = state(&written.changes[own]);
            answers.push(
                made.cloned()
                    .ok_or_else(|| StorageError::Database("a change of nothing".to_owned())),
            );
        }
        self.precede(&mut stage, versions, now, written).await?;
        stage.execute(self.connection, written).await?;
        Ok(answers)
    }

    /// Followers that add to what is about to be written.
    async fn precede(
        &mut self,
        stage: &mut Stage<'_>,
        versions: &mut Versions,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), StorageError> {
        for mut group in groups(self.followers, true, &written.changes)? {
            let decided = self.decide(group.as_mut(), versions, now).await?;
            if !decided.objects.is_empty() {
                let name = group.name();
                return Err(StorageError::Database(format!(
                    "{name} wrote objects before those it follows"
                )));
            }
            stage.add_columns(decided.columns);
            decided.rows.into_iter().for_each(|row| stage.add_side(row));
        }
        Ok(())
    }

    /// Runs the statement of a set mutation, and lets it decide.
    async fn decide(
        &mut self,
        set: &mut dyn SetGroup,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<Decided, StorageError> {
        let rows = sqlx::query(set.statement().into_sql_str())
            .bind(set.inputs())
            .fetch_all(&mut *self.connection)
            .await?;
        // Text and json look the same on the wire.
        let rows = rows
            .iter()
            .map(|row| row.try_get_unchecked(0))
            .collect::<Result<Vec<String>, _>>()?;
        set.decide(&rows, versions, now)
    }

    async fn set(
        &mut self,
        set: &mut dyn SetGroup,
        versions: &mut Versions,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), StorageError> {
        let mut drawn = versions.last();
        let decided = self.decide(set, versions, now).await?;
        // The statement may have deleted side rows.
        written.any = true;
        let mut stage = Stage::new(self.resources);
        for mut object in decided.objects {
            if object.version <= drawn || object.version > versions.last() {
                let (name, version) = (set.name(), object.version);
                return Err(StorageError::Database(format!(
                    "{name} wrote version {version} out of order"
                )));
            }
            drawn = object.version;
            stage.add(&mut object.write, object.version, written)?;
        }
        decided.rows.into_iter().for_each(|row| stage.add_side(row));
        stage.execute(self.connection, written).await
    }

    /// Followers see the changes of the batch, not those of one another.
    async fn follow(
        &mut self,
        versions: &mut Versions,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), StorageError> {
        for mut group in groups(self.followers, false, &written.changes)? {
            self.set(group.as_mut(), versions, now, written).await?;
        }
        Ok(())
    }

    /// The sequence moves with the commit and before it: a version that was drawn is never drawn again.
    async fn commit(&mut self, start: ResourceVersion, last: ResourceVersion) -> Result<(), StorageError> {
        if mutant!("i6-sequence-set-after-the-commit") {
            self.connection.execute("select 1; commit").await?;
            let set = statement(format!("select setval('apiserver.resource_version', {last})"));
            self.connection.execute(sqlx::raw_sql(set)).await?;
            return Ok(());
        }
        let text = if last > start {
            format!("select setval('apiserver.resource_version', {last}); commit")
        } else {
            "commit".to_owned()
        };
        sqlx::raw_sql(statement(text))
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}

/// What the changes ask of the followers that run before, or of those that run after.
fn groups(
    followers: &[Arc<dyn ErasedFollower>],
    preceding: bool,
    changes: &[Change],
) -> Result<Vec<Box<dyn SetGroup>>, StorageError> {
    let asked = followers
        .iter()
        .filter(|follower| follower.precedes() == preceding);
    asked
        .filter_map(|follower| follower.group(changes).transpose())
        .collect()
}
