//! [`Storage`]: the one door to objects, for reading, watching and writing.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use sqlx::postgres::PgPool;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cacher::{Cacher, Tally};
use super::error::StorageError;
use super::high_water_mark::HighWaterMark;
use super::metrics::StorageMetrics;
use super::mutation::{Follower, ObjectWrite, SetMutation, Update};
use super::options::StorageOptions;
use super::postgres::epoch::History;
use super::postgres::writer::{ErasedFollower, FollowerOf, Group, Operation, PendingUpdate, Writer};
use super::postgres::{self, Resource, Resources, nudge, prune, unreachable};
use super::resource_version::ResourceVersion;
use super::table::{GroupResource, ResourceTable};
use super::tailer::{Cachers, Gate, Tailer};
use super::types::{Freshness, Stored};

/// Versioned objects in PostgreSQL. Clones share one writer, one tailer and the watch caches.
#[derive(Clone)]
pub struct Storage {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) options: Arc<StorageOptions>,
    resources: Arc<Resources>,
    pub(super) cachers: Arc<Cachers>,
    pub(super) queue: mpsc::Sender<Operation>,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Arc<StorageMetrics>,
    /// What has been applied to the caches; none before they are filled.
    pub(super) progress: watch::Receiver<Option<ResourceVersion>>,
    pub(super) pool: PgPool,
    prepared: Prepared,
    history: Arc<History>,
    tasks: TaskTracker,
    token: CancellationToken,
}

/// Done when the database may be used.
type Prepared = Shared<BoxFuture<'static, ()>>;

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("progress", &*self.inner.progress.borrow())
            .finish_non_exhaustive()
    }
}

/// What a storage is made of.
pub struct StorageBuilder {
    options: StorageOptions,
    tables: Vec<ResourceTable>,
    tallies: Vec<(GroupResource, &'static [&'static str])>,
    followers: Vec<Arc<dyn ErasedFollower>>,
    prepared: BoxFuture<'static, ()>,
    mark: Option<Arc<dyn HighWaterMark>>,
}

impl fmt::Debug for StorageBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageBuilder")
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl StorageBuilder {
    /// Adds a resource.
    #[must_use]
    pub fn resource(mut self, table: ResourceTable) -> Self {
        self.tables.push(table);
        self
    }

    /// Counts the objects of a resource by the values of these fields, which have few of them; see
    /// [`Storage::tally`].
    #[must_use]
    pub fn tally(mut self, resource: GroupResource, fields: &'static [&'static str]) -> Self {
        self.tallies.push((resource, fields));
        self
    }

    /// Adds a follower; followers run in the order added.
    #[must_use]
    pub fn follower<F: Follower>(mut self, follower: Arc<F>) -> Self {
        self.followers.push(Arc::new(FollowerOf(follower)));
        self
    }

    /// Leaves the database alone until `prepared` is done, for one because the schema must be brought up
    /// to date first; until then everything is `Unreachable`, as while the database is down.
    #[must_use]
    pub fn after(mut self, prepared: impl Future<Output = ()> + Send + 'static) -> Self {
        self.prepared = prepared.boxed();
        self
    }

    /// Keeps a high-water mark of versions: without one a database restored from a copy of its files is
    /// noticed only by replicas that ran before.
    #[must_use]
    pub fn high_water_mark(mut self, mark: Arc<dyn HighWaterMark>) -> Self {
        self.mark = Some(mark);
        self
    }

    /// Starts the tasks, in the current Tokio runtime, until `token` is cancelled. The database may be
    /// down: [`Storage::is_ready`] tells when the caches are filled. The schema must be up to date once
    /// what [`Self::after`] waits for is done; without that, now.
    #[must_use]
    pub fn start(self, token: &CancellationToken) -> Storage {
        let token = token.child_token();
        let tasks = TaskTracker::new();
        let prepared = self.prepared.shared();
        // Polled once: what is prepared from the start refuses nobody who comes before the tasks run.
        let _ = prepared.clone().now_or_never();
        let options = Arc::new(self.options);
        let metrics = Arc::new(StorageMetrics::default());
        let resources = Arc::new(Resources::new(self.tables));
        let cachers: Cachers = resources
            .iter()
            .map(|r| {
                let tallied = tallied(&self.tallies, r.table.resource);
                let cacher = Cacher::new(Arc::clone(r), &options, metrics.cache(r.table.resource), tallied);
                (r.table.resource, cacher)
            })
            .collect();
        let cachers = Arc::new(cachers);
        let gate = Arc::new(Gate::default());
        let (queue, operations) = mpsc::channel(options.queue_operations_max);
        let (progress_sender, progress) = watch::channel(None);
        let pool = postgres::pool(&options);
        let committed = Arc::new(Notify::new());

        let history = Arc::new(History::new(&options, self.mark));

        let announce = vec![Arc::clone(&gate.wake), Arc::clone(&committed)];
        let writer = Writer::new(
            Arc::clone(&options),
            Arc::clone(&resources),
            self.followers,
            Arc::clone(&history),
            announce,
            Arc::clone(&metrics),
        );
        let parts = (
            Arc::clone(&options),
            Arc::clone(&resources),
            Arc::clone(&cachers),
            Arc::clone(&gate),
        );
        let tailer = Tailer::new(
            parts.0,
            parts.1,
            parts.2,
            parts.3,
            progress_sender,
            Arc::clone(&metrics),
            Arc::clone(&history),
        );
        let counts = || Arc::clone(&metrics);
        let nudging = nudge::send(Arc::clone(&options), committed, counts(), token.clone());
        let wake = Arc::clone(&gate.wake);
        let listening = nudge::listen(Arc::clone(&options), wake, counts(), token.clone());
        let pruning = prune::run(Arc::clone(&options), pool.clone(), counts(), token.clone());
        let all: [BoxFuture<'static, ()>; 6] = [
            writer.run(operations, token.clone()).boxed(),
            tailer.run(token.clone()).boxed(),
            nudging.boxed(),
            listening.boxed(),
            pruning.boxed(),
            Arc::clone(&history)
                .record(options.history_interval, token.clone())
                .boxed(),
        ];
        for task in all {
            tasks.spawn(once_prepared(prepared.clone(), token.clone(), task));
        }
        tasks.close();
        let inner = Inner {
            options,
            resources,
            cachers,
            queue,
            gate,
            metrics,
            progress,
            pool,
            prepared,
            history,
            tasks,
            token,
        };
        Storage {
            inner: Arc::new(inner),
        }
    }
}

