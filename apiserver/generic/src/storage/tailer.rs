//! The tailer: one task per replica that reads the change log in order and feeds the watch caches.
//!
//! It is woken by a local commit, by a nudge from another replica, by a reader that must be up to date,
//! and by the clock. A reader is served by the first pass that starts after it asked; all that wait at
//! that moment share the pass.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::cacher::{Cacher, Filling};
use super::error::StorageError;
use super::metrics::StorageMetrics;
use super::options::StorageOptions;
use super::postgres::change_log::{self, LoggedEvent, Page};
use super::postgres::epoch::History;
use super::postgres::{Resources, connect, unreachable};
use super::resource_version::ResourceVersion;
use super::table::GroupResource;
use crate::mutant;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Reading all objects may take long, but not for ever.
const REBUILD_MAX: Duration = Duration::from_secs(300);

/// Where readers ask for a pass, and see whether the last one went well.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    pub(crate) wake: Arc<Notify>,
    waiting: Mutex<Vec<oneshot::Sender<Result<(), StorageError>>>>,
    reachable: AtomicBool,
}

impl Gate {
    /// Asks for a pass that starts from now on; the answer comes when all that was committed before
    /// has been applied.
    pub(crate) fn pass(&self) -> oneshot::Receiver<Result<(), StorageError>> {
        let (reply, answer) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reply);
        self.wake.notify_one();
        answer
    }

    /// Whether the last pass could read the change log.
    pub(crate) fn reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    fn take(&self) -> Vec<oneshot::Sender<Result<(), StorageError>>> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(waiting: Vec<oneshot::Sender<Result<(), StorageError>>>, result: &Result<(), StorageError>) {
        for reply in waiting {
            // A reader that has given up needs no answer.
            let _ = reply.send(result.clone());
        }
    }
}

/// The caches by resource.
pub(crate) type Cachers = HashMap<GroupResource, Arc<Cacher>>;

/// The task's state.
pub(crate) struct Tailer {
    options: Arc<StorageOptions>,
    resources: Arc<Resources>,
    cachers: Arc<Cachers>,
    gate: Arc<Gate>,
    /// What has been applied; none before the first rebuild.
    progress: watch::Sender<Option<ResourceVersion>>,
    metrics: Arc<StorageMetrics>,
    history: Arc<History>,
    connection: Option<PgConnection>,
    /// When the connection was last found to belong to the known history.
    confirmed: Option<Instant>,
}

impl Tailer {
    pub(crate) const fn new(
        options: Arc<StorageOptions>,
        resources: Arc<Resources>,
        cachers: Arc<Cachers>,
        gate: Arc<Gate>,
        progress: watch::Sender<Option<ResourceVersion>>,
        metrics: Arc<StorageMetrics>,
        history: Arc<History>,
    ) -> Self {
        Self {
            options,
            resources,
            cachers,
            gate,
            progress,
            metrics,
            history,
            connection: None,
            confirmed: None,
        }
    }

    /// Runs until the token is cancelled; then all watches are closed.
    pub(crate) async fn run(mut self, token: CancellationToken) {
        let mut backoff = BACKOFF_MIN;
        while !token.is_cancelled() {
            let waiting = self.gate.take();
            let result = tokio::select! {
                () = token.cancelled() => break,
                result = self.pass() => result,
            };
            self.gate.reachable.store(result.is_ok(), Ordering::Relaxed);
            Gate::answer(waiting, &result);
            match result {
                Ok(()) => {
                    self.metrics.passed();
                    backoff = BACKOFF_MIN;
                    self.wait(&token).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "change log not read");
                    self.connection = None;
                    self.pause(backoff, &error, &token).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
        for cacher in self.cachers.values() {
            cacher.close();
        }
    }

    async fn wait(&self, token: &CancellationToken) {
        tokio::select! {
            () = token.cancelled() => {}
            () = self.gate.wake.notified() => {}
            () = tokio::time::sleep(self.options.poll_interval) => {}
        }
    }

    /// Waits after a failure; readers that come meanwhile are told of it at once.
    async fn pause(&self, backoff: Duration, error: &StorageError, token: &CancellationToken) {
        let until = Instant::now() + backoff;
        let failed = Err(unreachable(error.to_string()));
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep_until(until) => return,
                () = self.gate.wake.notified() => Gate::answer(self.gate.take(), &failed),
            }
        }
    }

