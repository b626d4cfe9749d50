//! What storage counts of itself, and what it reads off its state when asked.
//!
//! Upstream concept: `storage/cacher/metrics` and `storage/etcd3/metrics`. Names of upstream stand where
//! the meaning is the same; what belongs to PostgreSQL begins with `apiserver_postgres`. Nothing here asks
//! the database: it may be away when the numbers are wanted most.

mod readings;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use telemetry::{MetricsRegistry, prometheus_client};

use super::resource_version::ResourceVersion;
use super::table::GroupResource;

const RESOURCE: &[&str] = &["group", "resource"];

/// From a tenth of a millisecond to three seconds: a commit takes one or two milliseconds.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

/// Upstream's bounds of the wait for a fresh cache.
const READ_WAIT_BUCKETS: [f64; 13] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0,
];

/// The counters of one storage.
#[derive(Debug)]
pub(crate) struct StorageMetrics {
    /// Operations in a transaction of the writer.
    batch_operations: Histogram,
    lock_wait: Histogram,
    lock_held: Histogram,
    commit: Histogram,
    transactions: Family<Outcome, Counter>,
    nudges: Family<Direction, Counter>,
    pruned: Counter,
    read_wait: Histogram,
    caches: Caches,
    /// The newest version committed by this replica, and the floor of the change log; 0 = not known yet.
    committed: AtomicU64,
    floor: AtomicI64,
    /// When the change log was last read to its end.
    last_pass: Mutex<Option<Instant>>,
}

/// The counters of all watch caches.
#[derive(Clone, Debug, Default)]
struct Caches {
    initializations: Family<Resource, Counter>,
    events: Family<Resource, Counter>,
    terminated: Family<Resource, Counter>,
}

/// The counters of one watch cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct CacheMetrics {
    /// How often it was filled from the tables.
    pub(crate) initializations: Counter,
    /// Events applied and handed to watchers.
    pub(crate) events: Counter,
    /// Watchers closed because they did not read.
    pub(crate) terminated: Counter,
}

/// How a transaction of the writer ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    /// Committed, or rolled back because there was nothing to write.
    Done,
    /// The database refused it; the halves of its batch are tried again.
    Refused,
    /// The database was not reached, or did not answer.
    Unreachable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resource {
    group: &'static str,
    resource: &'static str,
}

impl From<GroupResource> for Resource {
    fn from(resource: GroupResource) -> Self {
        Self {
            group: resource.group,
            resource: resource.resource,
        }
    }
}

impl Default for StorageMetrics {
    fn default() -> Self {
        Self {
            batch_operations: Histogram::new(exponential_buckets(1.0, 2.0, 7)),
            lock_wait: durations(),
            lock_held: durations(),
            commit: durations(),
            transactions: Family::default(),
            nudges: Family::default(),
            pruned: Counter::default(),
            read_wait: Histogram::new(READ_WAIT_BUCKETS),
            caches: Caches::default(),
            committed: AtomicU64::default(),
            floor: AtomicI64::default(),
            last_pass: Mutex::default(),
        }
    }
}

impl StorageMetrics {
    /// The counters of the watch cache of a resource.
    pub(crate) fn cache(&self, resource: GroupResource) -> CacheMetrics {
        let label = Resource::from(resource);
        CacheMetrics {
            initializations: self.caches.initializations.get_or_create_owned(&label),
            events: self.caches.events.get_or_create_owned(&label),
            terminated: self.caches.terminated.get_or_create_owned(&label),
        }
    }

    /// A transaction of so many operations ended.
    pub(crate) fn transaction(&self, operations: usize, ended: Ended) {
        self.batch_operations.observe(operations as f64);
        let outcome = match ended {
            Ended::Done => "done",
            Ended::Refused => "refused",
            Ended::Unreachable => "unreachable",
        };
        self.transactions.get_or_create(&Outcome { outcome }).inc();
    }

