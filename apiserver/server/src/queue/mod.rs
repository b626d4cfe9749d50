//! The queue of orders: claims, renewals, reports, what time does, and who is woken.
//!
//! Everything that decides over more than one object, or outside the path of an object, is here; what may
//! become of an order is [`crate::lifecycle`]'s, who may ask is [`crate::registry`]'s.
//!
//! | part | what it is | runs |
//! |---|---|---|
//! | [`claim::ClaimOrders`] | claims by name and in batch | under the version lock |
//! | `renew` | renewals: lease rows alone | autocommit |
//! | [`report`] | changed progress, completions, releases | under the version lock |
//! | `change` | what users ask: cancel, DELETE, suspend | under the version lock |
//! | [`targets::NewOrders`] | which agents a new order is for; its turn | before the rows of every batch |
//! | [`targets::TargetSets`] | the same of what changes later | follows every batch |
//! | [`targets::RemoveSets`] | sets of target terms that no order uses go | looked for by the sweeper; under the version lock |
//! | [`ring::Ring`] | the doorbell | follows every batch, after the targets |
//! | [`sweep::Sweeper`] | leases, backoffs, deadlines, TTLs, unanswered rings | a task of every replica |
//! | `attendance` | what the server knows of each agent, for its status | by the sweeper |
//! | `waiting` | why orders wait | by the sweeper |
//! | [`metrics`] | what is counted of all this | where it happens; a task while somebody scrapes |
//!
//! # What the binary assembles
//!
//! ```text
//! let storage = queue::with_followers(Storage::builder(options).resource(..)).start(&token);
//! let queue = Arc::new(Queue::new(storage.clone(), namespaces.clone()));
//! tokio::spawn(Sweeper::new(storage, namespaces, authorizer).run(token));
//! // subresources: registry::{work_order, agent}::subresources, each made of Arc<Queue>
//! // at the end, before the token is cancelled: queue.write_delayed_progress().await
//! ```

mod attendance;
pub(crate) mod change;
pub mod claim;
mod digest;
mod guard;
pub mod metrics;
mod order;
mod renew;
pub mod report;
pub mod ring;
pub(crate) mod rows;
pub mod sweep;
pub mod targets;
mod waiting;
pub(crate) mod written;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{CancelNotice, HeldClaim, WorkOrderPhase, WorkOrderRenewalSpec};
use futures::future::BoxFuture;
use generic_apiserver::registry::RegistryError;
use generic_apiserver::storage::{Storage, StorageBuilder, StorageError};
use jiff::Timestamp;

use self::claim::{ClaimAnswer, ClaimInput, ClaimOrders};
pub(crate) use self::digest::sha256_hex;
use self::metrics::{CompletionReport, ENTRY_FIELDS, ORDER_FIELDS, QueueMetrics};
use self::renew::{ProgressDelay, RenewItem, Renewed, changed_progress};
use self::report::{
    ClaimKey, CompleteInput, CompleteOrders, Completed, ProgressInput, RecordProgress, ReleaseInput,
    ReleaseOrders, ReportRefusal,
};
pub use self::sweep::Sweeper;
use crate::registry::work_order::table::WORK_ORDERS;
use crate::registry::work_order_log::table::WORK_ORDER_LOGS;

/// How long a replica that ends writes what it has delayed: the margin that its pod has after the drain is for this,
/// for the last commit and for the mark.
const ENDING_PATIENCE: Duration = Duration::from_secs(5);

/// Knows the namespaces of the cluster.
#[async_trait]
pub trait Namespaces: Send + Sync + 'static {
    /// The names of those that are being deleted.
    fn terminating(&self) -> Vec<String>;

    /// Whether the cluster can be reached. Agents come through it: while it is away nobody can renew or confirm
    /// anything.
    fn is_reachable(&self) -> bool {
        true
    }

    /// The uid of a namespace; `None` when there is none of this name.
    ///
    /// # Errors
    /// When that cannot be found out.
    async fn uid(&self, name: &str) -> Result<Option<String>, RegistryError>;

    /// Ends when there is another namespace of this name than the one with this uid; `None` = there was none.
    fn replaced(&self, name: &str, uid: Option<String>) -> BoxFuture<'static, ()>;
}

