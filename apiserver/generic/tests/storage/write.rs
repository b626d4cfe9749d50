//! The writer: results of single operations, of batches, and of operations that fail among others.

use std::collections::HashSet;

use futures::future::join_all;
use generic_apiserver::storage::{Freshness, ObjectWrite, SideRow, StorageError, Update};
use serde_json::json;

use crate::fixture::*;

#[tokio::test]
async fn an_object_lives_through_create_replace_and_delete() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;

    let created = storage.create("a", "red").await;
    let replaced = storage.paint(&created, "blue").await;
    assert!(created.version < replaced.version);
    let read = storage.get(NOTES, &key("a"), Freshness::Latest).await.unwrap();
    assert_eq!(read.encoded, replaced.encoded);
    assert_eq!(
        read.metadata.resource_version.as_deref(),
        Some(replaced.version.to_string().as_str())
    );
    let deleted = storage.delete(&replaced).await;

    assert!(deleted.version > replaced.version);
    assert_eq!(
        deleted.metadata.resource_version,
        Some(deleted.version.to_string())
    );
    let gone = storage.get(NOTES, &key("a"), Freshness::Latest).await;
    assert!(matches!(gone, Err(StorageError::NotFound(_))), "{gone:?}");
    assert_eq!(fixture.count("select count(*) from notes").await, 0);
}

#[tokio::test]
async fn the_resources_own_columns_follow_the_object() {
    let fixture = Fixture::new().await;
    let created = fixture.storage.create("a", "red").await;
    assert_eq!(
        fixture
            .count("select count(*) from notes where color = 'red'")
            .await,
        1
    );
    fixture.storage.paint(&created, "blue").await;
    assert_eq!(
        fixture
            .count("select count(*) from notes where color = 'blue'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_taken_key_a_changed_and_a_missing_object_are_told_apart() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let first = storage.create("a", "red").await;
    let second = storage.paint(&first, "blue").await;

    let taken = storage.update(creation("a", json!({}))).await;
    let changed = storage.update(replacement(&first, json!({}))).await;
    let deleted = storage.update(deletion(&first)).await;
    assert!(
        matches!(
            taken,
            Err(StorageError::AlreadyExists {
                terminating: false,
                ..
            })
        ),
        "{taken:?}"
    );
    assert!(matches!(changed, Err(StorageError::Conflict { expected, .. }) if expected == first.version));
    assert!(
        matches!(deleted, Err(StorageError::Conflict { .. })),
        "{deleted:?}"
    );

    storage.delete(&second).await;
    let missing = storage.update(replacement(&second, json!({}))).await;
    assert!(matches!(missing, Err(StorageError::NotFound(_))), "{missing:?}");
    // Another object of the same name is not the one that was read.
    storage.create("a", "red").await;
    let other = storage.update(replacement(&second, json!({}))).await;
    assert!(matches!(other, Err(StorageError::Conflict { .. })), "{other:?}");
}

#[tokio::test]
async fn a_key_held_by_an_object_that_is_going_says_so() {
    let fixture = Fixture::new().await;
    let mut going = object(&key("a"), json!({}));
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2024-01-01T00:00:00Z")).unwrap();
    fixture
        .storage
        .update(alone(ObjectWrite::Create {
            resource: NOTES,
            object: going,
        }))
        .await
        .unwrap();

    let taken = fixture.storage.update(creation("a", json!({}))).await;

    assert!(
        matches!(
            taken,
            Err(StorageError::AlreadyExists {
                terminating: true,
                ..
            })
        ),
        "{taken:?}"
    );
}

#[tokio::test]
async fn concurrent_writes_share_transactions_and_each_has_its_version() {
    let fixture = Fixture::new().await;
    fixture.storage.create("warm", "red").await;
    let before = fixture
        .count("select count(distinct xmin::text) from apiserver.watch_events")
        .await;

    let created = join_all((0..200).map(|i| {
        let storage = fixture.storage.clone();
        async move { storage.create(&format!("n{i}"), "red").await }
    }))
    .await;

    let versions: HashSet<_> = created.iter().map(|object| object.version).collect();
    assert_eq!(versions.len(), 200);
    let transactions = fixture
        .count("select count(distinct xmin::text) from apiserver.watch_events")
        .await
        - before;
    assert!(
        (4..100).contains(&transactions),
        "{transactions} transactions for 200 writes"
    );
}

#[tokio::test]
async fn one_of_many_writers_of_one_version_wins() {
    let fixture = Fixture::new().await;
    let old = fixture.storage.create("a", "red").await;

    let results = join_all((0..50).map(|i| {
        let update = replacement(&old, json!({"color": format!("c{i}")}));
        let storage = fixture.storage.clone();
        async move { storage.update(update).await }
    }))
    .await;

    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let lost = results
        .iter()
        .filter(|result| matches!(result, Err(StorageError::Conflict { .. })));
    assert_eq!(lost.count(), 49);
}

#[tokio::test]
async fn a_failing_update_takes_no_neighbour_down_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let tag = |tag: &str| SideRow {
        statement: "insert into tags select r.note, r.tag from json_to_recordset($1::json) as r(note text, tag text)",
        row: json!({"note": "n", "tag": tag}),
    };
    storage
        .update(creation("taken", json!({"shelf": 1})))
        .await
        .unwrap();
    let with = |name: &str, spec, rows: Vec<SideRow>| {
        let mut update = creation(name, spec);
        update.further.rows = rows;
        update
    };
    let updates: Vec<Update> = (0..30)
        .map(|i| match i {
            // Refused by the judge, by a unique constraint, and by a check on a side row.
            7 => with("taken", json!({}), vec![tag("judged")]),
            13 => with("n13", json!({"shelf": 1}), vec![tag("constrained")]),
            21 => with("n21", json!({}), vec![tag("a tag that is much too long")]),
            i => with(&format!("n{i}"), json!({}), vec![tag("fine")]),
        })
        .collect();

    let results = join_all(updates.into_iter().map(|update| storage.update(update))).await;

    for (i, result) in results.iter().enumerate() {
        match i {
            7 => assert!(
                matches!(result, Err(StorageError::AlreadyExists { .. })),
                "{result:?}"
            ),
            13 => {
                assert!(matches!(result, Err(StorageError::Constraint(name)) if name == "notes_shelf_free"));
            }
            21 => assert!(matches!(result, Err(StorageError::Constraint(name)) if name == "tags_tag_short")),
            _ => assert!(result.is_ok(), "{i}: {result:?}"),
        }
    }
    assert_eq!(fixture.count("select count(*) from notes").await, 28);
    assert_eq!(fixture.count("select count(*) from tags").await, 27);
    assert_eq!(
        fixture.count("select count(*) from apiserver.watch_events").await,
        28
    );
}

#[tokio::test]
async fn further_objects_commit_with_the_first_or_not_at_all() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let entry = |name: &str| ObjectWrite::Create {
        resource: ENTRIES,
        object: object(&key(name), json!({})),
    };
    let mut both = creation("a", json!({}));
    both.further.objects = vec![entry("e"), entry("f")];
    let mut neither = creation("b", json!({}));
    neither.further.objects = vec![entry("g"), entry("e")];

    let (both, neither) = tokio::join!(storage.update(both), storage.update(neither));

    assert!(both.is_ok(), "{both:?}");
    assert!(
        matches!(&neither, Err(StorageError::AlreadyExists { key, .. }) if key.name == "e"),
        "{neither:?}"
    );
    assert_eq!(fixture.count("select count(*) from notes").await, 1);
    assert_eq!(fixture.count("select count(*) from entries").await, 2);
    // One event for each object, in one transaction.
    assert_eq!(
        fixture.count("select count(*) from apiserver.watch_events").await,
        3
    );
    assert_eq!(
        fixture
            .count("select count(distinct xmin::text) from apiserver.watch_events")
            .await,
        1
    );
}

