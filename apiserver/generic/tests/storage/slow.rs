//! Statements that run into their time limit while everybody waits for the lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use generic_apiserver::storage::{StorageError, Stored};
use serde_json::json;

use crate::fixture::*;

/// Long enough that a tenth of it is enough for what is sound, on however busy a machine.
const LIMIT: Duration = Duration::from_secs(5);

/// A storage whose table takes an hour for the notes of this color, and counts how often it was asked to.
async fn with_slow_notes(limit: Duration) -> Fixture {
    let fixture = Fixture::with(|options| options.statement_timeout = limit).await;
    fixture
        .sql(
            "create sequence dawdled;
             create function dawdle() returns trigger language plpgsql as
             $$ begin perform nextval('dawdled'); perform pg_sleep(3600); return new; end $$;
             create trigger dawdle before insert on notes for each row when (new.color = 'grey')
             execute function dawdle()",
        )
        .await;
    fixture.storage.create("warm", "red").await;
    fixture
}

/// Creates notes of these colors in one batch.
async fn create(fixture: &Fixture, colors: &[&str]) -> Vec<Result<Arc<Stored>, StorageError>> {
    let create = |(number, color): (usize, &&str)| {
        let update = creation(&format!("n{number}"), json!({"color": color}));
        fixture.storage.update(update)
    };
    join_all(colors.iter().enumerate().map(create)).await
}

#[tokio::test]
async fn an_operation_that_takes_too_long_takes_no_neighbour_down() {
    let fixture = with_slow_notes(LIMIT).await;
    let mut colors = ["red"; 30];
    colors[13] = "grey";

    let begun = Instant::now();
    let results = create(&fixture, &colors).await;

    let took = begun.elapsed();
    for (number, result) in results.iter().enumerate() {
        let timed_out = matches!(result, Err(StorageError::TimedOut(_)));
        assert!(timed_out == (number == 13), "{number}: {result:?}");
        assert!(timed_out || result.is_ok(), "{number}: {result:?}");
    }
    assert_eq!(fixture.count("select count(*) from notes").await, 30);
    assert_eq!(
        fixture.count("select last_value from dawdled").await,
        2,
        "once with all, once alone"
    );
    assert!(took < LIMIT * 2, "{took:?}");
}

#[tokio::test]
async fn when_everything_is_slow_trying_again_has_an_end() {
    let limit = Duration::from_secs(1);
    let fixture = with_slow_notes(limit).await;

    let begun = Instant::now();
    let results = create(&fixture, &["grey"; 60]).await;

    let took = begun.elapsed();
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(StorageError::TimedOut(_)))),
        "{results:?}"
    );
    // A tenth of the limit each, and no longer than the limit.
    assert!(fixture.count("select last_value from dawdled").await <= 1 + 10);
    assert!(took < limit * 4, "{took:?}");
    fixture.storage.create("after", "red").await;
}

#[tokio::test]
async fn an_operation_that_was_alone_is_not_tried_again() {
    let fixture = with_slow_notes(Duration::from_secs(1)).await;

    let results = create(&fixture, &["grey"]).await;

    assert!(
        matches!(results[..], [Err(StorageError::TimedOut(_))]),
        "{results:?}"
    );
    assert_eq!(fixture.count("select last_value from dawdled").await, 1);
}
