//! What was answered is durable, and what was not is whole: crashes between the commit and the reply.

use std::process::Stdio;
use std::time::{Duration, Instant};

use generic_apiserver::storage::{Freshness, Storage, StorageError, StorageOptions, WatchStart};
use serde_json::json;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use test_postgres::{Durability, Loss, Proxy, TestPostgres};

use crate::barrier::{Barrier, HELD, Moment};
use crate::fixture::*;

async fn exists(storage: &Storage, name: &str) -> bool {
    let deadline = Instant::now() + SOON;
    loop {
        match storage.get(NOTES, &key(name), Freshness::Latest).await {
            Ok(_) => return true,
            Err(StorageError::NotFound(_)) => return false,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_was_answered_before_a_crash_finds_the_object_after_it() {
    let mut postgres = TestPostgres::start(Durability::Full).unwrap();
    let fixture = Fixture::on(&postgres, |options| options.transaction_timeout = SOON).await;
    fixture.storage.create("warm", "red").await;
    let mut barrier = Barrier::at(Moment::Commit, &fixture).await;
    let storage = fixture.storage.clone();
    let write = tokio::spawn(async move { storage.update(creation(HELD, json!({}))).await });
    barrier.wait_for(1).await;

    // The commit has begun and cannot end.
    postgres.kill().unwrap();
    let answered = write.is_finished();
    postgres.restart().unwrap();

    assert!(!answered, "I9: answered before the commit");
    let written = write.await.unwrap();
    assert_eq!(
        written.is_ok(),
        exists(&fixture.storage, HELD).await,
        "I9: {written:?}"
    );
}

#[tokio::test]
async fn commits_are_flushed_even_on_a_server_set_not_to() {
    let mut postgres = TestPostgres::start(Durability::Full).unwrap();
    let fixture = Fixture::on(&postgres, |_| {}).await;
    fixture.sql("alter system set synchronous_commit = off").await;
    // Nor does anybody else flush: the background writer and vacuum do nothing, the WAL writer stands still.
    fixture.sql("alter system set bgwriter_lru_maxpages = 0").await;
    fixture.sql("alter system set autovacuum = off").await;
    fixture.storage.shutdown().await;
    postgres.stop().unwrap();
    postgres.restart().unwrap();
    postgres.freeze_process("walwriter").await.unwrap();
    let storage = replica(&fixture.database, |_| {}, |builder| builder);
    for i in 0..5 {
        storage.create(&format!("n{i}"), "red").await;
    }

    postgres.kill().unwrap();
    postgres.restart().unwrap();

    for i in 0..5 {
        assert!(exists(&storage, &format!("n{i}")).await, "I9: n{i} was answered");
    }
}

/// Tells a process of this test that it is the replica, and where its database is.
const REPLICA_OF: &str = "TEST_REPLICA_OF";

/// The replica that will be killed: it writes one note and would then answer.
async fn write_one(database: &str) {
    let mut options = StorageOptions::new(database.parse::<PgConnectOptions>().unwrap());
    options.transaction_timeout = SOON * 10;
    let storage = Storage::builder(options)
        .resource(notes())
        .resource(entries())
        .start(&Default::default());
    storage.create("a", "red").await;
    eprintln!("answered");
}

#[tokio::test]
async fn a_replica_killed_between_commit_and_reply_leaves_the_change_whole() {
    if let Ok(database) = std::env::var(REPLICA_OF) {
        return write_one(&database).await;
    }
    let fixture = Fixture::new().await;
    let start = fixture.storage.current_version().await.unwrap();
    let mut watch = fixture.storage.watch_from(WatchStart::After(start)).await;
    let proxy = Proxy::before(&fixture.database.connect_options()).unwrap();
    proxy.lose(Loss::Answer, "; commit");
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("durability::a_replica_killed_between_commit_and_reply_leaves_the_change_whole")
        .env(REPLICA_OF, proxy.connect_options().to_url_lossy().as_str())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + SOON;
    while fixture.count("select count(*) from notes").await == 0 {
        assert!(Instant::now() < deadline, "the replica wrote nothing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    child.start_kill().unwrap();
    let output = child.wait_with_output().await.unwrap();

    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.contains("answered"), "{output}");
    let a = fixture
        .storage
        .get(NOTES, &key("a"), Freshness::Latest)
        .await
        .unwrap();
    // The client tries again, and learns that it had succeeded.
    let again = fixture.storage.update(creation("a", json!({}))).await;
    assert!(
        matches!(again, Err(StorageError::AlreadyExists { .. })),
        "{again:?}"
    );
    let b = fixture.storage.create("b", "red").await;
    assert!(a.version < b.version, "I6: {} was drawn again", a.version);
    let expected = [format!("+a@{}", a.version), format!("+b@{}", b.version)];
    assert_eq!(take(&mut watch, 2).await, expected, "I2");
}
