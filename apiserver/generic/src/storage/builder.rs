//! What a [`Storage`] is made of, and the start of its tasks.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::cacher::Cacher;
use super::high_water_mark::HighWaterMark;
use super::metrics::StorageMetrics;
use super::mutation::{Follower, Forerunner};
use super::options::StorageOptions;
use super::postgres::epoch::History;
use super::postgres::writer::{Attendants, FollowerOf, ForerunnerOf, Writer};
use super::postgres::{self, Resources, nudge, prune};
use super::store::{Inner, Storage};
use super::table::{GroupResource, ResourceTable};
use super::tailer::{Cachers, Gate, Tailer};

/// Done when the database may be used.
pub(super) type Prepared = Shared<BoxFuture<'static, ()>>;

/// What a storage is made of.
pub struct StorageBuilder {
    options: StorageOptions,
    tables: Vec<ResourceTable>,
    tallies: Vec<(GroupResource, &'static [&'static str])>,
    attendants: Attendants,
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
    pub(super) fn new(options: StorageOptions) -> Self {
        Self {
            options,
            tables: Vec::new(),
            tallies: Vec::new(),
            attendants: Attendants::default(),
            prepared: futures::future::ready(()).boxed(),
            mark: None,
        }
    }

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
        self.attendants.followers.push(Arc::new(FollowerOf(follower)));
        self
    }

    /// Adds a forerunner; forerunners are asked in the order added.
    #[must_use]
    pub fn forerunner<F: Forerunner>(mut self, forerunner: Arc<F>) -> Self {
        self.attendants
            .forerunners
            .push(Arc::new(ForerunnerOf(forerunner)));
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

        let attendants = Arc::new(self.attendants);
        let history = Arc::new(History::new(&options, self.mark));

        let announce = vec![Arc::clone(&gate.wake), Arc::clone(&committed)];
        let writer = Writer::new(
            Arc::clone(&options),
            Arc::clone(&resources),
            Arc::clone(&attendants),
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
        let sender = Uuid::new_v4();
        let nudging = nudge::send(Arc::clone(&options), committed, sender, counts(), token.clone());
        let wake = Arc::clone(&gate.wake);
        let listening = nudge::listen(Arc::clone(&options), wake, sender, counts(), token.clone());
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
            attendants,
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
