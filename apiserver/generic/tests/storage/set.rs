//! Set mutations and followers: decisions over a whole batch, under the lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use generic_apiserver::object::Object;
use generic_apiserver::storage::mutation::{Follower, SetOutcome, VersionedWrite};
use generic_apiserver::storage::{
    Change, Freshness, ObjectWrite, ResourceVersion, SetMutation, SideRow, StorageError, Versions, WatchStart,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::fixture::*;

/// Takes notes by name: the first who asks for a note that nobody has taken gets it.
#[derive(Default)]
pub(crate) struct Take {
    decisions: AtomicUsize,
}

#[derive(Clone, Serialize)]
pub(crate) struct Request {
    note: String,
    by: String,
}

#[derive(Deserialize)]
pub(crate) struct Row {
    version: u64,
    object: String,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Taken(ResourceVersion, Timestamp),
    Held(String),
    Missing,
}

impl SetMutation for Take {
    type Input = Request;
    type Row = Row;
    type Output = Answer;

    fn name(&self) -> &'static str {
        "take"
    }

    fn statement(&self) -> &'static str {
        "select json_build_object('version', n.resource_version, 'object', n.object)
         from notes n where n.name in (select r.note from json_to_recordset($1::json) as r(note text))"
    }

    fn decide(
        &self,
        inputs: &[Request],
        rows: Vec<Row>,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<Answer>, StorageError> {
        self.decisions.fetch_add(1, Ordering::Relaxed);
        let mut holders = HashMap::new();
        let mut found = HashMap::new();
        for row in rows {
            let stored = notes().stored(ResourceVersion::new(row.version), row.object)?;
            let object = parse(&stored);
            let holder = object.body["spec"]["by"].as_str().map(str::to_owned);
            holders.insert(stored.key.name.clone(), holder);
            found.insert(stored.key.name.clone(), (stored, object));
        }
        let mut outcome = SetOutcome {
            objects: Vec::new(),
            rows: Vec::new(),
            new_rows: Vec::new(),
            outputs: Vec::new(),
        };
        for request in inputs {
            let answer = match holders.get(&request.note) {
                None => Answer::Missing,
                Some(Some(holder)) => Answer::Held(holder.clone()),
                Some(None) => {
                    let (old, mut object) = found.remove(&request.note).unwrap();
                    let version = versions.draw();
                    // The version is part of the object, as a fence is.
                    object
                        .body
                        .insert("spec".into(), json!({"by": request.by, "fence": version.get()}));
                    let write = ObjectWrite::Replace {
                        resource: NOTES,
                        old,
                        object,
                    };
                    outcome.objects.push(VersionedWrite { version, write });
                    outcome.rows.push(tag(&request.note, &request.by));
                    holders.insert(request.note.clone(), Some(request.by.clone()));
                    Answer::Taken(version, now)
                }
            };
            outcome.outputs.push(answer);
        }
        if inputs.iter().any(|request| request.by == "panic") {
            panic!("asked to");
        }
        Ok(outcome)
    }
}

pub(crate) fn tag(note: &str, tag: &str) -> SideRow {
    SideRow {
        statement: "insert into tags select r.note, r.tag from json_to_recordset($1::json) as r(note text, tag text)",
        row: json!({"note": note, "tag": tag}),
    }
}

pub(crate) fn request(note: &str, by: &str) -> Request {
    Request {
        note: note.to_owned(),
        by: by.to_owned(),
    }
}

fn spec(object: &Object) -> &serde_json::Value {
    &object.body["spec"]
}

#[tokio::test]
async fn concurrent_inputs_are_decided_together_and_the_first_wins() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    for i in 0..4 {
        storage
            .update(creation(&format!("n{i}"), json!({})))
            .await
            .unwrap();
    }
    let take = Arc::new(Take::default());

    let requests = (0..40).map(|i| storage.run(&take, request(&format!("n{}", i % 4), &format!("by{i}"))));
    let answers = join_all(requests).await;

    for (i, answer) in answers.into_iter().enumerate() {
        match answer.unwrap() {
            Answer::Taken(version, _) => {
                let note = storage
                    .get(NOTES, &key(&format!("n{}", i % 4)), Freshness::Latest)
                    .await
                    .unwrap();
                assert_eq!(note.version, version);
                assert_eq!(
                    spec(&parse(&note)),
                    &json!({"by": format!("by{i}"), "fence": version.get()})
                );
                assert!(i < 4, "{i} came after another");
            }
            Answer::Held(holder) => assert_eq!(holder, format!("by{}", i % 4)),
            Answer::Missing => panic!("{i} found nothing"),
        }
    }
    let decisions = take.decisions.load(Ordering::Relaxed);
    assert!(decisions < 10, "{decisions} decisions for 40 inputs");
    assert_eq!(fixture.count("select count(*) from tags").await, 4);
}

#[tokio::test]
async fn a_set_mutation_sees_the_updates_of_its_batch_and_the_databases_clock() {
    let fixture = Fixture::new().await;
    let take = Arc::new(Take::default());

    let create = fixture.storage.update(creation("a", json!({})));
    let (created, answer) = tokio::join!(create, fixture.storage.run(&take, request("a", "me")));

    let Ok(Answer::Taken(version, now)) = answer else {
        panic!("{answer:?}")
    };
    assert!(created.unwrap().version < version);
    assert!(now.duration_until(Timestamp::now()).abs() < jiff::SignedDuration::from_secs(60));
}

