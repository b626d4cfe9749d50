//! The database goes away: what is acknowledged stays, what is open stays open, the rest says so.

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{FutureExt, TryFutureExt};
use generic_apiserver::storage::{
    Freshness, ListOptions, ListVersion, Storage, StorageError, StorageOptions, WatchStart,
};
use serde_json::json;
use test_postgres::{Durability, Loss, Proxy, TestPostgres};

use crate::fixture::*;

/// Creates objects one after another until told to stop; the names acknowledged, and those in doubt.
async fn create_until(
    storage: Storage,
    prefix: String,
    stop: tokio_util::sync::CancellationToken,
) -> (Vec<String>, Vec<String>) {
    let (mut acknowledged, mut doubtful) = (Vec::new(), Vec::new());
    for i in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let name = format!("{prefix}-{i}");
        match storage.update(creation(&name, json!({}))).await {
            Ok(_) => acknowledged.push(name),
            Err(StorageError::Unreachable { ambiguous: true, .. }) => doubtful.push(name),
            Err(StorageError::Unreachable { ambiguous: false, .. }) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (acknowledged, doubtful)
}

async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the clients were told and what the table holds must fit together.
async fn check(storage: &Storage, results: Vec<(Vec<String>, Vec<String>)>) -> usize {
    let page = storage.all().await;
    let present: std::collections::HashSet<_> = names(&page).into_iter().collect();
    let mut allowed = std::collections::HashSet::new();
    let mut count = 0;
    for (acknowledged, doubtful) in &results {
        for name in acknowledged {
            assert!(
                present.contains(name.as_str()),
                "I9: {name} was acknowledged and is lost"
            );
        }
        count += acknowledged.len();
        allowed.extend(acknowledged.iter().chain(doubtful).map(String::as_str));
    }
    let unexpected: Vec<_> = present.difference(&allowed).collect();
    assert!(unexpected.is_empty(), "refused and yet written: {unexpected:?}");
    count
}

/// Whether the storage is back and holds so many objects, whoever was told of them.
async fn has_more_than(storage: &Storage, objects: usize) -> bool {
    storage.current_version().await.is_ok() && storage.all().await.items.len() > objects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_are_killed_and_nothing_acknowledged_is_lost() {
    let fixture = Fixture::new().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let start = fixture.storage.current_version().await.unwrap();
    let mut watch = fixture.storage.watch_from(WatchStart::After(start)).await;
    let clients: Vec<_> = (0..8)
        .map(|i| {
            tokio::spawn(create_until(
                fixture.storage.clone(),
                format!("c{i}"),
                stop.clone(),
            ))
        })
        .collect();

    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        fixture
            .sql(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()",
            )
            .await;
    }
    eventually("writes come through", || has_more_than(&fixture.storage, 40)).await;
    stop.cancel();
    let results: Vec<_> = join_all(clients).await.into_iter().map(Result::unwrap).collect();

    let acknowledged = check(&fixture.storage, results).await;
    assert!(acknowledged > 20, "only {acknowledged} writes came through");
    // The watch has lived through all of it, and has seen each object once.
    let page = fixture.storage.all().await;
    let mut seen: Vec<_> = take(&mut watch, page.items.len()).await;
    let mut expected: Vec<_> = page
        .items
        .iter()
        .map(|o| format!("+{}@{}", o.key.name, o.version))
        .collect();
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_comes_back_with_all_that_was_acknowledged() {
    let mut postgres = TestPostgres::start(Durability::Full).unwrap();
    let fixture = Fixture::on(&postgres, |_| {}).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let clients: Vec<_> = (0..8)
        .map(|i| {
            tokio::spawn(create_until(
                fixture.storage.clone(),
                format!("c{i}"),
                stop.clone(),
            ))
        })
        .collect();

    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        postgres.kill().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        postgres.restart().unwrap();
    }
    eventually("writes come through", || has_more_than(&fixture.storage, 40)).await;
    stop.cancel();
    let results: Vec<_> = join_all(clients).await.into_iter().map(Result::unwrap).collect();

    let acknowledged = check(&fixture.storage, results).await;
    assert!(acknowledged > 20, "only {acknowledged} writes came through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_watches_stay_open_and_any_version_is_served() {
    let mut postgres = TestPostgres::start(Durability::None).unwrap();
    let fixture = Fixture::on(&postgres, |options| {
        options.bookmark_interval = Duration::from_millis(100);
    })
    .await;
    let storage = &fixture.storage;
    let a = storage.create("a", "red").await;
    let mut watch = storage.watch_from(WatchStart::After(a.version)).await;
    storage.record("e", "red").await;
    storage.current_version().await.unwrap();
    assert!(storage.is_ready());

    postgres.stop().unwrap();

    eventually("it is noticed", || async { !storage.is_ready() }).await;
    let any = ListOptions {
        version: ListVersion::Fresh(Freshness::Any),
        ..everything()
    };
    assert_eq!(names(&storage.list(NOTES, &any).await.unwrap()), ["a"]);
    assert!(storage.get(NOTES, &key("a"), Freshness::Any).await.is_ok());
    assert!(
        storage
            .get(NOTES, &key("a"), Freshness::NotOlderThan(a.version))
            .await
            .is_ok()
    );
    let started = Instant::now();
    let unreachable =
        |error: &StorageError| matches!(error, StorageError::Unreachable { ambiguous: false, .. });
    assert!(unreachable(
        &storage.list(NOTES, &everything()).await.unwrap_err()
    ));
    assert!(unreachable(
        &storage
            .get(NOTES, &key("none"), Freshness::Latest)
            .await
            .unwrap_err()
    ));
    assert!(unreachable(
        &storage.get(ENTRIES, &key("e"), Freshness::Any).await.unwrap_err()
    ));
    assert!(unreachable(
        &storage.update(creation("b", json!({}))).await.unwrap_err()
    ));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "refusals take too long: {:?}",
        started.elapsed()
    );
    // Bookmarks go on: the watch is open.
    assert!(take(&mut watch, 1).await[0].starts_with('='));

    postgres.restart().unwrap();

    eventually("writes go on", || async {
        storage.update(creation("b", json!({}))).await.is_ok()
    })
    .await;
    loop {
        let event = take(&mut watch, 1).await.remove(0);
        if event.starts_with("+b@") {
            break;
        }
        assert!(event.starts_with('='), "{event}");
    }
}

#[tokio::test]
async fn a_storage_started_before_its_database_fills_its_caches_later() {
    let mut postgres = TestPostgres::start(Durability::None).unwrap();
    let fixture = Fixture::on(&postgres, |_| {}).await;
    fixture.storage.create("a", "red").await;
    fixture.storage.shutdown().await;
    postgres.stop().unwrap();
    let storage = replica(
        &fixture.database,
        |options| options.freshness_timeout = Duration::from_millis(300),
        |builder| builder,
    );
    let early = storage.get(NOTES, &key("a"), Freshness::Any).await;
    assert!(
        matches!(early, Err(StorageError::Unreachable { .. })),
        "never NotFound: {early:?}"
    );

    postgres.restart().unwrap();

    eventually("the caches are filled", || async { storage.is_ready() }).await;
    assert!(storage.get(NOTES, &key("a"), Freshness::Latest).await.is_ok());
}

#[tokio::test]
async fn a_table_that_never_answers_a_read_is_given_up_in_time() {
    let fixture = Fixture::new().await;
    let proxy = Proxy::before(&fixture.database.connect_options()).unwrap();
    let mut options = StorageOptions::new(proxy.connect_options());
    options.statement_timeout = Duration::from_millis(500);
    let storage = Storage::builder(options)
        .resource(notes())
        .resource(entries())
        .start(&Default::default());
    storage.record("e", "red").await;
    storage.current_version().await.unwrap();
    let (options, e) = (everything(), key("e"));
    let reads = [
        storage.get(ENTRIES, &e, Freshness::Any).map_ok(drop).boxed(),
        storage.list(ENTRIES, &options).map_ok(drop).boxed(),
    ];

    for read in reads {
        proxy.lose(Loss::Request, "from entries");
        let ended = tokio::time::timeout(SOON, read).await.expect("it is given up");
        assert!(proxy.has_lost());
        assert!(
            matches!(ended, Err(StorageError::Unreachable { ambiguous: false, .. })),
            "{ended:?}"
        );
    }

    // The connections that hang are not used again.
    assert_eq!(names(&storage.list(ENTRIES, &everything()).await.unwrap()), ["e"]);
}

#[tokio::test]
async fn a_lock_that_is_not_given_in_time_is_reported_and_nothing_is_written() {
    let fixture = Fixture::with(|options| {
        options.statement_timeout = Duration::from_millis(300);
        options.lock_key = 7;
    })
    .await;
    let storage = &fixture.storage;
    storage.create("a", "red").await;
    use sqlx::{Connection, Executor};
    let mut holder = sqlx::PgConnection::connect_with(&fixture.database.connect_options())
        .await
        .unwrap();
    holder.execute("select pg_advisory_lock(7)").await.unwrap();

    let blocked = storage.update(creation("b", json!({}))).await;

    assert!(
        matches!(blocked, Err(StorageError::Unreachable { ambiguous: false, .. })),
        "{blocked:?}"
    );
    // Reading needs no lock.
    assert_eq!(names(&storage.all().await), ["a"]);
    holder.close().await.unwrap();
    storage.create("b", "red").await;
}

#[tokio::test]
async fn a_commit_that_did_not_happen_is_found_out_and_made_again() {
    let fixture = Fixture::new().await;
    fixture.storage.create("warm", "red").await;
    // At its first commit the backend ends itself, before anything is durable.
    fixture
        .sql(
            "create sequence once;
             create function die_once() returns trigger language plpgsql as
             $$ begin if nextval('once') = 1 then perform pg_terminate_backend(pg_backend_pid()); end if; return null; end $$;
             create constraint trigger die_once after insert on notes initially deferred
             for each row execute function die_once()",
        )
        .await;

    let created = fixture.storage.update(creation("a", json!({}))).await;

    assert!(created.is_ok(), "{created:?}");
    assert_eq!(fixture.count("select last_value from once").await, 2);
    assert_eq!(
        fixture.count("select count(*) from notes where name = 'a'").await,
        1
    );
}

#[tokio::test]
async fn a_commit_that_did_happen_is_found_out_and_not_made_again() {
    let fixture = Fixture::new().await;
    let proxy = Proxy::before(&fixture.database.connect_options()).unwrap();
    let mut options = StorageOptions::new(proxy.connect_options());
    options.transaction_timeout = SOON;
    let storage = Storage::builder(options)
        .resource(notes())
        .resource(entries())
        .start(&Default::default());
    storage.create("warm", "red").await;

    proxy.lose(Loss::Connection, "; commit");
    let created = storage.update(creation("a", json!({}))).await;

    assert!(proxy.has_lost());
    let created = created.expect("the commit has happened");
    let read = storage.get(NOTES, &key("a"), Freshness::Latest).await.unwrap();
    assert_eq!(read.encoded, created.encoded);
    assert_eq!(
        fixture
            .count("select count(*) from apiserver.watch_events where name = 'a'")
            .await,
        1
    );
}
