//! PostgreSQL killed with many writes in flight: what was acknowledged is there, once, and watched as it
//! is logged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use generic_apiserver::storage::{ResourceVersion, Storage, StorageError, WatchStart};
use serde_json::json;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use test_postgres::{Durability, TestPostgres};

use crate::fixture::*;

const CREATES: usize = 1000;

/// Creates a note as a client does that tries again; its version, unless an attempt had succeeded of
/// which the client has heard nothing.
async fn create(storage: Storage, name: String, acknowledged: Arc<AtomicUsize>) -> Option<ResourceVersion> {
    let deadline = Instant::now() + SOON * 6;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match storage.update(creation(&name, json!({}))).await {
            Ok(stored) => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                return Some(stored.version);
            }
            Err(StorageError::AlreadyExists { .. }) if attempts > 1 => return None,
            Err(StorageError::Unreachable { .. } | StorageError::Overloaded(_)) => {}
            Err(error) => panic!("{name}: {error}"),
        }
        assert!(Instant::now() < deadline, "{name} is not written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_killed_during_a_thousand_creates_loses_and_repeats_nothing() {
    let mut postgres = TestPostgres::start(Durability::Full).unwrap();
    let fixture = Fixture::on(&postgres, |_| {}).await;
    let other = replica(&fixture.database, |_| {}, |builder| builder);
    let start = fixture.storage.current_version().await.unwrap();
    let watches = [&fixture.storage, &other].map(|storage| storage.watch_from(WatchStart::After(start)));
    let watches = join_all(watches).await;
    // A transaction takes long enough to be met by the kill.
    fixture
        .sql(
            "create function slow() returns trigger language plpgsql as
                 $$ begin perform pg_sleep(0.002); return new; end $$;
             create trigger slow before insert on notes for each row execute function slow()",
        )
        .await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let replicas = [fixture.storage.clone(), other.clone()];
    let creates: Vec<_> = (0..CREATES)
        .map(|i| {
            let storage = replicas[i % 2].clone();
            tokio::spawn(create(storage, format!("n{i}"), Arc::clone(&acknowledged)))
        })
        .collect();

    for share in [CREATES / 5, CREATES / 2] {
        while acknowledged.load(Ordering::SeqCst) < share {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        postgres.kill().unwrap();
        postgres.restart().unwrap();
    }
    let results = join_all(creates).await.into_iter().map(Result::unwrap);
    let results: BTreeMap<String, Option<ResourceVersion>> = results
        .enumerate()
        .map(|(i, version)| (format!("n{i}"), version))
        .collect();

    // The log has each note once; whoever was told a version finds the note there, at that version.
    let mut connection = PgConnection::connect_with(&fixture.database.connect_options())
        .await
        .unwrap();
    let log: Vec<(i64, String)> = sqlx::query_as("select rv, name from apiserver.watch_events order by rv")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(log.len(), CREATES, "I2");
    let notes: Vec<(i64, String)> = sqlx::query_as("select resource_version, name from notes order by 1")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(log, notes, "I2");
    for (version, name) in &log {
        let told = results[name].map(ResourceVersion::as_i64);
        assert!(
            told.is_none_or(|told| told == *version),
            "I9: {name} at {version}, told {told:?}"
        );
    }
    // Nothing that a replica had seen was missed after a crash: no epoch began.
    assert!(log.last().is_some_and(|(last, _)| *last < 1 << 40), "I9");
    let expected: Vec<_> = log
        .iter()
        .map(|(version, name)| format!("+{name}@{version}"))
        .collect();
    for mut watch in watches {
        assert_eq!(take(&mut watch, CREATES).await, expected, "I1, I4");
    }
}
