//! Followers that run before the rows of a batch, and what is believed of keys until the database refuses it.

use std::sync::Arc;

use futures::future::join_all;
use generic_apiserver::storage::mutation::{Follower, RowColumns, SetOutcome};
use generic_apiserver::storage::{Change, ObjectWrite, SetMutation, StorageError, Versions};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, json};

use crate::fixture::{Fixture, NOTES, Notes, alone, creation, key, object, replacement, replica};

/// Gives each new note a place: how many notes there were before the batch.
struct Usher;

impl SetMutation for Usher {
    type Input = String;
    type Row = i64;
    type Output = ();

    fn name(&self) -> &'static str {
        "usher"
    }

    fn statement(&self) -> &'static str {
        "select count(*)::text from notes where $1::json is not null"
    }

    fn decide(
        &self,
        inputs: &[String],
        rows: Vec<i64>,
        _: &mut Versions,
        _: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        let place = |name: &String| RowColumns {
            resource: NOTES,
            key: key(name),
            columns: Map::from_iter([("place".to_owned(), json!(rows[0]))]),
        };
        Ok(SetOutcome {
            objects: Vec::new(),
            rows: Vec::new(),
            columns: inputs.iter().map(place).collect(),
            outputs: Vec::new(),
        })
    }
}

impl Follower for Usher {
    fn inputs(&self, changes: &[Change]) -> Vec<String> {
        let new = changes.iter().filter(|change| change.old.is_none());
        new.filter_map(|change| Some(change.new.as_ref()?.key.name.clone()))
            .collect()
    }

    fn precedes(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_preceding_follower_gives_new_rows_their_columns() {
    let fixture = Fixture::new().await;
    let storage = replica(
        &fixture.database,
        |_| {},
        |builder| builder.follower(Arc::new(Usher)),
    );
    storage.create("a", "red").await;
    let second = storage.create("b", "red").await;
    let placed = "select count(*) from notes where (name, place) in (('a', '0'), ('b', '1'))";
    assert_eq!(fixture.count(placed).await, 2);

    // The object does not own the column: a later state leaves it alone.
    storage.paint(&second, "black").await;
    assert_eq!(fixture.count(placed).await, 2);
}

#[tokio::test]
async fn a_taken_key_fails_its_own_create_alone() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    storage.create("taken", "red").await;
    let names = ["x", "taken", "y", "taken", "z"];
    let answers = join_all(names.map(|name| storage.update(creation(name, json!({}))))).await;
    for (name, answer) in names.iter().zip(answers) {
        match (*name, answer) {
            ("taken", Err(StorageError::AlreadyExists { key: taken, .. })) => assert_eq!(taken, key("taken")),
            ("taken", other) => panic!("{other:?}"),
            (_, created) => assert_eq!(created.unwrap().key, key(name)),
        }
    }
    assert_eq!(fixture.count("select count(*) from notes").await, 4);
    assert_eq!(
        fixture.count("select count(*) from apiserver.watch_events").await,
        4
    );
}

#[tokio::test]
async fn a_create_that_meets_another_change_of_its_key_is_told_that_the_object_is_going() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let mut going = object(&key("k"), json!({}));
    going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    going.metadata.finalizers = Some(vec!["wait".to_owned()]);
    let write = ObjectWrite::Create {
        resource: NOTES,
        object: going,
    };
    let old = storage.update(alone(write)).await.unwrap();
    storage
        .update(replacement(&old, json!({"shelf": 1})))
        .await
        .unwrap();

    let stale = storage.update(replacement(&old, json!({"shelf": 2})));
    let (stale, created) = tokio::join!(stale, storage.update(creation("k", json!({}))));
    assert!(matches!(stale, Err(StorageError::Conflict { .. })), "{stale:?}");
    let going = matches!(
        created,
        Err(StorageError::AlreadyExists {
            terminating: true,
            ..
        })
    );
    assert!(going, "{created:?}");
}
