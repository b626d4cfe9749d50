//! The task that serves the queue on every replica.
//!
//! It looks without the version lock whether anything is due, and takes the lock only then. Without a
//! database it waits; what fell due meanwhile is found afterwards, and leases are not blamed for the gap.
//! Beside that, and holding up none of it, it rings the agents about which the authorizer must be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use generic_apiserver::authorization::Authorizer;
use generic_apiserver::mutant;
use generic_apiserver::storage::{SetMutation, Storage, StorageError};
use sqlx::postgres::PgPool;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Sweep, SweepInput};
use crate::queue::guard::without;
use crate::queue::metrics::{QueueMetrics, RingCause};
use crate::queue::ring::{LimitedRings, RingAgain, RingAgainInput};
use crate::queue::targets::{Looked, UnusedSets};
use crate::queue::{Namespaces, attendance, waiting};

/// The longest time between two looks; unanswered rings are counted in seconds.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const INTERVAL_MIN: Duration = Duration::from_millis(20);
/// What one look for limited agents may take; the reviews of the next begin anew.
const LIMITED_TIMEOUT: Duration = Duration::from_secs(10);
/// How many orders of each kind one sweep takes: a few milliseconds of the version lock.
const SWEEP_MAX: usize = 100;
/// How often claim requests are forgotten, and idle agents that no longer answer; and how often sets of target terms
/// are looked at, once all have been.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);
/// How often the status of the agents, and why orders wait, are brought up to date.
const ATTEND_INTERVAL: Duration = Duration::from_secs(10);
/// How often the partitions of the log are looked after.
const PARTITIONS_INTERVAL: Duration = Duration::from_secs(24 * 3600);

const FORGET_REQUESTS: &str = "
delete from work.claim_requests r where r.ctid = any (array(
    select ctid from work.claim_requests
    where answered_at < clock_timestamp() - interval '10 minutes' order by answered_at limit 5000))";
/// An agent that was rung asks soon; no agent leaves more than an hour between two polls.
const FORGET_IDLE: &str = "
delete from work.idle_agents
where rung_at < clock_timestamp() - interval '2 minutes' or asked_at < clock_timestamp() - interval '2 hours'";
const FORGET_CONTACTS: &str = "
delete from work.agent_contacts where heard_at < clock_timestamp() - interval '2 hours'";

/// The sweeper of one replica.
pub struct Sweeper {
    storage: Storage,
    namespaces: Arc<dyn Namespaces>,
    sweep: Arc<Sweep>,
    /// How many orders of each kind the next sweep takes, 1 to [`SWEEP_MAX`]: half of them after one that failed, since
    /// large orders may take longer together than a transaction may, and one more after each that did not.
    take: AtomicUsize,
    ring: Arc<RingAgain>,
    limited: LimitedRings,
    sets: UnusedSets,
    metrics: QueueMetrics,
}

impl std::fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweeper").finish_non_exhaustive()
    }
}