#[tokio::test]
async fn an_input_at_fault_does_not_take_the_others_down() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    for i in 0..10 {
        storage
            .update(creation(&format!("n{i}"), json!({})))
            .await
            .unwrap();
    }
    let take = Arc::new(Take::default());
    let by = |i| match i {
        3 => "panic".to_owned(),
        6 => "a tag that is much too long".to_owned(),
        i => format!("by{i}"),
    };
    let requests = (0..10).map(|i| storage.run(&take, request(&format!("n{i}"), &by(i))));
    let writes = (0..10).map(|i| storage.update(creation(&format!("m{i}"), json!({}))));

    let (answers, written) = tokio::join!(join_all(requests), join_all(writes));

    assert!(written.iter().all(Result::is_ok));
    for (i, answer) in answers.iter().enumerate() {
        match i {
            3 => assert!(matches!(answer, Err(StorageError::Database(_))), "{answer:?}"),
            6 => assert!(matches!(answer, Err(StorageError::Constraint(name)) if name == "tags_tag_short")),
            _ => assert!(matches!(answer, Ok(Answer::Taken(..))), "{i}: {answer:?}"),
        }
    }
    assert_eq!(fixture.count("select count(*) from tags").await, 8);
}

/// Draws a version and writes with another.
struct Forger;

impl SetMutation for Forger {
    type Input = u64;
    type Row = u64;
    type Output = ();

    fn name(&self) -> &'static str {
        "forger"
    }

    fn statement(&self) -> &'static str {
        "select t::text from json_array_elements_text($1::json) t"
    }

    fn decide(
        &self,
        _: &[u64],
        rows: Vec<u64>,
        versions: &mut Versions,
        _: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        versions.draw();
        let write = ObjectWrite::Create {
            resource: NOTES,
            object: object(&key("forged"), json!({})),
        };
        let objects = vec![VersionedWrite {
            version: ResourceVersion::new(rows[0]),
            write,
        }];
        Ok(SetOutcome {
            objects,
            rows: Vec::new(),
            new_rows: Vec::new(),
            outputs: vec![()],
        })
    }
}

#[tokio::test]
async fn a_version_that_was_not_drawn_is_refused() {
    let fixture = Fixture::new().await;
    let now = fixture.storage.current_version().await.unwrap();
    for forged in [now.get(), now.get() + 2] {
        let refused = fixture.storage.run(&Arc::new(Forger), forged).await;
        assert!(matches!(refused, Err(StorageError::Database(_))), "{refused:?}");
    }
    assert!(
        fixture
            .storage
            .run(&Arc::new(Forger), now.get() + 1)
            .await
            .is_ok()
    );
}

/// Writes an entry for every note that is painted black.
struct Mourner;

impl SetMutation for Mourner {
    type Input = String;
    type Row = String;
    type Output = ();

    fn name(&self) -> &'static str {
        "mourner"
    }

    fn statement(&self) -> &'static str {
        "select to_json(t) from json_array_elements_text($1::json) t"
    }

    fn decide(
        &self,
        _: &[String],
        rows: Vec<String>,
        versions: &mut Versions,
        _: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        let write = |name: &String| ObjectWrite::Create {
            resource: ENTRIES,
            object: object(&key(name), json!({})),
        };
        let objects = rows
            .iter()
            .map(|name| VersionedWrite {
                version: versions.draw(),
                write: write(name),
            })
            .collect();
        Ok(SetOutcome {
            objects,
            rows: Vec::new(),
            new_rows: Vec::new(),
            outputs: Vec::new(),
        })
    }
}

impl Follower for Mourner {
    fn inputs(&self, changes: &[Change]) -> Vec<String> {
        let black = |change: &&Change| {
            let new = change.new.as_ref();
            change.resource == NOTES
                && new.is_some_and(|new| new.fields.get("spec.color").is_some_and(|c| c == "black"))
        };
        changes
            .iter()
            .filter(black)
            .filter_map(|change| Some(change.new.as_ref()?.key.name.clone()))
            .collect()
    }
}

#[tokio::test]
async fn a_follower_writes_in_the_same_transaction() {
    let fixture = Fixture::new().await;
    let storage = replica(
        &fixture.database,
        |_| {},
        |builder| builder.follower(Arc::new(Mourner)),
    );
    storage.create("a", "red").await;
    let black = storage.create("b", "black").await;
    storage.create("c", "red").await;

    let entry = storage.get(ENTRIES, &key("b"), Freshness::Latest).await.unwrap();
    assert_eq!(entry.version.get(), black.version.get() + 1);
    assert_eq!(fixture.count("select count(*) from entries").await, 1);
    let together = "select count(distinct xmin::text) from apiserver.watch_events where name = 'b'";
    assert_eq!(fixture.count(together).await, 1);

    // What the follower cannot write, the update it follows does not write either.
    storage.delete(&black).await;
    let refused = storage.update(creation("b", json!({"color": "black"}))).await;
    assert!(matches!(refused, Err(StorageError::Constraint(_))), "{refused:?}");
    assert_eq!(
        fixture.count("select count(*) from notes where name = 'b'").await,
        0
    );
}

#[tokio::test]
async fn what_a_set_mutation_writes_is_watched_in_order() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    for i in 0..5 {
        storage
            .update(creation(&format!("n{i}"), json!({})))
            .await
            .unwrap();
    }
    let start = storage.current_version().await.unwrap();
    let mut watch = storage.watch_from(WatchStart::After(start)).await;
    let take = Arc::new(Take::default());

    join_all((0..5).map(|i| storage.run(&take, request(&format!("n{i}"), "me")))).await;

    let expected: Vec<_> = (0..5).map(|i| format!("~n{i}@{}", start.get() + 1 + i)).collect();
    assert_eq!(super::fixture::take(&mut watch, 5).await, expected);
}
