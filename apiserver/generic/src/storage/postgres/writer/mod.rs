//! The writer: one task per replica that puts concurrent operations into one transaction each time.
//!
//! A batch is whatever is queued, up to a bound, never waited for. Under the advisory lock, held from
//! the first statement to the commit, the updates of the batch are judged, looked at by forerunners and
//! written, then its set mutations decide and are written, then the followers; versions are drawn in memory and the
//! sequence is set with the commit. A statement that the database refuses rolls the batch back; it is judged once more
//! without the belief that the keys of creates are free, and then halves of it are tried again until the
//! operation at fault stands alone, so that its neighbours commit. After a statement that took too long they are
//! tried one by one, and in haste: everybody waits for the lock meanwhile.
//!
//! What this leaves out: reading; a change comes back through the change log.

mod batch;
mod doubt;
mod forerunner;
mod judge;
mod set;
mod stage;
mod transaction;
mod updates;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sqlx::postgres::PgConnection;
use sqlx::{Executor, SqlStr};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::batch::{Answer, Operation, PendingUpdate};
use self::batch::{Answers, Batch, Collector, Haste};
use self::doubt::Doubt;
pub(crate) use self::forerunner::{ErasedForerunner, ForerunnerOf, foretell};
pub(crate) use self::set::{ErasedFollower, FollowerOf, Group};
use self::transaction::{Transaction, blameless};
use super::epoch::History;
use super::{Resources, connect, unreachable};
use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::metrics::{Ended, StorageMetrics};
use crate::storage::options::StorageOptions;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A client that creates what exists, and goes on doing so, must not make its neighbours' work twice as long.
const LOOK_AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// Who else is asked about each batch, in order.
#[derive(Default)]
pub(crate) struct Attendants {
    pub(crate) forerunners: Vec<Arc<dyn ErasedForerunner>>,
    pub(crate) followers: Vec<Arc<dyn ErasedFollower>>,
}

/// The task's state.
pub(crate) struct Writer {
    options: Arc<StorageOptions>,
    resources: Arc<Resources>,
    attendants: Arc<Attendants>,
    lock: SqlStr,
    history: Arc<History>,
    /// Told after each commit: the tailer here, and whoever nudges the other replicas.
    committed: Vec<Arc<Notify>>,
    metrics: Arc<StorageMetrics>,
    connection: Option<PgConnection>,
    backoff: Duration,
    /// No attempt to connect before this.
    connect_after: Instant,
    /// Until then the keys of creates are looked at before they are written.
    look_until: Instant,
}

impl Writer {
    pub(crate) fn new(
        options: Arc<StorageOptions>,
        resources: Arc<Resources>,
        attendants: Arc<Attendants>,
        history: Arc<History>,
        committed: Vec<Arc<Notify>>,
        metrics: Arc<StorageMetrics>,
    ) -> Self {
        let lock = transaction::lock_statement(options.lock_key);
        let connect_after = Instant::now();
        Self {
            options,
            resources,
            attendants,
            lock,
            history,
            committed,
            metrics,
            connection: None,
            backoff: BACKOFF_MIN,
            connect_after,
            look_until: connect_after,
        }
    }

    /// Runs until the token is cancelled and what was queued before is done.
    pub(crate) async fn run(mut self, queue: mpsc::Receiver<Operation>, token: CancellationToken) {
        let mut collector = Collector::new(queue, &self.options);
        while let Some(batch) = collector.next(&token).await {
            self.execute(batch).await;
        }
    }

    async fn execute(&mut self, mut batch: Batch) {
        batch.refused = Instant::now() < self.look_until;
        let mut waiting = vec![batch];
        while let Some(mut batch) = waiting.pop() {
            if batch.is_late() {
                batch.fail(&late());
                continue;
            }
            let result = self.attempt(&mut batch).await;
            self.metrics.transaction(batch.len(), ended(&result));
            match result {
                Ok(answers) => {
                    self.committed.iter().for_each(|notify| notify.notify_one());
                    batch.answer(answers);
                }
                Err(error) => waiting.extend(self.again(batch, error)),
            }
        }
    }

    /// What is to be tried again of a batch that failed, the last first. The rest hears the error.
    fn again(&mut self, mut batch: Batch, error: StorageError) -> Vec<Batch> {
        match error {
            StorageError::Unreachable { .. } => batch.fail(&error),
            // A key that was taken to be free may not be: what was believed is looked at now.
            StorageError::Constraint(_) if batch.believes() => {
                self.look_until = Instant::now() + LOOK_AFTER_REFUSAL;
                batch.refused = true;
                return vec![batch];
            }
            StorageError::TimedOut(message) if batch.haste.is_none() && batch.len() > 1 => {
                let operations = batch.len();
                tracing::warn!(message, operations, "trying one by one what took too long");
                return batch.singles(self.haste()).into_iter().rev().collect();
            }
            error if batch.len() == 1 => batch.fail(&error),
            error => {
                tracing::debug!(%error, operations = batch.len(), "batch refused, trying its halves");
                let (first, second) = batch.split();
                return vec![second, first];
            }
        }
        Vec::new()
    }

