//! What is asked and written with new rows, and what is believed of keys until the database refuses it.

use std::sync::Arc;

use futures::future::join_all;
use generic_apiserver::object::Object;
use generic_apiserver::storage::mutation::{Follower, Forerunner, NewRow, SetOutcome};
use generic_apiserver::storage::{
    Change, GroupResource, ObjectWrite, SetMutation, StorageBuilder, StorageError, Versions,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, json};
use sqlx::Executor;

use crate::fixture::{Fixture, NOTES, Notes, alone, creation, key, object, replacement, replica};
use crate::set::{Answer, Take, request, tag};

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
        let place = |name: &String| NewRow {
            resource: NOTES,
            key: key(name),
            columns: Map::from_iter([("place".to_owned(), json!(rows[0]))]),
            spared: if name.starts_with("quiet") {
                &["herald"]
            } else {
                &[]
            },
            warnings: vec![format!("{name} is placed")],
        };
        Ok(SetOutcome {
            objects: Vec::new(),
            rows: inputs.iter().map(|name| tag(name, "placed")).collect(),
            new_rows: inputs.iter().map(place).collect(),
            outputs: Vec::new(),
        })
    }
}

impl Forerunner for Usher {
    fn input(&self, _: GroupResource, object: &Object) -> Option<String> {
        object.metadata.name.clone()
    }
}

#[tokio::test]
async fn a_forerunner_gives_new_rows_their_columns() {
    let fixture = Fixture::new().await;
    let storage = replica(
        &fixture.database,
        |_| {},
        |builder| builder.forerunner(Arc::new(Usher)),
    );
    storage.create("a", "red").await;
    let second = storage.create("b", "red").await;
    let placed = "select count(*) from notes where (name, place) in (('a', '0'), ('b', '1'))";
    assert_eq!(fixture.count(placed).await, 2);

    // The object does not own the column: a later state leaves it alone.
    storage.paint(&second, "black").await;
    assert_eq!(fixture.count(placed).await, 2);
}

/// Tags each new note that it is told of.
struct Herald;

impl SetMutation for Herald {
    type Input = String;
    type Row = String;
    type Output = ();

    fn name(&self) -> &'static str {
        "herald"
    }

    fn statement(&self) -> &'static str {
        "select name from json_array_elements_text($1::json) as name"
    }

    fn decide(
        &self,
        _: &[String],
        rows: Vec<String>,
        _: &mut Versions,
        _: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        Ok(SetOutcome {
            objects: Vec::new(),
            rows: rows.iter().map(|name| tag(name, "heralded")).collect(),
            new_rows: Vec::new(),
            outputs: Vec::new(),
        })
    }
}

impl Follower for Herald {
    fn inputs(&self, changes: &[Change]) -> Vec<String> {
        let new = changes.iter().filter(|change| change.old.is_none());
        // The rows are texts of JSON.
        new.filter_map(|change| Some(format!("{:?}", change.new.as_ref()?.key.name)))
            .collect()
    }
}

fn attended(builder: StorageBuilder) -> StorageBuilder {
    builder.forerunner(Arc::new(Usher)).follower(Arc::new(Herald))
}

#[tokio::test]
async fn a_forerunner_says_whom_a_new_row_does_not_concern_and_what_its_creator_is_told() {
    let fixture = Fixture::new().await;
    // A backslash would hide the end of a literal.
    let odd = "do $$ begin execute format('alter database %I set standard_conforming_strings = off', current_database()); end $$";
    fixture.storage.pool().execute(odd).await.unwrap();
    let storage = replica(&fixture.database, |_| {}, attended);

    let names = ["loud", "quiet", "it's \\ loud"];
    let created = join_all(names.map(|name| storage.create_object(creation(name, json!({}))))).await;

    for (name, created) in names.iter().zip(created) {
        assert_eq!(created.unwrap().1, [format!("{name} is placed")]);
    }
    let heralded =
        "select count(*) from tags join notes on name = note where tag = 'heralded' and name like '%loud'";
    assert_eq!(fixture.count(heralded).await, 2);
    assert_eq!(
        fixture
            .count("select count(*) from tags where tag = 'heralded'")
            .await,
        2
    );
    assert_eq!(
        fixture
            .count("select count(*) from tags where tag = 'placed'")
            .await,
        3
    );
}

#[tokio::test]
async fn nobody_is_spared_what_set_mutations_may_have_changed() {
    let fixture = Fixture::new().await;
    let storage = replica(&fixture.database, |_| {}, attended);
    let take = Arc::new(Take::default());

    let create = storage.create("quiet", "red");
    let (_, answer) = tokio::join!(create, storage.run(&take, request("quiet", "me")));

    assert!(
        matches!(answer, Ok(Answer::Taken(..))),
        "not in one batch: {answer:?}"
    );
    assert_eq!(
        fixture
            .count("select count(*) from tags where tag = 'heralded'")
            .await,
        1
    );
}

#[tokio::test]
async fn what_a_creator_would_be_told_is_foretold() {
    let fixture = Fixture::new().await;
    let storage = replica(&fixture.database, |_| {}, attended);
    let told = storage
        .foretell(NOTES, &object(&key("a"), json!({})))
        .await
        .unwrap();
    assert_eq!(told, ["a is placed"]);
    assert_eq!(fixture.count("select count(*) from tags").await, 0);
}

#[tokio::test]
async fn a_refused_create_is_not_decided_on() {
    let fixture = Fixture::new().await;
    fixture.storage.create("taken", "red").await;
    let storage = replica(
        &fixture.database,
        |_| {},
        |builder| builder.forerunner(Arc::new(Usher)),
    );

    let names = ["a", "taken", "b"];
    let created = join_all(names.map(|name| storage.create_object(creation(name, json!({}))))).await;

    let warnings: Vec<_> = created
        .into_iter()
        .map(|answer| answer.ok().map(|(_, told)| told))
        .collect();
    let told = |name: &str| Some(vec![format!("{name} is placed")]);
    assert_eq!(warnings, [told("a"), None, told("b")]);
    assert_eq!(fixture.count("select count(*) from tags").await, 2);
}

#[tokio::test]
async fn companions_come_with_their_row_or_not_at_all() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let tagged = |name: &str, tag: &str| {
        let mut update = creation(name, json!({}));
        update.further.columns = Map::from_iter([("tag".to_owned(), json!(tag))]);
        storage.update(update)
    };

    let (fine, faulty) = tokio::join!(tagged("a", "fine"), tagged("b", "a tag that is much too long"));

    fine.unwrap();
    assert!(matches!(faulty, Err(StorageError::Constraint(name)) if name == "tags_tag_short"));
    assert_eq!(
        fixture
            .count("select count(*) from tags where (note, tag) = ('a', 'fine')")
            .await,
        1
    );
    assert_eq!(fixture.count("select count(*) from notes").await, 1);
    assert_eq!(
        fixture.count("select count(*) from apiserver.watch_events").await,
        1
    );
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