#[tokio::test]
async fn a_key_freed_in_a_batch_may_be_taken_in_it() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let old = storage.create("a", "red").await;

    let (deleted, created) = tokio::join!(
        storage.update(deletion(&old)),
        storage.update(creation("a", json!({})))
    );

    let (deleted, created) = (deleted.unwrap(), created.unwrap());
    assert!(deleted.version < created.version);
    assert_ne!(deleted.metadata.uid, created.metadata.uid);
    assert_eq!(fixture.count("select count(*) from notes").await, 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_abort_the_batch() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    storage.create("warm", "red").await;

    let mut abandoned = Box::pin(storage.update(creation("abandoned", json!({}))));
    let kept = storage.update(creation("kept", json!({})));
    assert!(futures::poll!(abandoned.as_mut()).is_pending());
    drop(abandoned);

    kept.await.unwrap();
    assert_eq!(fixture.count("select count(*) from notes").await, 3);
}

#[tokio::test]
async fn a_full_queue_refuses_instead_of_growing() {
    let fixture = Fixture::with(|options| options.queue_operations_max = 4).await;
    let writes = (0..50).map(|i| fixture.storage.update(creation(&format!("n{i}"), json!({}))));
    let results = join_all(writes).await;
    assert!(
        results
            .iter()
            .any(|result| matches!(result, Err(StorageError::Overloaded(_))))
    );
    let written = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(
        fixture.count("select count(*) from notes").await,
        i64::try_from(written).unwrap()
    );
}

#[tokio::test]
async fn what_was_accepted_before_shutdown_is_written() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let mut pending: Vec<_> = (0..20)
        .map(|i| Box::pin(storage.update(creation(&format!("n{i}"), json!({})))))
        .collect();
    for write in &mut pending {
        assert!(futures::poll!(write.as_mut()).is_pending());
    }

    storage.shutdown().await;

    assert!(join_all(pending).await.iter().all(Result::is_ok));
    assert_eq!(fixture.count("select count(*) from notes").await, 20);
    let late = storage.update(creation("late", json!({}))).await;
    assert!(
        matches!(late, Err(StorageError::Unreachable { ambiguous: false, .. })),
        "{late:?}"
    );
}

#[tokio::test]
async fn the_schema_goes_down_and_up_and_leaves_other_migrations_alone() {
    use sqlx::migrate::{Migration, MigrationType, Migrator};
    use sqlx::{Connection, SqlSafeStr};
    let database = test_postgres::TestPostgres::shared()
        .create_database()
        .await
        .unwrap();
    let mut connection = sqlx::PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    let others = vec![Migration::new(
        1,
        "other".into(),
        MigrationType::Simple,
        "create table other ()".into_sql_str(),
        false,
    )];
    Migrator::with_migrations(others)
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();

    let migrator = generic_apiserver::storage::migrator();
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    migrator.undo(&mut connection, 0).await.unwrap();
    let left = "select count(*) from pg_class where relnamespace = 'apiserver'::regnamespace and relkind in ('r', 'S')
                    and relname <> 'schema_migrations'";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    let others: i64 = sqlx::query_scalar("select count(*) from public._sqlx_migrations")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(others, 1);
}