impl Storage {
    /// A storage to be given its resources and followers.
    #[must_use]
    pub fn builder(options: StorageOptions) -> StorageBuilder {
        StorageBuilder {
            options,
            tables: Vec::new(),
            tallies: Vec::new(),
            followers: Vec::new(),
            prepared: futures::future::ready(()).boxed(),
            mark: None,
        }
    }

    /// Stops: writes already accepted are done, watches end, tasks are joined, and the high-water mark is
    /// raised to the last version.
    pub async fn shutdown(&self) {
        self.inner.token.cancel();
        self.inner.tasks.wait().await;
        self.inner.history.raise_mark().await;
        self.inner.pool.close().await;
    }

    /// Whether the caches are filled and the change log could be read when last tried.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.progress.borrow().is_some() && self.inner.gate.reachable()
    }

    /// Waits until the caches are filled.
    ///
    /// # Errors
    /// `Unreachable` when they are not within `freshness_timeout`.
    pub async fn wait_until_filled(&self) -> Result<(), StorageError> {
        let deadline = self.deadline();
        let mut progress = self.inner.progress.clone();
        match timeout_at(deadline, progress.wait_for(Option::is_some)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(unreachable("the watch caches are not filled yet")),
        }
    }

    /// The pool of connections for statements of the resource's own that need no version.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// The newest version of all.
    ///
    /// # Errors
    /// `Unreachable` when the database does not answer.
    pub async fn current_version(&self) -> Result<ResourceVersion, StorageError> {
        self.fresh(Freshness::Latest).await
    }

    /// Writes one object and what belongs to it; gives its new state, or of a deleted one the last state
    /// at the version of the deletion.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `Conflict`, `Constraint`: nothing was written. `Overloaded`: the
    /// queue is full. `Unreachable`: nothing was written unless it is ambiguous.
    pub async fn update(&self, update: Update) -> Result<Arc<Stored>, StorageError> {
        let bytes = update_bytes(&update);
        let (reply, answer) = oneshot::channel();
        self.enqueue(Operation::Update {
            pending: Box::new(PendingUpdate { update, reply }),
            bytes,
        })?;
        answer.await.map_err(|_| unreachable("storage is shut down"))?
    }

    /// Runs a set mutation on one input, together with the inputs of concurrent callers that hold the
    /// same `mutation`.
    ///
    /// # Errors
    /// As [`Self::update`], and whatever the mutation's decision fails with.
    pub async fn run<M: SetMutation>(
        &self,
        mutation: &Arc<M>,
        input: M::Input,
    ) -> Result<M::Output, StorageError> {
        let (group, bytes, answer) = Group::single(Arc::clone(mutation), input)?;
        self.enqueue(Operation::Set {
            group: Box::new(group),
            bytes,
        })?;
        answer.await.map_err(|_| unreachable("storage is shut down"))?
    }

    /// How many objects of a resource have which values of the fields it is counted by.
    ///
    /// # Errors
    /// When the resource has no table here.
    pub fn tally(&self, resource: GroupResource) -> Result<Tally, StorageError> {
        Ok(self.cacher(resource)?.tally())
    }

    fn enqueue(&self, operation: Operation) -> Result<(), StorageError> {
        use mpsc::error::TrySendError;
        if self.inner.prepared.peek().is_none() {
            return Err(unreachable("the database is not prepared yet"));
        }
        self.inner.queue.try_send(operation).map_err(|error| match error {
            TrySendError::Full(_) => StorageError::Overloaded("too many writes are waiting"),
            TrySendError::Closed(_) => unreachable("storage is shut down"),
        })
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.inner.options.freshness_timeout
    }

    pub(super) fn resource(&self, resource: GroupResource) -> Result<&Arc<Resource>, StorageError> {
        self.inner.resources.get(resource)
    }

    pub(super) fn cacher(&self, resource: GroupResource) -> Result<&Arc<Cacher>, StorageError> {
        let cacher = self.inner.cachers.get(&resource);
        cacher.ok_or_else(|| StorageError::Database(format!("resource {resource} has no table here")))
    }

    /// Waits until the caches are as fresh as asked; gives a version they have reached.
    pub(super) async fn fresh(&self, freshness: Freshness) -> Result<ResourceVersion, StorageError> {
        let deadline = self.deadline();
        let asked = std::time::Instant::now();
        self.wait_until_filled().await?;
        let reached = |storage: &Self| *storage.inner.progress.borrow();
        match freshness {
            Freshness::Any => {}
            Freshness::Latest => self.pass(deadline).await?,
            Freshness::NotOlderThan(asked) => {
                if reached(self).is_none_or(|applied| applied < asked) {
                    self.pass(deadline).await?;
                    self.wait_for(asked, deadline).await?;
                }
            }
        }
        if !matches!(freshness, Freshness::Any) {
            self.inner.metrics.waited(asked);
        }
        reached(self).ok_or_else(|| unreachable("the watch caches are being filled anew"))
    }

    async fn pass(&self, deadline: Instant) -> Result<(), StorageError> {
        match timeout_at(deadline, self.inner.gate.pass()).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(unreachable("storage is shut down")),
            Err(_) => Err(unreachable("the change log was not read in time")),
        }
    }

    async fn wait_for(&self, asked: ResourceVersion, deadline: Instant) -> Result<(), StorageError> {
        let mut progress = self.inner.progress.clone();
        let reached = progress.wait_for(|applied| applied.is_some_and(|applied| applied >= asked));
        match timeout_at(deadline, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(unreachable("storage is shut down")),
            Err(_) => {
                let current = self.inner.progress.borrow().unwrap_or(ResourceVersion::ZERO);
                Err(StorageError::TooLarge { asked, current })
            }
        }
    }
}

