//! What storage counts of itself.

use std::time::Duration;

use generic_apiserver::storage::{Freshness, Storage, WatchStart};
use telemetry::MetricsRegistry;
use test_scrape::Scrape;
use tokio::time::Instant;

use crate::fixture::{Fixture, Notes, SOON, creation, replica};

const NOTES: [(&str, &str); 2] = [("group", "test.example.com"), ("resource", "notes")];

/// The metrics of one replica.
struct Metrics(MetricsRegistry);

impl Metrics {
    fn of(storage: &Storage) -> Self {
        let mut registry = MetricsRegistry::default();
        storage.register_metrics(&mut registry);
        Self(registry)
    }

    fn scrape(&self) -> Scrape {
        Scrape::parse(&self.0.exposition())
    }

    async fn eventually(&self, expected: impl Fn(&Scrape) -> bool) -> Scrape {
        let deadline = Instant::now() + SOON;
        loop {
            let scrape = self.scrape();
            if expected(&scrape) {
                return scrape;
            }
            assert!(Instant::now() < deadline, "{scrape:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn c084_transactions_of_the_writer_are_counted_and_timed() {
    let fixture = Fixture::new().await;
    let metrics = Metrics::of(&fixture.storage);
    let creates = (0..50).map(|index| {
        let update = creation(&format!("note-{index}"), serde_json::json!({}));
        fixture.storage.update(update)
    });
    for created in futures::future::join_all(creates).await {
        created.unwrap();
    }
    let scrape = metrics
        .eventually(|scrape| scrape.sum("apiserver_resource_objects", &NOTES) == 50.0)
        .await;
    let transactions = scrape.sum(
        "apiserver_postgres_writer_transactions_total",
        &[("outcome", "done")],
    );
    assert!(
        (1.0..50.0).contains(&transactions),
        "concurrent creates share: {transactions}"
    );
    let batches = "apiserver_postgres_writer_batch_operations";
    assert_eq!(scrape.sum(&format!("{batches}_sum"), &[]), 50.0);
    for timed in ["lock_wait", "lock_held", "commit"] {
        let name = format!("apiserver_postgres_writer_{timed}_seconds");
        assert_eq!(scrape.sum(&format!("{name}_count"), &[]), transactions, "{timed}");
        assert!(scrape.sum(&format!("{name}_sum"), &[]) > 0.0, "{timed}");
    }
    assert!(
        scrape.sum("apiserver_postgres_writer_lock_held_seconds_sum", &[])
            >= scrape.sum("apiserver_postgres_writer_commit_seconds_sum", &[]),
        "the commit is under the lock"
    );
    assert_eq!(scrape.sum("apiserver_postgres_writer_queue_operations", &[]), 0.0);
    assert_eq!(
        scrape.sum("apiserver_postgres_writer_queue_operations_max", &[]),
        4096.0
    );

    // A shelf that is taken is refused by the database, and again when the keys have been looked at.
    let taken = |name: &str| creation(name, serde_json::json!({"shelf": 1}));
    fixture.storage.update(taken("first")).await.unwrap();
    fixture.storage.update(taken("second")).await.unwrap_err();
    let refused = [("outcome", "refused")];
    assert_eq!(
        metrics
            .scrape()
            .sum("apiserver_postgres_writer_transactions_total", &refused),
        2.0
    );
}

#[tokio::test]
async fn c084_versions_and_epoch_are_told() {
    let fixture = Fixture::new().await;
    let metrics = Metrics::of(&fixture.storage);
    let stored = fixture.storage.create("a", "red").await;
    let scrape = metrics
        .eventually(|scrape| {
            scrape.sum("apiserver_watch_cache_resource_version", &[]) == stored.version.count() as f64
        })
        .await;
    assert_eq!(
        scrape.sum("apiserver_postgres_epoch", &[]),
        stored.version.epoch() as f64
    );
    assert_eq!(scrape.sum("apiserver_postgres_tailer_lag_versions", &[]), 0.0);
    assert!(scrape.sum("apiserver_postgres_tailer_lag_seconds", &[]) < SOON.as_secs_f64());

    fixture.storage.all().await;
    let waits = metrics
        .scrape()
        .sum("apiserver_watch_cache_read_wait_seconds_count", &[]);
    assert_eq!(waits, 1.0, "a list of the newest state waits for it");
}

#[tokio::test]
async fn c084_watcher_that_does_not_read_is_counted_when_it_is_closed() {
    let fixture = Fixture::with(|options| options.watcher_events_max = 2).await;
    let metrics = Metrics::of(&fixture.storage);
    fixture.storage.wait_until_filled().await.unwrap();
    let watch = fixture.storage.watch_from(WatchStart::Now(Freshness::Any)).await;
    let watchers = |scrape: &Scrape| scrape.sum("apiserver_watch_cache_watchers", &NOTES);
    assert_eq!(watchers(&metrics.scrape()), 1.0);
    for name in ["a", "b", "c", "d"] {
        fixture.storage.create(name, "red").await;
    }
    let scrape = metrics
        .eventually(|scrape| scrape.sum("apiserver_terminated_watchers_total", &NOTES) == 1.0)
        .await;
    assert_eq!(watchers(&scrape), 0.0);
    drop(watch);
}

#[tokio::test]
async fn c084_nudges_between_replicas_are_counted() {
    let fixture = Fixture::new().await;
    let other = replica(&fixture.database, |_| {}, |builder| builder);
    let (metrics, others) = (Metrics::of(&fixture.storage), Metrics::of(&other));
    other.wait_until_filled().await.unwrap();
    let deadline = Instant::now() + SOON;
    // Whoever does not listen yet misses a nudge, as it may.
    let mut index = 0;
    while others
        .scrape()
        .sum("apiserver_postgres_nudges_total", &[("direction", "received")])
        < 1.0
    {
        fixture.storage.create(&format!("note-{index}"), "red").await;
        index += 1;
        assert!(Instant::now() < deadline, "the other replica hears of changes");
    }
    assert!(
        metrics
            .scrape()
            .sum("apiserver_postgres_nudges_total", &[("direction", "sent")])
            >= 1.0
    );
    assert_eq!(
        others
            .scrape()
            .sum("apiserver_postgres_nudges_total", &[("direction", "sent")]),
        0.0,
        "it has written nothing"
    );
}

#[tokio::test]
async fn c084_pruning_is_counted_and_raises_the_floor() {
    let fixture = Fixture::with(|options| {
        options.log_age = Duration::ZERO;
        options.log_events_min = 2;
        options.log_prune_interval = Duration::from_millis(50);
    })
    .await;
    let metrics = Metrics::of(&fixture.storage);
    let mut newest = fixture.storage.create("a", "red").await;
    for color in ["blue", "green", "red", "blue", "green"] {
        newest = fixture.storage.paint(&newest, color).await;
    }
    let floor = newest.version.count() as f64 - 2.0;
    metrics
        .eventually(|scrape| {
            scrape.sum("apiserver_postgres_change_log_floor_version", &[]) == floor
                && scrape.sum("apiserver_postgres_change_log_pruned_events_total", &[]) == 4.0
        })
        .await;
}