/// Adds the forerunner and the followers of the queue, in their order: rings need the targets.
#[must_use]
pub fn with_followers(builder: StorageBuilder) -> StorageBuilder {
    with_counted_followers(builder, &QueueMetrics::default())
}

/// The same, with rings counted there.
#[must_use]
pub fn with_counted_followers(builder: StorageBuilder, metrics: &QueueMetrics) -> StorageBuilder {
    builder
        .tally(WORK_ORDERS, ORDER_FIELDS)
        .tally(WORK_ORDER_LOGS, ENTRY_FIELDS)
        .forerunner(Arc::new(targets::NewOrders))
        .follower(Arc::new(targets::TargetSets))
        .follower(Arc::new(ring::Ring::counting(metrics.clone())))
}

/// The requests of the queue. One per process: callers that share it share batches.
pub struct Queue {
    storage: Storage,
    namespaces: Arc<dyn Namespaces>,
    claims: Arc<ClaimOrders>,
    completions: Arc<CompleteOrders>,
    releases: Arc<ReleaseOrders>,
    progress: Arc<RecordProgress>,
    delay: Arc<ProgressDelay>,
    metrics: QueueMetrics,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// The answer to a renewal.
#[derive(Clone, Debug, PartialEq)]
pub struct RenewedClaim {
    /// When the claim ends without a further renewal.
    pub expires_at: Timestamp,
    /// Set when the end of the order was asked for.
    pub cancel: Option<CancelNotice>,
}

/// One renewal: which claim, and what has changed.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Namespace of the order.
    pub namespace: String,
    /// Name of the order.
    pub name: String,
    /// The claim and its progress; the uid is a valid one.
    pub spec: WorkOrderRenewalSpec,
}

/// Who renews.
#[derive(Clone, Debug)]
pub struct Renewer {
    /// The agent.
    pub agent: String,
    /// Its process; `None` when the request does not say.
    pub holder: Option<String>,
    /// The caller's user name.
    pub user: String,
}

impl Queue {
    /// The queue on this storage, which has its followers.
    #[must_use]
    pub fn new(storage: Storage, namespaces: Arc<dyn Namespaces>) -> Self {
        Self {
            storage,
            namespaces,
            claims: Arc::default(),
            completions: Arc::default(),
            releases: Arc::default(),
            progress: Arc::default(),
            delay: Arc::default(),
            metrics: QueueMetrics::default(),
        }
    }

    /// Counts requests there.
    #[must_use]
    pub fn counting(mut self, metrics: QueueMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The storage it works on.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The namespaces of the cluster.
    #[must_use]
    pub fn namespaces(&self) -> Arc<dyn Namespaces> {
        Arc::clone(&self.namespaces)
    }

    /// Which namespaces are being deleted.
    #[must_use]
    pub fn terminating(&self) -> Vec<String> {
        self.namespaces.terminating()
    }

    /// Claims one order or the next ones.
    ///
    /// # Errors
    /// When storage fails; a refusal is an answer.
    pub async fn claim(&self, input: ClaimInput) -> Result<ClaimAnswer, StorageError> {
        let (named, dry_run) = (input.named.is_some(), input.dry_run);
        let answer = self.storage.run(&self.claims, input).await?;
        self.metrics.claimed(named, dry_run, &answer);
        Ok(answer)
    }

    /// Reports how a run ended.
    ///
    /// # Errors
    /// When storage fails; a refusal is an answer.
    pub async fn complete(&self, input: CompleteInput) -> Result<Completed, StorageError> {
        self.delay.take(&input.key.uid);
        let (report, dry_run) = (CompletionReport::of(&input), input.key.dry_run);
        let answer = self.storage.run(&self.completions, input).await?;
        self.metrics.completed(report, dry_run, &answer);
        Ok(answer)
    }

    /// Gives a claim back, or takes it.
    ///
    /// # Errors
    /// When storage fails; a refusal is an answer.
    pub async fn release(
        &self,
        input: ReleaseInput,
    ) -> Result<Result<WorkOrderPhase, ReportRefusal>, StorageError> {
        let (forced, dry_run) = (input.force, input.key.dry_run);
        let answer = self.storage.run(&self.releases, input).await?;
        self.metrics.released(forced, dry_run, &answer);
        Ok(answer)
    }

    /// Renews claims, one result each, and writes what has changed in their runs.
    ///
    /// # Errors
    /// When the database does not answer; a refusal is an answer.
    pub async fn renew(
        &self,
        by: &Renewer,
        renewals: &[Renewal],
    ) -> Result<Vec<Result<RenewedClaim, ReportRefusal>>, StorageError> {
        let item = |renewal: &Renewal| RenewItem {
            uid: renewal.spec.uid.clone(),
            fence: renewal.spec.fence,
            progress: renewal.spec.progress.is_some(),
        };
        let items: Vec<_> = renewals.iter().map(item).collect();
        let renewed = renew::renew(self.storage.pool(), &by.agent, by.holder.as_deref(), &items).await?;
        // Together, so that what changed in a hundred runs shares a few transactions.
        let noted = renewals
            .iter()
            .zip(renewed)
            .map(async |(renewal, result)| match result {
                Ok(renewed) => self.note_progress(by, renewal, renewed).await,
                Err(refusal) => Ok(Err(refusal)),
            });
        let answers = futures::future::try_join_all(noted).await?;
        self.metrics.renewed(&answers);
        Ok(answers)
    }

    /// Notes that an agent was heard of that has nothing to renew: agents can reach us.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_heard(&self, agent: &str) -> Result<(), StorageError> {
        renew::note_heard(self.storage.pool(), agent).await
    }

