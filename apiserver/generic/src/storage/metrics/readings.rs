//! What is read off the state of storage at a scrape.

use telemetry::{MetricsRegistry, Reading, Readings};

use super::{Ordering, RESOURCE};
use crate::storage::cacher::{CacheSizes, Cacher};
use crate::storage::resource_version::ResourceVersion;
use crate::storage::store::Storage;
use crate::storage::table::Residence;

impl Storage {
    /// Adds what storage counts of itself. Once per registry: all clones share the counts.
    pub fn register_metrics(&self, registry: &mut MetricsRegistry) {
        self.inner.metrics.register(registry);
        self.register_cache_sizes(registry);
        self.register_versions(registry);
        self.register_connections(registry);
    }

    fn register_cache_sizes(&self, registry: &mut MetricsRegistry) {
        self.gauge_of_caches(
            registry,
            "apiserver_resource_objects",
            "Objects at the newest version in the watch cache; resources that live in the database only are left out",
            |cacher, sizes| (cacher.resource.table.residence == Residence::Cached).then_some(sizes.objects),
        );
        self.gauge_of_caches(
            registry,
            "watch_cache_capacity",
            "Events that the watch cache may hold",
            |_, sizes| Some(sizes.events_max),
        );
        self.gauge_of_caches(
            registry,
            "apiserver_watch_cache_events",
            "Events that the watch cache holds",
            |_, sizes| Some(sizes.events),
        );
        self.gauge_of_caches(
            registry,
            "apiserver_watch_cache_event_bytes",
            "Bytes of encoded objects that the watch cache holds for its events",
            |_, sizes| Some(sizes.event_bytes),
        );
        self.gauge_of_caches(
            registry,
            "apiserver_watch_cache_watchers",
            "Watchers that the watch cache feeds",
            |_, sizes| Some(sizes.watchers),
        );
    }

    /// One number per watch cache.
    fn gauge_of_caches(
        &self,
        registry: &mut MetricsRegistry,
        name: &'static str,
        help: &'static str,
        number: fn(&Cacher, &CacheSizes) -> Option<usize>,
    ) {
        let storage = self.clone();
        let read = move || {
            let reading = |cacher: &Cacher| {
                let resource = cacher.resource.table.resource;
                Some(Reading {
                    value: number(cacher, &cacher.sizes())? as f64,
                    labels: vec![
                        ("group", resource.group.to_owned()),
                        ("resource", resource.resource.to_owned()),
                    ],
                })
            };
            storage
                .inner
                .cachers
                .values()
                .filter_map(|cacher| reading(cacher))
                .collect()
        };
        registry.register(name, RESOURCE, help, Readings::gauge(read));
    }

    fn register_versions(&self, registry: &mut MetricsRegistry) {
        self.gauge(
            registry,
            "apiserver_watch_cache_resource_version",
            "Newest version applied to the watch caches; without the epoch in its high bits",
            |storage| storage.applied().map(|version| version.count() as f64),
        );
        self.gauge(
            registry,
            "apiserver_postgres_epoch",
            "Epoch of the versions; it rises when the database was restored or failed over, and watches list anew",
            |storage| storage.applied().map(|version| version.epoch() as f64),
        );
        self.gauge(
            registry,
            "apiserver_postgres_change_log_floor_version",
            "Newest version whose events may have been removed from the change log; without the epoch",
            |storage| {
                let floor = storage.inner.metrics.floor.load(Ordering::Relaxed);
                Some(ResourceVersion::new(floor.cast_unsigned()).count() as f64)
            },
        );
        self.gauge(
            registry,
            "apiserver_postgres_tailer_lag_versions",
            "Versions that this replica has committed and not yet applied to its watch caches",
            |storage| {
                let committed = storage.inner.metrics.committed.load(Ordering::Relaxed);
                storage
                    .applied()
                    .map(|applied| committed.saturating_sub(applied.get()) as f64)
            },
        );
        self.gauge(
            registry,
            "apiserver_postgres_tailer_lag_seconds",
            "Time since the change log was last read to its end: the watch caches are at most this old",
            |storage| {
                storage
                    .inner
                    .metrics
                    .since_pass()
                    .map(|since| since.as_secs_f64())
            },
        );
        self.gauge(
            registry,
            "apiserver_postgres_reachable",
            "1 when the change log could be read when last tried, else 0",
            |storage| Some(f64::from(u8::from(storage.inner.gate.reachable()))),
        );
    }

    fn register_connections(&self, registry: &mut MetricsRegistry) {
        self.gauge(
            registry,
            "apiserver_postgres_writer_queue_operations",
            "Operations that wait for the writer",
            |storage| {
                let queue = &storage.inner.queue;
                Some(queue.max_capacity().saturating_sub(queue.capacity()) as f64)
            },
        );
        self.gauge(
            registry,
            "apiserver_postgres_writer_queue_operations_max",
            "The most operations that may wait for the writer; further ones are answered 429",
            |storage| Some(storage.inner.queue.max_capacity() as f64),
        );
        let pool = self.pool().clone();
        let connections = move || {
            let reading = |state: &str, count: usize| Reading {
                labels: vec![("state", state.to_owned())],
                value: count as f64,
            };
            let (all, idle) = (pool.size() as usize, pool.num_idle());
            vec![reading("idle", idle), reading("used", all.saturating_sub(idle))]
        };
        registry.register(
            "apiserver_postgres_pool_connections",
            &["state"],
            "Connections of the pool for reads, idle and used; writer, tailer and nudges have four of their own",
            Readings::gauge(connections),
        );
    }

    fn gauge(
        &self,
        registry: &mut MetricsRegistry,
        name: &'static str,
        help: &'static str,
        number: fn(&Self) -> Option<f64>,
    ) {
        let storage = self.clone();
        let read = move || number(&storage).map(Reading::plain).into_iter().collect();
        registry.register(name, &[], help, Readings::gauge(read));
    }

    fn applied(&self) -> Option<ResourceVersion> {
        *self.inner.progress.borrow()
    }
}