/// A task that begins when the database may be used, and not at all if `token` is cancelled before.
async fn once_prepared(prepared: Prepared, token: CancellationToken, task: BoxFuture<'static, ()>) {
    tokio::select! {
        // What was accepted is done even when the end comes before the task's beginning.
        biased;
        () = prepared => task.await,
        () = token.cancelled() => {}
    }
}

fn tallied(
    tallies: &[(GroupResource, &'static [&'static str])],
    resource: GroupResource,
) -> &'static [&'static str] {
    let mut fields = tallies.iter().filter(|(counted, _)| *counted == resource);
    fields.next().map_or(&[], |(_, fields)| fields)
}

/// Roughly what an update will send: enough to bound a batch.
fn update_bytes(update: &Update) -> usize {
    let rows: usize = update.further.rows.iter().map(|side| json_bytes(&side.row)).sum();
    let objects = std::iter::once(&update.object).chain(&update.further.objects);
    rows + objects.map(write_bytes).sum::<usize>()
}

fn write_bytes(write: &ObjectWrite) -> usize {
    match write {
        ObjectWrite::Create { object, .. } | ObjectWrite::Replace { object, .. } => json_bytes(object),
        ObjectWrite::Delete { old, .. } => old.encoded.len(),
    }
}

/// The length of a value as JSON, without keeping it.
fn json_bytes(value: &impl serde::Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value that is not JSON is refused later, where there is somebody to tell.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}
