//! One transaction of the writer, from the lock to the commit.

use std::sync::Arc;
use std::time::Instant;

use futures::TryStreamExt;
use jiff::Timestamp;
use serde_json::Map;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Either, Executor, Row, SqlSafeStr, SqlStr};

use super::Attendants;
use super::batch::{Answers, Batch, Haste, PendingUpdate};
use super::doubt::Doubt;
use super::forerunner::Questions;
use super::set::{Decided, ErasedFollower, SetGroup};
use super::stage::{Stage, Written};
use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::metrics::StorageMetrics;
use crate::storage::mutation::Versions;
use crate::storage::postgres::{Resources, statement, unreachable};
use crate::storage::resource_version::ResourceVersion;

/// Which statement of the lock's tells the newest version and the time.
const LOCK_STATE: usize = 2;

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
    pub(super) connection: &'a mut PgConnection,
    pub(super) resources: &'a Resources,
    attendants: &'a Attendants,
    lock: SqlStr,
    metrics: &'a StorageMetrics,
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(
        connection: &'a mut PgConnection,
        resources: &'a Resources,
        attendants: &'a Attendants,
        lock: SqlStr,
        metrics: &'a StorageMetrics,
    ) -> Self {
        Self {
            connection,
            resources,
            attendants,
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
        let mut questions = self.questions(batch.updates.iter())?;
        let asked = Instant::now();
        let (mut versions, now, rows) = self.lock(&questions.text()).await.map_err(blameless)?;
        questions.rows = rows;
        self.metrics.locked(asked);
        let locked = Instant::now();
        self.hasten(batch.haste).await?;
        let start = versions.last();
        let mut written = Written::default();
        let answers = self
            .updates(batch, questions, &mut versions, now, &mut written)
            .await?;
        for set in &mut batch.sets {
            self.set(set.as_mut(), &mut versions, now, &mut written).await?;
        }
        self.follow(&mut versions, now, &mut written).await?;
        if !written.any {
            self.connection.execute("rollback").await?;
            return Ok(answers);
        }
        self.take_time(batch.haste).await?;
        *doubt = Some(Doubt {
            last: written.last().map(|state| state.version),
            answers: answers.clone(),
            witness: written.first().cloned(),
        });
        if mutant!("i9-answered-before-the-commit") {
            std::mem::take(batch).answer(answers.clone());
        }
        let sent = Instant::now();
        self.commit(start, versions.last()).await.map_err(blameless)?;
        self.metrics.committed(locked, sent, versions.last());
        Ok(answers)
    }

    /// What forerunners ask about these updates.
    pub(super) fn questions<'u>(
        &self,
        updates: impl Iterator<Item = &'u PendingUpdate>,
    ) -> Result<Questions, StorageError> {
        Questions::about(
            &self.attendants.forerunners,
            updates.map(|pending| &pending.update),
        )
    }

    /// Takes the lock; gives where versions go on, the time, and the answers to the questions.
    async fn lock(
        &mut self,
        questions: &str,
    ) -> Result<(Versions, Timestamp, Vec<Vec<String>>), StorageError> {
        let text = statement(format!("{}{}", self.lock.as_str(), questions));
        let mut results = results(self.connection, text).await?.into_iter();
        let state = results.nth(LOCK_STATE).unwrap_or_default();
        let (versions, now) = start(&state)?;
        let answers = results.map(|rows| texts(&rows)).collect::<Result<_, _>>()?;
        Ok((versions, now, answers))
    }

    /// Shortens the time limit of statements until the commit, if the batch is in haste. The lock is
    /// waited for as long as ever: that others have it is not the fault of this batch.
    async fn hasten(&mut self, haste: Option<Haste>) -> Result<(), StorageError> {
        let Some(haste) = haste else { return Ok(()) };
        // 0 would be no limit at all.
        let milliseconds = haste.statement_timeout.as_millis().max(1);
        let text = statement(format!("set local statement_timeout = {milliseconds}"));
        self.connection.execute(sqlx::raw_sql(text)).await?;
        Ok(())
    }

    /// Ends the haste before the commit: cut short while it waits for a standby, it would be taken for done.
    async fn take_time(&mut self, haste: Option<Haste>) -> Result<(), StorageError> {
        if haste.is_some() {
            self.connection
                .execute("set local statement_timeout to default")
                .await?;
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
        set.decide(&texts(&rows)?, versions, now)
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
            stage.add(&mut object.write, object.version, &Map::new(), written)?;
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
        for mut group in groups(&self.attendants.followers, written)? {
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

/// The time limit of statements ends the wait for the lock as well, and the commit's for the disk: none of the
/// operations is at fault then, and trying each alone would only wait as often.
pub(super) fn blameless(error: StorageError) -> StorageError {
    match error {
        StorageError::TimedOut(message) => unreachable(message),
        error => error,
    }
}

/// What the changes ask of the followers.
fn groups(
    followers: &[Arc<dyn ErasedFollower>],
    written: &Written,
) -> Result<Vec<Box<dyn SetGroup>>, StorageError> {
    followers
        .iter()
        .filter_map(|follower| follower.group(&written.changes_for(follower.name())).transpose())
        .collect()
}

/// Runs a text of statements without parameters; gives the rows of each.
async fn results(connection: &mut PgConnection, text: SqlStr) -> Result<Vec<Vec<PgRow>>, StorageError> {
    let mut stream = sqlx::raw_sql(text).fetch_many(connection);
    let (mut results, mut rows) = (Vec::new(), Vec::new());
    while let Some(next) = stream.try_next().await? {
        match next {
            Either::Right(row) => rows.push(row),
            Either::Left(_) => results.push(std::mem::take(&mut rows)),
        }
    }
    Ok(results)
}

/// The text of each row. Text and json look the same on the wire.
pub(super) fn texts(rows: &[PgRow]) -> Result<Vec<String>, sqlx::Error> {
    rows.iter().map(|row| row.try_get_unchecked(0)).collect()
}

/// Where versions go on, and what time it is.
fn start(state: &[PgRow]) -> Result<(Versions, Timestamp), StorageError> {
    let row = state
        .first()
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