impl Sweeper {
    /// A sweeper on this storage; `namespaces` says which are being deleted, `authorizer` where an agent may
    /// claim.
    #[must_use]
    pub fn new(storage: Storage, namespaces: Arc<dyn Namespaces>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            limited: LimitedRings::new(storage.clone(), authorizer),
            storage,
            namespaces,
            sweep: Arc::default(),
            take: AtomicUsize::new(SWEEP_MAX),
            ring: Arc::default(),
            sets: UnusedSets::default(),
            metrics: QueueMetrics::default(),
        }
    }

    /// Counts what falls due there.
    #[must_use]
    pub fn counting(mut self, metrics: QueueMetrics) -> Self {
        self.limited.count_in(metrics.clone());
        self.metrics = metrics;
        self
    }

    /// Serves the queue until the token is cancelled.
    pub async fn run(self, token: CancellationToken) {
        tokio::join!(self.serve_until(&token), self.ring_limited_until(&token));
    }

    async fn serve_until(&self, token: &CancellationToken) {
        let mut chores = Chores::new();
        let mut failing = false;
        while !token.is_cancelled() {
            let result = self.tick(&mut chores).await;
            // Said once per outage.
            if let (Err(error), false) = (&result, failing) {
                tracing::warn!(%error, "the queue is not served");
            }
            failing = result.is_err();
            let wait = result.unwrap_or(INTERVAL_MAX);
            token.run_until_cancelled(sleep(wait)).await;
        }
    }

    async fn ring_limited_until(&self, token: &CancellationToken) {
        let mut failing = false;
        while !token.is_cancelled() {
            let look = tokio::time::timeout(LIMITED_TIMEOUT, self.ring_limited());
            let result = match token.run_until_cancelled(look).await {
                None => return,
                Some(Ok(look)) => look.map_err(|error| error.to_string()),
                Some(Err(_)) => Err(format!("not done within {LIMITED_TIMEOUT:?}")),
            };
            if let (Err(error), false) = (&result, failing) {
                tracing::warn!(
                    error,
                    "agents that may claim in some namespaces only are not rung"
                );
            }
            failing = result.is_err();
            token.run_until_cancelled(sleep(INTERVAL_MAX)).await;
        }
    }

    /// One look for idle agents that may claim in some namespaces only, and rings for those that may claim what
    /// waits; gives how many were rung. Nobody is asked while the cluster cannot be reached.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ring_limited(&self) -> Result<usize, StorageError> {
        if !self.namespaces.is_reachable() {
            return Ok(0);
        }
        self.limited.ring().await
    }

    async fn tick(&self, chores: &mut Chores) -> Result<Duration, StorageError> {
        if is_due(&mut chores.partitions_at, PARTITIONS_INTERVAL) {
            execute(self.storage.pool(), "select work.ensure_log_partitions()").await?;
        }
        if is_due(&mut chores.forget_at, FORGET_INTERVAL) {
            self.forget().await?;
        }
        let wait = self.serve().await?;
        if is_due(&mut chores.attend_at, ATTEND_INTERVAL) {
            self.attend().await?;
            self.reconsider().await?;
        }
        if is_due(&mut chores.sets_at, FORGET_INTERVAL) && self.forget_sets().await?.more {
            chores.sets_at = Instant::now();
        }
        Ok(wait)
    }

    /// Forgets what nobody will ask about again: answers to claims, idle agents that no longer answer, and when
    /// agents were heard of.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget(&self) -> Result<(), StorageError> {
        let pool = self.storage.pool();
        execute(pool, FORGET_REQUESTS).await?;
        execute(pool, FORGET_IDLE).await?;
        execute(pool, FORGET_CONTACTS).await
    }

    /// One look for sets of target terms that no order refers to: removes those that none has for an hour.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_sets(&self) -> Result<Looked, StorageError> {
        let looked = self.sets.look(&self.storage).await?;
        if looked.removed > 0 {
            tracing::debug!(
                sets = looked.removed,
                "target sets that no order uses are removed"
            );
        }
        Ok(looked)
    }

    /// Brings the status of the agents up to date; gives how many were written.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn attend(&self) -> Result<usize, StorageError> {
        attendance::attend(&self.storage).await
    }

    /// Brings up to date why orders wait; gives how many were written.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reconsider(&self) -> Result<usize, StorageError> {
        waiting::reconsider(&self.storage).await
    }

    /// One look: stamps, sweeps what is due, rings again; gives the time until the next look. Who cannot reach
    /// the cluster does not serve: no agent reaches it either.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn serve(&self) -> Result<Duration, StorageError> {
        if !self.namespaces.is_reachable() && !mutant!("i8-served-while-the-hub-is-away") {
            return Ok(INTERVAL_MAX);
        }
        let pool = self.storage.pool();
        let extended: bool = sqlx::query_scalar(serve_statement())
            .fetch_one(pool)
            .await
            .map_err(StorageError::from)?;
        if extended {
            tracing::info!("the queue was not served for a while: every lease has its full length anew");
        }
        let seconds = seconds_until_due(pool).await?;
        let more = seconds.is_some_and(|seconds| seconds <= 0.0) && self.sweep_due().await?;
        if self.unanswered(pool).await? {
            let rung = self.storage.run(&self.ring, RingAgainInput::default()).await?;
            self.metrics.rung(RingCause::Again, rung);
        }
        if more {
            return Ok(INTERVAL_MIN);
        }
        let seconds = seconds_until_due(pool)
            .await?
            .unwrap_or(INTERVAL_MAX.as_secs_f64());
        let due = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(INTERVAL_MAX);
        Ok(due.clamp(INTERVAL_MIN, INTERVAL_MAX))
    }

    /// One sweep; gives whether it took as many as it may.
    async fn sweep_due(&self) -> Result<bool, StorageError> {
        let max = self.take.load(Ordering::Relaxed);
        let input = SweepInput {
            max,
            terminating: self.namespaces.terminating(),
        };
        let happened = self.storage.run(&self.sweep, input).await;
        let next = if happened.is_ok() { max + 1 } else { max / 2 };
        self.take.store(next.clamp(1, SWEEP_MAX), Ordering::Relaxed);
        let happened = happened?;
        self.metrics.swept(&happened);
        Ok(happened.len() >= max)
    }

    /// Whether the statement of the ring finds anybody, asked without the lock.
    async fn unanswered(&self, pool: &PgPool) -> Result<bool, StorageError> {
        let rows = sqlx::query(self.ring.statement())
            .bind("[]")
            .fetch_optional(pool)
            .await
            .map_err(StorageError::from)?;
        Ok(rows.is_some())
    }
}

/// When what is not done at every look is due again.
struct Chores {
    partitions_at: Instant,
    forget_at: Instant,
    attend_at: Instant,
    sets_at: Instant,
}

impl Chores {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            partitions_at: now,
            forget_at: now,
            attend_at: now + ATTEND_INTERVAL,
            sets_at: now,
        }
    }
}

/// Whether it is time, and if so, sets the next time. What fails waits an interval: none of it is urgent.
fn is_due(at: &mut Instant, interval: Duration) -> bool {
    let now = Instant::now();
    let due = *at <= now;
    if due {
        *at = now + interval;
    }
    due
}

fn serve_statement() -> &'static str {
    let statement = include_str!("serve.sql");
    if mutant!("i8-outage-not-noticed") {
        return without(statement, "s.served_at <= c.now - interval '15 seconds'", "false");
    }
    if mutant!("i8-silence-taken-for-death") {
        return without(statement, "i.agents >= 2", "false");
    }
    if mutant!("i8-idle-agents-not-heard") {
        return without(
            statement,
            "select heard_at from state",
            "select null::timestamptz",
        );
    }
    statement
}

async fn seconds_until_due(pool: &PgPool) -> Result<Option<f64>, StorageError> {
    sqlx::query_scalar(include_str!("next_due.sql"))
        .fetch_one(pool)
        .await
        .map_err(StorageError::from)
}

async fn execute(pool: &PgPool, statement: &'static str) -> Result<(), StorageError> {
    sqlx::query(statement)
        .execute(pool)
        .await
        .map(|_| ())
        .map_err(StorageError::from)
}
