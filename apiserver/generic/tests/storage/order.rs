//! The one order of changes, with a transaction held up between drawing its version and its commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use generic_apiserver::storage::{Freshness, Storage, StorageOptions, WatchStart, WatchStream};
use serde_json::json;

use crate::barrier::{Barrier, HELD, Moment};
use crate::fixture::*;
use crate::set::{Answer, Take, request};

/// What a watch on this replica has to deliver by now, in short.
async fn delivered(watch: &mut WatchStream, replica: &Storage) -> Vec<String> {
    replica.current_version().await.unwrap();
    watch.bookmark_now();
    let mut events = Vec::new();
    loop {
        let event = take(watch, 1).await.remove(0);
        if event.starts_with('=') {
            return events;
        }
        events.push(event);
    }
}

/// Who is made to wait here is not given up on.
fn patient(options: &mut StorageOptions) {
    options.statement_timeout = SOON;
    options.transaction_timeout = SOON;
}

#[tokio::test]
async fn a_writer_waits_for_one_that_has_drawn_its_version_and_not_committed() {
    let fixture = Fixture::new().await;
    let [slow, quick, reader] = [(); 3].map(|()| replica(&fixture.database, patient, |builder| builder));
    let start = quick.create("warm", "red").await.version;
    let mut watch = reader.watch_from(WatchStart::After(start)).await;
    let mut barrier = Barrier::at(Moment::Write, &fixture).await;

    let held = tokio::spawn(async move { slow.update(creation(HELD, json!({}))).await });
    barrier.wait_for(1).await;
    let later = tokio::spawn(async move { quick.update(creation("later", json!({}))).await });
    // It waits for the lock; if it did not, it would be through before the other, and be seen.
    let deadline = Instant::now() + SOON;
    while !later.is_finished() && barrier.waiting().await < 2 {
        assert!(
            Instant::now() < deadline,
            "the second writer neither waits nor writes"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reader.current_version().await.unwrap();
    barrier.lift().await;

    let held = held.await.unwrap().unwrap().version;
    let later = later.await.unwrap().unwrap().version;
    let expected = [format!("+{HELD}@{held}"), format!("+later@{later}")];
    assert_eq!(delivered(&mut watch, &reader).await, expected, "I1");
    assert!(start < held && held < later, "I1");
}

#[tokio::test]
async fn a_set_mutation_reads_what_the_transaction_before_it_has_written() {
    let fixture = Fixture::with(patient).await;
    let other = replica(&fixture.database, patient, |builder| builder);
    fixture.storage.create("wanted", "red").await;
    other.create("warm", "red").await;
    let take = Arc::new(Take::default());
    let mut barrier = Barrier::at(Moment::Write, &fixture).await;

    // One transaction takes the note and is held up; the other asks for it meanwhile.
    let storage = fixture.storage.clone();
    let first = {
        let take = Arc::clone(&take);
        tokio::spawn(async move {
            let held = storage.update(creation(HELD, json!({})));
            let taking = storage.run(&take, request("wanted", "first"));
            tokio::join!(held, taking)
        })
    };
    barrier.wait_for(1).await;
    let second = {
        let take = Arc::clone(&take);
        tokio::spawn(async move { other.run(&take, request("wanted", "second")).await })
    };
    barrier.wait_for(2).await;
    barrier.lift().await;

    let (held, first) = first.await.unwrap();
    held.unwrap();
    assert!(matches!(first, Ok(Answer::Taken(..))), "{first:?}");
    let second = second.await.unwrap();
    assert_eq!(second.unwrap(), Answer::Held("first".to_owned()), "I7");
    let note = fixture
        .storage
        .get(NOTES, &key("wanted"), Freshness::Latest)
        .await;
    assert_eq!(parse(&note.unwrap()).body["spec"]["by"], json!("first"));
}

/// The database's clock is an hour ahead, as far as unqualified names go.
const CLOCK_AHEAD: &str = "
    create schema ahead;
    create function ahead.clock_timestamp() returns timestamptz language sql
        as $$ select pg_catalog.clock_timestamp() + interval '1 hour' $$;";

#[tokio::test]
async fn a_mutation_is_given_the_databases_clock() {
    let fixture = Fixture::new().await;
    fixture.sql(CLOCK_AHEAD).await;
    let set = |options: &mut StorageOptions| {
        let path = [("search_path", "ahead,pg_catalog,public")];
        options.connect = options.connect.clone().options(path);
    };
    let storage = replica(&fixture.database, set, |builder| builder);
    storage.create("wanted", "red").await;

    let answer = storage
        .run(&Arc::new(Take::default()), request("wanted", "me"))
        .await;

    let Ok(Answer::Taken(_, now)) = answer else {
        panic!("{answer:?}")
    };
    let ahead = jiff::Timestamp::now().duration_until(now);
    let hour = jiff::SignedDuration::from_hours(1);
    assert!(
        (ahead - hour).abs() < jiff::SignedDuration::from_mins(1),
        "I8: {ahead:?}"
    );
}