    /// Trying a batch again holds the lock no longer than the statement did that took too long. Halves of it would run
    /// into a limit at every step down to the operation at fault; of single ones it alone does. What is sound takes
    /// milliseconds, so that a tenth of the limit is enough for it, and if everything is slow a few are tried, not all.
    fn haste(&self) -> Haste {
        let limit = self.options.statement_timeout;
        Haste {
            until: Instant::now() + limit,
            statement_timeout: limit / 10,
        }
    }

    /// A connection may have died while nobody used it, and a transaction cut off before its commit
    /// has left nothing behind: such an attempt is made once more on a new connection.
    async fn attempt(&mut self, batch: &mut Batch) -> Result<Answers, StorageError> {
        let reused = self.connection.is_some();
        match self.attempt_once(batch).await {
            Err(StorageError::Unreachable {
                ambiguous: false,
                message,
            }) if reused => {
                tracing::warn!(message, "connection of the writer lost, trying again");
                self.attempt_once(batch).await
            }
            result => result,
        }
    }

    async fn attempt_once(&mut self, batch: &mut Batch) -> Result<Answers, StorageError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await.map_err(blameless)?,
        };
        let mut doubt = None;
        let transaction = Transaction::new(
            &mut connection,
            &self.resources,
            &self.attendants,
            self.lock.clone(),
            &self.metrics,
        );
        let guarded = AssertUnwindSafe(transaction.run(batch, &mut doubt)).catch_unwind();
        let result = match tokio::time::timeout(self.options.transaction_timeout, guarded).await {
            Ok(Ok(result)) => result,
            // The connection may be anywhere in its protocol: it is dropped, and so rolled back.
            Ok(Err(_panic)) => return Err(StorageError::Database("a mutation panicked".to_owned())),
            Err(_) => Err(unreachable("the transaction took too long")),
        };
        match result {
            Ok(answers) => {
                if let Some(last) = doubt.and_then(|committed| committed.last) {
                    self.history.committed(last);
                }
                self.connection = Some(connection);
                Ok(answers)
            }
            Err(StorageError::Unreachable { message, .. }) => match doubt {
                Some(doubt) => self.settle(doubt, message).await,
                None => Err(unreachable(message)),
            },
            Err(error) => {
                if connection.execute("rollback").await.is_ok() {
                    self.connection = Some(connection);
                }
                Err(error)
            }
        }
    }

    /// Finds out what became of a commit that was not answered. One that has not happened is like any
    /// transaction that was cut off.
    async fn settle(&mut self, doubt: Doubt, message: String) -> Result<Answers, StorageError> {
        tracing::warn!(
            message,
            "a commit was not answered, finding out what became of it"
        );
        if mutant!("i9-doubt-taken-for-success") {
            return Ok(doubt.answers);
        }
        let asked = tokio::time::timeout(self.options.transaction_timeout, async {
            loop {
                if let Ok(mut connection) = self.connect_to_history().await
                    && let Ok(committed) = doubt.committed(&mut connection, self.lock.clone()).await
                {
                    return (committed, connection);
                }
                tokio::time::sleep(BACKOFF_MIN).await;
            }
        });
        let Ok((committed, connection)) = asked.await else {
            return Err(StorageError::Unreachable {
                message,
                ambiguous: true,
            });
        };
        self.connection = Some(connection);
        match committed {
            Some(true) => Ok(doubt.answers),
            Some(false) => Err(unreachable(message)),
            None => Err(StorageError::Unreachable {
                message,
                ambiguous: true,
            }),
        }
    }

    /// Between attempts that fail the callers are answered at once rather than kept.
    async fn connect(&mut self) -> Result<PgConnection, StorageError> {
        if Instant::now() < self.connect_after {
            return Err(unreachable("the last attempt to connect has just failed"));
        }
        let connected = self.connect_to_history().await;
        match &connected {
            Ok(_) => self.backoff = BACKOFF_MIN,
            Err(_) => {
                self.connect_after = Instant::now() + self.backoff;
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
            }
        }
        connected
    }

    /// A failover cuts all connections, so that a look at the history belongs to each new one.
    async fn connect_to_history(&self) -> Result<PgConnection, StorageError> {
        let mut connection = connect(&self.options, "writer").await?;
        let ready = tokio::time::timeout(self.options.transaction_timeout, self.make_ready(&mut connection));
        ready
            .await
            .map_err(|_| unreachable("making a connection ready took too long"))??;
        Ok(connection)
    }

    async fn make_ready(&self, connection: &mut PgConnection) -> Result<(), StorageError> {
        self.history.confirm_new(connection).await?;
        for preparation in forerunner::preparations(&self.attendants.forerunners) {
            connection.execute(sqlx::raw_sql(preparation)).await?;
        }
        Ok(())
    }
}

const fn ended(result: &Result<Answers, StorageError>) -> Ended {
    match result {
        Ok(_) => Ended::Done,
        Err(StorageError::Unreachable { .. }) => Ended::Unreachable,
        Err(_) => Ended::Refused,
    }
}

fn late() -> StorageError {
    StorageError::TimedOut("a statement of the same transaction took too long".to_owned())
}