    /// A transaction has the lock it asked for then.
    pub(crate) fn locked(&self, asked: Instant) {
        self.lock_wait.observe(asked.elapsed().as_secs_f64());
    }

    /// A transaction has committed: it had the lock since then, and sent the commit then.
    pub(crate) fn committed(&self, locked: Instant, sent: Instant, last: ResourceVersion) {
        self.lock_held.observe(locked.elapsed().as_secs_f64());
        self.commit.observe(sent.elapsed().as_secs_f64());
        self.committed.fetch_max(last.get(), Ordering::Relaxed);
    }

    /// A nudge was sent to the other replicas.
    pub(crate) fn nudge_sent(&self) {
        self.nudges.get_or_create(&Direction { direction: "sent" }).inc();
    }

    /// A nudge came from another replica.
    pub(crate) fn nudge_received(&self) {
        let direction = "received";
        self.nudges.get_or_create(&Direction { direction }).inc();
    }

    /// So many events of the change log were removed.
    pub(crate) fn pruned(&self, events: u64) {
        self.pruned.inc_by(events);
    }

    /// The change log was read to its end.
    pub(crate) fn passed(&self) {
        *self.last_pass.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The floor of the change log as it was last seen.
    pub(crate) fn floor(&self, floor: ResourceVersion) {
        self.floor.store(floor.as_i64(), Ordering::Relaxed);
    }

    /// A read has waited since then for its cache to become fresh.
    pub(crate) fn waited(&self, asked: Instant) {
        self.read_wait.observe(asked.elapsed().as_secs_f64());
    }

    fn since_pass(&self) -> Option<Duration> {
        let last = *self.last_pass.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last.elapsed())
    }

    fn register(&self, registry: &mut MetricsRegistry) {
        self.register_writer(registry);
        self.register_caches(registry);
        registry.register(
            "apiserver_postgres_nudges_total",
            &["direction"],
            "Hints that the change log has grown, sent to the other replicas and received from them",
            self.nudges.clone(),
        );
        registry.register(
            "apiserver_postgres_change_log_pruned_events_total",
            &[],
            "Events of the change log that this replica removed because they were old",
            self.pruned.clone(),
        );
    }

    fn register_writer(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "apiserver_postgres_writer_batch_operations",
            &[],
            "Operations that shared a transaction",
            self.batch_operations.clone(),
        );
        registry.register(
            "apiserver_postgres_writer_transactions_total",
            &["outcome"],
            "Transactions: done, refused by the database (tried again, as a whole, by halves or one by one), or unreachable",
            self.transactions.clone(),
        );
        registry.register(
            "apiserver_postgres_writer_lock_wait_seconds",
            &[],
            "Time until a transaction had the lock that orders the writes of all replicas, and until what it asks first was answered",
            self.lock_wait.clone(),
        );
        registry.register(
            "apiserver_postgres_writer_lock_held_seconds",
            &[],
            "Time under the lock that orders the writes of all replicas, from its first answer through the commit",
            self.lock_held.clone(),
        );
        registry.register(
            "apiserver_postgres_writer_commit_seconds",
            &[],
            "Time from sending a commit to its answer: the flush to disk, and to standbys where they are waited for",
            self.commit.clone(),
        );
    }

    fn register_caches(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "apiserver_watch_cache_initializations_total",
            RESOURCE,
            "How often the watch cache was filled from the tables; watches that were open ended each time",
            self.caches.initializations.clone(),
        );
        registry.register(
            "apiserver_watch_cache_events_dispatched_total",
            RESOURCE,
            "Events applied to the watch cache and handed to its watchers",
            self.caches.events.clone(),
        );
        registry.register(
            "apiserver_terminated_watchers_total",
            RESOURCE,
            "Watchers closed because they did not read their events",
            self.caches.terminated.clone(),
        );
        registry.register(
            "apiserver_watch_cache_read_wait_seconds",
            &[],
            "Time that reads waited for the watch cache to be fresh; that is one wait for all resources",
            self.read_wait.clone(),
        );
    }
}
