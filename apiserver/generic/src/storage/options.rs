//! What can be set about storage, with the defaults that production uses.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// How to reach the database, and every bound of storage.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// How to connect: directly, never through a transaction pooler.
    pub connect: PgConnectOptions,
    /// The key of the advisory lock that orders all writes; the same on every replica.
    pub lock_key: i64,
    /// The most operations in one transaction.
    pub batch_operations_max: usize,
    /// The most bytes of objects and inputs in one transaction; one operation may be larger.
    pub batch_bytes_max: usize,
    /// The most operations that wait for the writer; further ones fail with `Overloaded`.
    pub queue_operations_max: usize,
    /// The most connections of the pool for reads; writer, tailer and nudges have their own.
    pub pool_connections_max: u32,
    /// The longest a statement may run, a lock may be waited for, and a connection may take to open.
    pub statement_timeout: Duration,
    /// The longest a transaction of the writer may take from its begin to the commit's answer.
    pub transaction_timeout: Duration,
    /// How often the change log is read when nothing announces a change.
    pub poll_interval: Duration,
    /// The shortest time between two nudges to the other replicas.
    pub nudge_interval: Duration,
    /// The time between two looks at the database's history while a connection stays open, and between
    /// two records of the high-water mark: versions drawn since the last may be missed by a restore.
    pub history_interval: Duration,
    /// How long a read waits for the version it needs.
    pub freshness_timeout: Duration,
    /// Events kept in memory per resource however old they are.
    pub ring_events_min: usize,
    /// The most events kept in memory per resource.
    pub ring_events_max: usize,
    /// The most bytes of encoded objects kept in memory per resource for its events.
    pub ring_bytes_max: usize,
    /// Events younger than this are kept in memory, within the bounds above.
    pub ring_age: Duration,
    /// The most events that wait for one watcher; a watcher that falls further behind is closed.
    pub watcher_events_max: usize,
    /// The time between two bookmarks of a watch; each interval is shortened by up to a tenth at random.
    pub bookmark_interval: Duration,
    /// Events of the change log younger than this are kept.
    pub log_age: Duration,
    /// The newest events of the change log that are kept whatever their age.
    pub log_events_min: u64,
    /// The time between two prunings of the change log.
    pub log_prune_interval: Duration,
}

impl StorageOptions {
    /// The defaults, for the database that `connect` names.
    #[must_use]
    pub const fn new(connect: PgConnectOptions) -> Self {
        Self {
            connect,
            // "apisrvrv" in ASCII: any number will do that nothing else in the database locks.
            lock_key: 0x6170_6973_7276_7276,
            batch_operations_max: 64,
            batch_bytes_max: 1024 * 1024,
            queue_operations_max: 4096,
            pool_connections_max: 10,
            statement_timeout: Duration::from_secs(5),
            transaction_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_millis(250),
            nudge_interval: Duration::from_millis(10),
            history_interval: Duration::from_secs(5),
            freshness_timeout: Duration::from_secs(3),
            ring_events_min: 100,
            ring_events_max: 102_400,
            ring_bytes_max: 256 * 1024 * 1024,
            // A watch may resume from a bookmark a few minutes old: etcd compacts after five.
            ring_age: Duration::from_secs(360),
            watcher_events_max: 10_000,
            bookmark_interval: Duration::from_secs(60),
            log_age: Duration::from_secs(360),
            log_events_min: 100_000,
            log_prune_interval: Duration::from_secs(30),
        }
    }
}

impl Default for StorageOptions {
    /// The database is taken from the environment (`PGHOST` and so on).
    fn default() -> Self {
        Self::new(PgConnectOptions::new())
    }
}