    /// Every claim the agent holds.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn held_claims(&self, agent: &str) -> Result<Vec<HeldClaim>, StorageError> {
        renew::held_claims(self.storage.pool(), agent).await
    }

    /// Writes changed progress under the fence, now or when its time has come.
    async fn note_progress(
        &self,
        by: &Renewer,
        renewal: &Renewal,
        renewed: Renewed,
    ) -> Result<Result<RenewedClaim, ReportRefusal>, StorageError> {
        let answer = RenewedClaim {
            expires_at: renewed.expires_at,
            cancel: renewed.cancel,
        };
        let changed = renewal.spec.progress.as_ref().zip(renewed.order.as_ref());
        let changed = changed.and_then(|(reported, order)| changed_progress(order, reported));
        if changed.is_none() && !renewed.lapsed {
            return Ok(Ok(answer));
        }
        let wait = changed.as_ref().filter(|_| !renewed.lapsed);
        let wait = wait.and_then(|changed| renew::wait(changed, renewed.progress_at, renewed.now));
        let input = ProgressInput {
            key: self.claim_key(by, renewal),
            progress: changed,
        };
        let written = match self.delay.admit(input, wait) {
            renew::Admitted::Now(input) => self.storage.run(&self.progress, *input).await?,
            renew::Admitted::After(wait) => {
                self.write_later(renewal.spec.uid.clone(), wait);
                Ok(())
            }
            renew::Admitted::Joined => Ok(()),
        };
        Ok(written.map(|()| answer))
    }

    fn claim_key(&self, by: &Renewer, renewal: &Renewal) -> ClaimKey {
        ClaimKey {
            uid: renewal.spec.uid.clone(),
            fence: Some(renewal.spec.fence),
            namespace: renewal.namespace.clone(),
            name: renewal.name.clone(),
            agent: Some(by.agent.clone()),
            user: by.user.clone(),
            namespace_terminating: false,
            dry_run: false,
        }
    }

    /// Writes what has changed in runs and waits for its time, however soon that is after the last. For a replica
    /// that is about to end: when no request comes any more, and before storage stops. Gives up in time.
    pub async fn write_delayed_progress(&self) {
        let left = self.delay.end(ENDING_PATIENCE).await;
        if left > 0 {
            tracing::warn!(left, "delayed progress was not written in time and is lost");
        }
    }

    fn write_later(&self, uid: String, wait: Duration) {
        let (storage, progress, delay) = (
            self.storage.clone(),
            Arc::clone(&self.progress),
            Arc::clone(&self.delay),
        );
        self.delay.later(wait, async move {
            let Some(input) = delay.take(&uid) else { return };
            match storage.run(&progress, input).await {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => tracing::debug!(work_order.uid = uid, %refusal, "progress came too late"),
                Err(error) => tracing::warn!(work_order.uid = uid, %error, "progress was not written"),
            }
        });
    }
}
