//! The database's history: failovers and restores that lose acknowledged writes, on real servers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use generic_apiserver::storage::{
    Freshness, HighWaterMark, ListOptions, ListVersion, ResourceVersion, Storage, StorageError,
    StorageOptions, Stored, WatchStart, WatchStream,
};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use test_postgres::{Durability, Proxy, TestDatabase, TestPostgres};

use crate::fixture::*;

/// The first version of an epoch.
const fn epoch(number: u64) -> ResourceVersion {
    ResourceVersion::new((number << 40) + 1)
}

/// A mark that outlives the database, as the server's ConfigMap does.
#[derive(Default)]
struct Mark {
    version: Mutex<Option<ResourceVersion>>,
    away: AtomicBool,
}

impl Mark {
    fn reached(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        match self.away.load(Ordering::SeqCst) {
            true => Err("nobody answers".into()),
            false => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl HighWaterMark for Mark {
    async fn read(&self) -> Result<Option<ResourceVersion>, Box<dyn std::error::Error + Send + Sync>> {
        self.reached()?;
        Ok(*self.version.lock().unwrap())
    }

    async fn raise(&self, version: ResourceVersion) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.reached()?;
        let mut known = self.version.lock().unwrap();
        *known = (*known).max(Some(version));
        Ok(())
    }
}

async fn written(storage: &Storage, name: &str) -> Arc<Stored> {
    let deadline = Instant::now() + SOON;
    loop {
        match storage.update(creation(name, json!({}))).await {
            Ok(stored) => return stored,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the database can be read again.
async fn readable(storage: &Storage) {
    let deadline = Instant::now() + SOON;
    while let Err(error) = storage.current_version().await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every client is told to list anew: with an open watch, with a new one, with a list at an old version,
/// and of resources that live in the database only.
async fn all_is_expired(storage: &Storage, watch: &mut WatchStream, seen: ResourceVersion) {
    loop {
        match next(watch).await.expect("an error, not an end") {
            Ok(_) => {}
            Err(StorageError::Expired { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let exact = ListOptions {
        version: ListVersion::Exact(seen),
        ..everything()
    };
    for resource in [NOTES, ENTRIES] {
        let listed = storage.list(resource, &exact).await;
        assert!(
            matches!(listed, Err(StorageError::Expired { .. })),
            "{resource}: {listed:?}"
        );
        let ended = match storage.watch(resource, watching(WatchStart::After(seen))).await {
            Ok(mut watch) => next(&mut watch).await.unwrap().map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(
            matches!(ended, Err(StorageError::Expired { .. })),
            "{resource}: {ended:?}"
        );
    }
}

/// Lists again and again, with whatever freshness; versions never go backwards.
async fn list_until(storage: Storage, stop: tokio_util::sync::CancellationToken) -> usize {
    let (mut seen, mut lists) = (version(0), 0);
    while !stop.is_cancelled() {
        for freshness in [Freshness::Any, Freshness::Latest] {
            let options = ListOptions {
                version: ListVersion::Fresh(freshness),
                ..everything()
            };
            if let Ok(page) = storage.list(NOTES, &options).await {
                assert!(page.version >= seen, "{} after {seen}", page.version);
                (seen, lists) = (page.version, lists + 1);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lists
}

async fn connect(database: &TestDatabase) -> PgConnection {
    PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c284_a_promoted_standby_without_the_last_writes_begins_a_new_epoch() {
    let mut primary = TestPostgres::start(Durability::None).unwrap();
    let fixture = Fixture::on(&primary, |_| {}).await;
    fixture.storage.shutdown().await;
    let proxy = Proxy::before(&fixture.database.connect_options()).unwrap();
    let mut options = StorageOptions::new(proxy.connect_options());
    options.freshness_timeout = Duration::from_millis(500);
    let storage = Storage::builder(options)
        .resource(notes())
        .resource(entries())
        .start(&Default::default());
    let a = storage.create("a", "red").await;
    let mut watch = storage.watch_from(WatchStart::After(a.version)).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let lists = tokio::spawn(list_until(storage.clone(), stop.clone()));

    // The standby has the first note; what is acknowledged after that never reaches it.
    let standby = primary.standby().unwrap();
    let copy = standby.database(fixture.database.name());
    let mut session = connect(&copy).await;
    session
        .execute("alter system set primary_conninfo = ''")
        .await
        .unwrap();
    session.execute("select pg_reload_conf()").await.unwrap();
    let streaming = "select count(*) from pg_stat_wal_receiver";
    let deadline = Instant::now() + SOON;
    while sqlx::query_scalar::<_, i64>(streaming)
        .fetch_one(&mut session)
        .await
        .unwrap()
        > 0
    {
        assert!(Instant::now() < deadline, "the standby goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    storage.create("lost", "red").await;
    let lost = storage.record("lost", "red").await;
    storage.current_version().await.unwrap();

    // Nothing is read from a standby, which may lack what was acknowledged.
    primary.kill().unwrap();
    proxy.lead_to(Some(&copy.connect_options())).unwrap();
    let deadline = Instant::now() + SOON;
    while storage.is_ready() {
        assert!(Instant::now() < deadline, "the end of the primary is not noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read = storage.get(NOTES, &key("a"), Freshness::Latest).await;
    assert!(matches!(read, Err(StorageError::Unreachable { .. })), "{read:?}");
    // Who knows of what is lost would notice even if nobody else did: it comes back last.
    proxy.lead_to(None).unwrap();
    standby.promote().await.unwrap();

    // Several find the new history at once: one of them begins the epoch.
    let others: Vec<_> = (0..3)
        .map(|_| replica(&copy, |_| {}, |builder| builder))
        .collect();
    let names = ["b0", "b1", "b2"];
    let written = join_all(others.iter().zip(names).map(|(other, name)| written(other, name))).await;
    let mut versions: Vec<_> = written.iter().map(|note| note.version.get()).collect();
    versions.sort_unstable();
    let first = epoch(1).get();
    assert_eq!(versions, [first, first + 1, first + 2]);

    proxy.lead_to(Some(&copy.connect_options())).unwrap();
    readable(&storage).await;
    all_is_expired(&storage, &mut watch, lost.version).await;
    assert_eq!(
        super::fixture::names(&storage.all().await),
        ["a", "b0", "b1", "b2"]
    );
    stop.cancel();
    assert!(lists.await.unwrap() > 0);
    // A restart on the same history is no fork.
    let again = replica(&copy, |_| {}, |builder| builder);
    assert_eq!(again.create("c", "red").await.version.get(), first + 3);
}

/// A server that has lost its last writes: its files are those of an earlier moment.
struct Restored {
    postgres: TestPostgres,
    fixture: Fixture,
    mark: Arc<Mark>,
}

impl Restored {
    async fn new() -> Self {
        let postgres = TestPostgres::start(Durability::None).unwrap();
        let fixture = Fixture::on(&postgres, |_| {}).await;
        fixture.storage.create("kept", "red").await;
        fixture.storage.shutdown().await;
        let mut this = Self {
            postgres,
            fixture,
            mark: Arc::default(),
        };
        this.while_stopped(|postgres| postgres.copy_files().unwrap());
        this
    }

    /// A replica that keeps the mark, with rare records: it is raised when the replica ends.
    fn replica(&self) -> Storage {
        let mark = Arc::clone(&self.mark) as Arc<dyn HighWaterMark>;
        replica(
            &self.fixture.database,
            |_| {},
            |builder| builder.high_water_mark(mark),
        )
    }

    fn while_stopped(&mut self, act: impl FnOnce(&mut TestPostgres)) {
        self.postgres.stop().unwrap();
        act(&mut self.postgres);
        self.postgres.restart().unwrap();
    }

    async fn identity(&self) -> i64 {
        let identity =
            "select system_identifier # timeline_id from pg_control_system(), pg_control_checkpoint()";
        self.fixture.count(identity).await
    }
}

#[tokio::test]
async fn c284_a_restored_copy_is_caught_by_the_mark_outside_the_database() {
    let mut restored = Restored::new().await;
    let before = restored.identity().await;
    let storage = restored.replica();
    storage.create("lost", "red").await;
    let lost = storage.record("lost", "red").await;
    storage.shutdown().await;
    assert_eq!(*restored.mark.version.lock().unwrap(), Some(lost.version));

    restored.while_stopped(|postgres| postgres.restore_files().unwrap());

    assert_eq!(restored.identity().await, before, "nothing in the database tells");
    let storage = restored.replica();
    let new = written(&storage, "new").await;
    assert_eq!(new.version, epoch(1));
    assert_eq!(names(&storage.all().await), ["kept", "new"]);
    let exact = ListOptions {
        version: ListVersion::Exact(lost.version),
        ..everything()
    };
    let listed = storage.list(NOTES, &exact).await;
    assert!(matches!(listed, Err(StorageError::Expired { .. })), "{listed:?}");

    // Restored once more, to the same moment: above all that was drawn, in whatever epoch.
    storage.shutdown().await;
    restored.while_stopped(|postgres| postgres.restore_files().unwrap());
    let storage = restored.replica();
    assert_eq!(written(&storage, "newer").await.version, epoch(2));
}

#[tokio::test]
async fn c284_a_restored_copy_is_caught_by_a_replica_that_ran_before() {
    let mut restored = Restored::new().await;
    let storage = replica(&restored.fixture.database, |_| {}, |builder| builder);
    let kept = storage.get(NOTES, &key("kept"), Freshness::Latest).await.unwrap();
    let mut watch = storage.watch_from(WatchStart::After(kept.version)).await;
    storage.create("lost", "red").await;
    let lost = storage.record("lost", "red").await;
    storage.current_version().await.unwrap();

    restored.while_stopped(|postgres| postgres.restore_files().unwrap());

    let new = written(&storage, "new").await;
    assert_eq!(new.version, epoch(1));
    readable(&storage).await;
    all_is_expired(&storage, &mut watch, lost.version).await;
    assert_eq!(names(&storage.all().await), ["kept", "new"]);
}

#[tokio::test]
async fn c284_a_restored_copy_that_was_written_on_is_still_caught() {
    let mut restored = Restored::new().await;
    let proxy = Proxy::before(&restored.fixture.database.connect_options()).unwrap();
    let storage = Storage::builder(StorageOptions::new(proxy.connect_options()))
        .resource(notes())
        .resource(entries())
        .start(&Default::default());
    let lost = storage.create("lost", "red").await;
    storage.current_version().await.unwrap();
    let mut watch = storage.watch_from(WatchStart::After(lost.version)).await;

    // A replica that knows nothing draws the lost versions again, and more, before this one is back.
    proxy.lead_to(None).unwrap();
    restored.while_stopped(|postgres| postgres.restore_files().unwrap());
    let ignorant = replica(&restored.fixture.database, |_| {}, |builder| builder);
    let again = written(&ignorant, "again").await;
    assert_eq!(again.version, lost.version);
    ignorant.create("further", "red").await;
    proxy
        .lead_to(Some(&restored.fixture.database.connect_options()))
        .unwrap();

    let new = written(&storage, "new").await;
    assert_eq!(new.version, epoch(1));
    readable(&storage).await;
    all_is_expired(&storage, &mut watch, lost.version).await;
    assert_eq!(names(&storage.all().await), ["again", "further", "kept", "new"]);
}

#[tokio::test]
async fn c284_a_restored_copy_is_caught_by_what_others_have_recorded_meanwhile() {
    let mut restored = Restored::new().await;
    let proxy = Proxy::before(&restored.fixture.database.connect_options()).unwrap();
    let mark = Arc::clone(&restored.mark) as Arc<dyn HighWaterMark>;
    let storage = Storage::builder(StorageOptions::new(proxy.connect_options()))
        .resource(notes())
        .resource(entries())
        .high_water_mark(mark)
        .start(&Default::default());
    storage.get(NOTES, &key("kept"), Freshness::Latest).await.unwrap();

    // This one is cut off while another one writes, records that, and ends.
    proxy.lead_to(None).unwrap();
    let other = restored.replica();
    let lost = other.create("lost", "red").await;
    other.shutdown().await;
    assert_eq!(*restored.mark.version.lock().unwrap(), Some(lost.version));
    restored.while_stopped(|postgres| postgres.restore_files().unwrap());
    proxy
        .lead_to(Some(&restored.fixture.database.connect_options()))
        .unwrap();

    assert_eq!(written(&storage, "new").await.version, epoch(1));
}

#[tokio::test]
async fn a_mark_above_all_versions_begins_no_epoch() {
    let fixture = Fixture::new().await;
    let mark = Arc::new(Mark::default());
    *mark.version.lock().unwrap() = Some(ResourceVersion::new(i64::MAX.cast_unsigned()));
    let kept = Arc::clone(&mark) as Arc<dyn HighWaterMark>;
    let storage = replica(&fixture.database, |_| {}, |builder| builder.high_water_mark(kept));

    let refused = storage.update(creation("a", json!({}))).await;

    assert!(
        matches!(&refused, Err(StorageError::Corrupt(message)) if message.contains("epoch 8388608")),
        "{refused:?}"
    );
    assert_eq!(
        fixture.count("select epoch::bigint from apiserver.rv_meta").await,
        0
    );
}

#[tokio::test]
async fn the_mark_is_read_before_anything_and_raised_when_it_can_be() {
    let fixture = Fixture::new().await;
    let mark = Arc::new(Mark::default());
    mark.away.store(true, Ordering::SeqCst);
    let kept = Arc::clone(&mark) as Arc<dyn HighWaterMark>;
    let storage = replica(
        &fixture.database,
        |options| options.history_interval = Duration::from_millis(50),
        |builder| builder.high_water_mark(kept),
    );
    let early = storage.update(creation("early", json!({}))).await;
    assert!(
        matches!(early, Err(StorageError::Unreachable { ambiguous: false, .. })),
        "{early:?}"
    );
    assert!(!storage.is_ready());

    mark.away.store(false, Ordering::SeqCst);
    let a = written(&storage, "a").await;
    let recorded = |version| {
        let mark = Arc::clone(&mark);
        async move {
            let deadline = Instant::now() + SOON;
            while *mark.version.lock().unwrap() != Some(version) {
                assert!(Instant::now() < deadline, "{version} is not recorded");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    recorded(a.version).await;

    // Writes go on without it; it follows when it is back.
    mark.away.store(true, Ordering::SeqCst);
    let b = storage.create("b", "red").await;
    fixture
        .sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
    let c = written(&storage, "c").await;
    assert!(b.version < c.version);
    mark.away.store(false, Ordering::SeqCst);
    recorded(c.version).await;
}

#[tokio::test]
async fn versions_that_were_drawn_and_not_used_are_not_missed() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    storage.create("a", "red").await;
    // As a commit leaves it that did not happen; what comes next writes no event.
    fixture
        .sql("select setval('apiserver.resource_version', 1000)")
        .await;
    let take = Arc::new(crate::set::Take::default());
    storage
        .run(&take, crate::set::request("missing", "me"))
        .await
        .unwrap();

    fixture
        .sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;

    assert_eq!(written(storage, "b").await.version, version(1001));
}

#[tokio::test]
async fn an_epoch_begins_above_versions_that_ran_on_into_its_bits() {
    let fixture = Fixture::new().await;
    fixture.storage.create("a", "red").await;
    fixture
        .sql("select setval('apiserver.resource_version', (1::bigint << 40) + 10)")
        .await;
    let b = fixture.storage.create("b", "red").await;
    assert_eq!(b.version.get(), epoch(1).get() + 10);

    fixture.sql("update apiserver.rv_meta set timeline = 99").await;

    let other = replica(&fixture.database, |_| {}, |builder| builder);
    assert_eq!(other.create("c", "red").await.version, epoch(2));
}