    /// Applies all that is committed when this starts.
    async fn pass(&mut self) -> Result<(), StorageError> {
        let mut connection = self.connection().await?;
        let bound = self.options.statement_timeout;
        loop {
            let Some(cursor) = *self.progress.borrow() else {
                let rebuilt = timeout(REBUILD_MAX, self.rebuild(&mut connection)).await;
                rebuilt.map_err(|_| unreachable("reading all objects took too long"))??;
                continue;
            };
            let read = timeout(bound, change_log::read(&mut connection, &self.resources, cursor)).await;
            let mut page = read.map_err(|_| unreachable("reading the change log took too long"))??;
            self.metrics.floor(page.floor);
            if page.floor > cursor && !mutant!("i10-floor-not-looked-at") {
                tracing::warn!(%cursor, floor = %page.floor, "fell behind the change log, starting anew");
                self.progress.send_replace(None);
                continue;
            }
            if mutant!("i3-progress-from-a-later-snapshot") {
                tokio::time::sleep(Duration::from_millis(5)).await;
                page.last = Some(change_log::newest(&mut connection).await?);
            }
            let full = page.full;
            self.apply(page);
            if !full {
                self.connection = Some(connection);
                return Ok(());
            }
            // Watchers get a chance to take their events before the next ones come.
            tokio::task::yield_now().await;
        }
    }

    /// A failover cuts all connections, so that a look at the history belongs to each new one. The looks
    /// in between are for what may stand before the database and keep ours while it changes its own.
    async fn connection(&mut self) -> Result<PgConnection, StorageError> {
        let (mut connection, confirmed) = match self.connection.take() {
            Some(open) => (open, self.confirmed),
            None => (connect(&self.options, "tailer").await?, None),
        };
        if confirmed.is_none_or(|at| at.elapsed() >= self.options.history_interval) {
            let confirming = async {
                match confirmed {
                    Some(_) => self.history.confirm(&mut connection).await,
                    None => self.history.confirm_new(&mut connection).await,
                }
            };
            let looked = timeout(self.options.transaction_timeout, confirming).await;
            looked.map_err(|_| unreachable("reading the database's history took too long"))??;
            self.confirmed = Some(Instant::now());
        }
        Ok(connection)
    }

    async fn rebuild(&self, connection: &mut PgConnection) -> Result<(), StorageError> {
        let snapshot = change_log::snapshot(connection, &self.resources, &self.options).await?;
        let mut objects: HashMap<_, _> = snapshot
            .objects
            .into_iter()
            .map(|(resource, objects)| (resource.table.resource, objects))
            .collect();
        let mut events = by_resource(snapshot.events);
        for (resource, cacher) in self.cachers.iter() {
            cacher.rebuild(Filling {
                version: snapshot.at.version,
                objects: objects.remove(resource).unwrap_or_default(),
                events_after: snapshot.events_after,
                events: events.remove(resource).unwrap_or_default(),
            });
        }
        tracing::info!(version = %snapshot.at.version, "watch caches filled");
        self.history.read(snapshot.at);
        self.progress.send_replace(Some(snapshot.at.version));
        Ok(())
    }

    /// Events first, then the versions, then the progress that bookmarks announce.
    fn apply(&self, page: Page) {
        let mut events: HashMap<GroupResource, Vec<LoggedEvent>> = HashMap::new();
        for event in page.events {
            events
                .entry(event.resource.table.resource)
                .or_default()
                .push(event);
        }
        for (resource, cacher) in self.cachers.iter() {
            if let Some(events) = events.remove(resource) {
                cacher.apply(events);
            }
            if let Some(last) = page.last {
                cacher.advance(last.version);
            }
            let floor = page
                .resource_floors
                .get(&cacher.resource.name)
                .copied()
                .unwrap_or_default();
            let floor = ResourceVersion::new(floor.cast_unsigned());
            cacher.retain_after(floor.max(page.epoch_start));
        }
        if let Some(last) = page.last {
            self.history.read(last);
            self.progress.send_replace(Some(last.version));
        }
    }
}

/// Events apart by resource, each in order.
fn by_resource(events: Vec<LoggedEvent>) -> HashMap<GroupResource, Vec<LoggedEvent>> {
    let mut apart: HashMap<GroupResource, Vec<LoggedEvent>> = HashMap::new();
    for event in events {
        apart
            .entry(event.resource.table.resource)
            .or_default()
            .push(event);
    }
    apart
}
