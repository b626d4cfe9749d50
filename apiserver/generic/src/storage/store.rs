//! [`Storage`]: the one door to objects, for reading, watching and writing.

use std::fmt;
use std::sync::Arc;

use sqlx::postgres::PgPool;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::builder::{Prepared, StorageBuilder};
use super::cacher::{Cacher, Tally};
use super::error::StorageError;
use super::metrics::StorageMetrics;
use super::mutation::{ObjectWrite, SetMutation, Update};
use super::options::StorageOptions;
use super::postgres::epoch::History;
use super::postgres::writer::{self, Answer, Attendants, Group, Operation, PendingUpdate};
use super::postgres::{Resource, Resources, unreachable};
use super::resource_version::ResourceVersion;
use super::table::GroupResource;
use super::tailer::{Cachers, Gate};
use super::types::{Freshness, Stored};
use crate::object::{Object, json_bytes};

/// Versioned objects in PostgreSQL. Clones share one writer, one tailer and the watch caches.
#[derive(Clone)]
pub struct Storage {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) options: Arc<StorageOptions>,
    pub(super) resources: Arc<Resources>,
    pub(super) cachers: Arc<Cachers>,
    pub(super) attendants: Arc<Attendants>,
    pub(super) queue: mpsc::Sender<Operation>,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Arc<StorageMetrics>,
    /// What has been applied to the caches; none before they are filled.
    pub(super) progress: watch::Receiver<Option<ResourceVersion>>,
    pub(super) pool: PgPool,
    pub(super) prepared: Prepared,
    pub(super) history: Arc<History>,
    pub(super) tasks: TaskTracker,
    pub(super) token: CancellationToken,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("progress", &*self.inner.progress.borrow())
            .finish_non_exhaustive()
    }
}

impl Storage {
    /// A storage to be given its resources, forerunners and followers.
    #[must_use]
    pub fn builder(options: StorageOptions) -> StorageBuilder {
        StorageBuilder::new(options)
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
    /// queue is full. `TimedOut`: a statement took too long, and nothing was written. `Unreachable`: nothing was
    /// written unless it is ambiguous.
    pub async fn update(&self, update: Update) -> Result<Arc<Stored>, StorageError> {
        Ok(self.write(update).await?.stored)
    }

    /// Writes a new object as [`Self::update`] does; gives also what its creator is told.
    ///
    /// # Errors
    /// As there.
    pub async fn create_object(&self, update: Update) -> Result<(Arc<Stored>, Vec<String>), StorageError> {
        let answer = self.write(update).await?;
        Ok((answer.stored, answer.warnings))
    }

    /// What the creator of an object would be told if it were created now.
    ///
    /// # Errors
    /// `Unreachable` when the database does not answer.
    pub async fn foretell(
        &self,
        resource: GroupResource,
        object: &Object,
    ) -> Result<Vec<String>, StorageError> {
        writer::foretell(
            &self.inner.attendants.forerunners,
            resource,
            object,
            &self.inner.pool,
        )
        .await
    }

    async fn write(&self, update: Update) -> Result<Answer, StorageError> {
        let bytes = update_bytes(&update);
        let (reply, answer) = oneshot::channel();
        self.enqueue(Operation::Update {
            pending: Box::new(PendingUpdate::new(update, reply)),
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

/// Roughly what an update will send: enough to bound a batch.
fn update_bytes(update: &Update) -> usize {
    let rows: usize = update.further.rows.iter().map(|side| json_bytes(&side.row)).sum();
    let rows = rows + json_bytes(&update.further.columns);
    let objects = std::iter::once(&update.object).chain(&update.further.objects);
    rows + objects.map(write_bytes).sum::<usize>()
}

fn write_bytes(write: &ObjectWrite) -> usize {
    match write {
        ObjectWrite::Create { object, .. } | ObjectWrite::Replace { object, .. } => json_bytes(object),
        ObjectWrite::Delete { old, .. } => old.encoded.len(),
    }
}
