//! Several replicas on one database: the invariants, checked on recorded histories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use generic_apiserver::storage::{
    Freshness, Key, ListOptions, ListVersion, ResourceVersion, Storage, StorageError, WatchEvent,
    WatchEventType, WatchOptions, WatchStart,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::fixture::*;
use crate::set::{Answer, Take, request};

/// Objects by key, each with its encoded state.
type State = BTreeMap<Key, bytes::Bytes>;

/// What one client has seen: a list, and the changes after it.
struct History {
    start: ResourceVersion,
    listed: State,
    events: Vec<(WatchEventType, Arc<generic_apiserver::storage::Stored>)>,
}

impl History {
    /// Lists and watches until `end` is reached; reconnects at random, to the next replica each time.
    async fn record(
        replicas: Vec<Storage>,
        end: tokio::sync::watch::Receiver<Option<ResourceVersion>>,
        seed: u64,
    ) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let page = replicas[0].list(NOTES, &everything()).await.unwrap();
        let listed = page
            .items
            .iter()
            .map(|object| (object.key.clone(), object.encoded.clone()))
            .collect();
        let mut history = Self {
            start: page.version,
            listed,
            events: Vec::new(),
        };
        let mut seen = page.version;
        for replica in replicas.iter().cycle().skip(usize::try_from(seed).unwrap()) {
            let mut watch = replica.watch_from(WatchStart::After(seen)).await;
            let until_reconnect = random.random_range(1..80);
            for _ in 0..until_reconnect {
                let end = *end.borrow();
                if end.is_some_and(|end| end <= seen) {
                    return history;
                }
                if end.is_some() || random.random_range(0..10) == 0 {
                    watch.bookmark_now();
                }
                // Woken now and then to see whether the end is known.
                let Ok(event) = tokio::time::timeout(Duration::from_millis(200), watch.next()).await else {
                    continue;
                };
                match event.expect("nobody closes this").expect("nothing expires") {
                    WatchEvent::Object(kind, object) => {
                        assert!(object.version > seen, "I4: {} after {seen}", object.version);
                        seen = object.version;
                        history.events.push((kind, object));
                    }
                    WatchEvent::Bookmark { version, .. } => {
                        assert!(version >= seen, "I4: bookmark {version} after {seen}");
                        seen = version;
                    }
                }
            }
        }
        unreachable!("replicas are cycled for ever")
    }

    /// The state after all events up to a version.
    fn replayed(&self, until: ResourceVersion) -> State {
        let mut state = self.listed.clone();
        for (kind, object) in self.events.iter().filter(|(_, object)| object.version <= until) {
            let known = state.contains_key(&object.key);
            match kind {
                WatchEventType::Added => {
                    assert!(!known, "I3: {} was there", object.key);
                    state.insert(object.key.clone(), object.encoded.clone());
                }
                WatchEventType::Modified => {
                    assert!(known, "I3: {} was not there", object.key);
                    state.insert(object.key.clone(), object.encoded.clone());
                }
                WatchEventType::Deleted => {
                    assert!(
                        state.remove(&object.key).is_some(),
                        "I3: {} was not there",
                        object.key
                    );
                }
            }
        }
        state
    }
}

/// How much the model test does, for longer runs than the suite's: operations of each writer.
fn operations() -> usize {
    let asked = std::env::var("STORAGE_MODEL_OPERATIONS").ok();
    asked.map_or(100, |asked| asked.parse().expect("a number of operations"))
}

/// Takes a note by a set mutation; its version, if it was free.
async fn take_note(
    replica: &Storage,
    take: &Arc<Take>,
    name: &str,
    by: u64,
) -> Result<Option<ResourceVersion>, StorageError> {
    let answer = replica.run(take, request(name, &by.to_string())).await?;
    Ok(match answer {
        Answer::Taken(version, _) => Some(version),
        Answer::Held(_) | Answer::Missing => None,
    })
}

/// Writes at random, single objects and sets; the versions of what was acknowledged.
async fn write(replica: Storage, seed: u64, operations: usize) -> Vec<ResourceVersion> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut acknowledged = Vec::new();
    let take = Arc::new(Take::default());
    for _ in 0..operations {
        let name = format!("n{}", random.random_range(0..30));
        if random.random_range(0..6) == 0 {
            acknowledged.extend(take_note(&replica, &take, &name, seed).await.unwrap());
            continue;
        }
        let freshness = if random.random_range(0..2) == 0 {
            Freshness::Any
        } else {
            Freshness::Latest
        };
        let update = match replica.get(NOTES, &key(&name), freshness).await {
            Ok(old) if random.random_range(0..3) == 0 => deletion(&old),
            Ok(old) => replacement(
                &old,
                serde_json::json!({"color": format!("c{}", random.random_range(0..5))}),
            ),
            Err(_) => creation(&name, serde_json::json!({"color": "new"})),
        };
        match replica.update(update).await {
            Ok(stored) => acknowledged.push(stored.version),
            Err(
                StorageError::Conflict { .. }
                | StorageError::AlreadyExists { .. }
                | StorageError::NotFound(_),
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_of_every_replica_sees_the_same_history() {
    let fixture = Fixture::new().await;
    let replicas: Vec<_> = (0..3)
        .map(|_| replica(&fixture.database, |_| {}, |builder| builder))
        .collect();
    let (end, ended) = tokio::sync::watch::channel(None);

    let clients: Vec<_> = (0..12)
        .map(|seed| tokio::spawn(History::record(replicas.clone(), ended.clone(), seed)))
        .collect();
    let writers =
        (0..12).map(|seed| tokio::spawn(write(replicas[seed % 3].clone(), seed as u64, operations())));
    let acknowledged: Vec<_> = join_all(writers)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    let last = replicas[0].current_version().await.unwrap();
    end.send_replace(Some(last));
    let histories: Vec<_> = join_all(clients).await.into_iter().map(Result::unwrap).collect();

    // I1, I2: versions are unique, and each acknowledged write has its one event.
    let mut versions = acknowledged.clone();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), acknowledged.len());
    let events = fixture
        .count("select count(*) from apiserver.watch_events where resource like 'notes%'")
        .await;
    assert_eq!(events, i64::try_from(acknowledged.len()).unwrap());
    // I3: list and events add up to the state at the end, and to every state on the way.
    let checks: Vec<_> = versions.iter().step_by(97).copied().chain([last]).collect();
    for version in checks {
        let exact = ListOptions {
            version: ListVersion::Exact(version),
            ..everything()
        };
        let page = replicas[1].list(NOTES, &exact).await.unwrap();
        let state: State = page
            .items
            .iter()
            .map(|object| (object.key.clone(), object.encoded.clone()))
            .collect();
        for history in histories.iter().filter(|history| history.start <= version) {
            assert_eq!(
                history.replayed(version),
                state,
                "I3 at {version} from {}",
                history.start
            );
        }
    }
    // Every event came, once.
    for history in &histories {
        let expected: Vec<_> = versions
            .iter()
            .copied()
            .filter(|version| *version > history.start)
            .collect();
        let seen: Vec<_> = history.events.iter().map(|(_, object)| object.version).collect();
        assert_eq!(seen, expected, "I3, I4: nothing is missing");
    }
}

/// The guard of the test above: two writers that do not share the lock draw the same versions, and the
/// log refuses the second rather than let it slip in below what was delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_common_lock_writers_collide() {
    let fixture = Fixture::new().await;
    let other = replica(
        &fixture.database,
        |options| options.lock_key += 1,
        |builder| builder,
    );
    let slow = "create function slow() returns trigger language plpgsql as
                $$ begin perform pg_sleep(0.05); return new; end $$;
                create trigger slow before insert on notes for each row execute function slow()";
    fixture.sql(slow).await;
    let write = |storage: Storage, prefix: &'static str| async move {
        let mut collisions = 0;
        for i in 0..20 {
            match storage
                .update(creation(&format!("{prefix}{i}"), serde_json::json!({})))
                .await
            {
                Ok(_) => {}
                Err(StorageError::Constraint(name)) if name == "watch_events_pkey" => collisions += 1,
                Err(error) => panic!("{error}"),
            }
        }
        collisions
    };
    let (first, second) = tokio::join!(write(fixture.storage.clone(), "a"), write(other, "b"));
    assert!(first + second > 0, "the lock is not what keeps versions apart");
}

#[tokio::test]
async fn a_change_reaches_another_replica_by_nudge_and_without_it_by_polling() {
    let fixture = Fixture::new().await;
    // Polling too rare to help, then nudges that go nowhere.
    let nudged = replica(
        &fixture.database,
        |options| options.poll_interval = SOON * 10,
        |builder| builder,
    );
    let mut watch = nudged.watch_from(WatchStart::Now(Freshness::Latest)).await;
    // The listener's first wake-up comes when it listens.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let a = fixture.storage.create("a", "red").await;
    assert_eq!(take(&mut watch, 1).await, [format!("+a@{}", a.version)]);

    let polling = replica(
        &fixture.database,
        |options| options.poll_interval = Duration::from_millis(50),
        |b| b,
    );
    let mut watch = polling.watch_from(WatchStart::After(a.version)).await;
    fixture
        .sql(
            "begin;
             insert into apiserver.watch_events (rv, resource, type, namespace, name, uid, object)
             select rv + 1, resource, 'MODIFIED', namespace, name, uid,
                 replace(object, '\"resourceVersion\":\"' || rv, '\"resourceVersion\":\"' || rv + 1)
             from apiserver.watch_events order by rv desc limit 1;
             commit",
        )
        .await;
    assert_eq!(take(&mut watch, 1).await, [format!("~a@{}", a.version.get() + 1)]);
}

#[tokio::test]
async fn initial_events_and_lists_agree_at_every_moment() {
    let fixture = Fixture::new().await;
    let writer = tokio::spawn(write(fixture.storage.clone(), 7, 200));
    while !writer.is_finished() {
        let options = WatchOptions {
            bookmarks: true,
            ..watching(WatchStart::InitialEvents(Freshness::Latest))
        };
        let mut watch = fixture.storage.watch(NOTES, options).await.unwrap();
        let mut state = State::new();
        let version = loop {
            match next(&mut watch).await.unwrap().unwrap() {
                WatchEvent::Object(WatchEventType::Added, object) => {
                    state.insert(object.key.clone(), object.encoded.clone());
                }
                WatchEvent::Bookmark {
                    version,
                    initial_events_end: true,
                } => break version,
                event => panic!("{event:?} among initial events"),
            }
        };
        let exact = ListOptions {
            version: ListVersion::Exact(version),
            ..everything()
        };
        let page = fixture.storage.list(NOTES, &exact).await.unwrap();
        let listed: State = page
            .items
            .iter()
            .map(|object| (object.key.clone(), object.encoded.clone()))
            .collect();
        assert_eq!(state, listed, "C-276 at {version}");
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_watch_resumes_on_a_replica_that_has_only_just_started() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let old = storage.create("old", "blue").await;
    let a = storage.create("a", "red").await;
    let a2 = storage.paint(&a, "blue").await;
    let a3 = storage.paint(&a2, "red").await;

    let fresh = replica(&fixture.database, |_| {}, |builder| builder);

    let mut all = fresh.watch_from(WatchStart::After(old.version)).await;
    let expected = [
        format!("+a@{}", a.version),
        format!("~a@{}", a2.version),
        format!("~a@{}", a3.version),
    ];
    assert_eq!(take(&mut all, 3).await, expected);
    let blue = WatchOptions {
        selection: colored("blue"),
        ..watching(WatchStart::After(old.version))
    };
    let mut blue = fresh.watch(NOTES, blue).await.unwrap();
    assert_eq!(
        take(&mut blue, 2).await,
        [format!("+a@{}", a2.version), format!("-a@{}", a3.version)]
    );
    let exact = ListOptions {
        version: ListVersion::Exact(a2.version),
        ..everything()
    };
    let page = fresh.list(NOTES, &exact).await.unwrap();
    assert_eq!(
        (names(&page), &page.items[0].encoded),
        (vec!["a", "old"], &a2.encoded)
    );
}

#[tokio::test]
async fn what_an_object_was_before_the_log_is_not_guessed() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let a = storage.create("a", "blue").await;
    let floor = storage.create("b", "blue").await;
    fixture
        .sql("update apiserver.rv_meta set floor_rv = 3; delete from apiserver.watch_events where rv <= 3")
        .await;
    assert_eq!(floor.version, version(3));
    let a2 = storage.paint(&a, "red").await;
    let c = storage.create("c", "blue").await;

    let fresh = replica(&fixture.database, |_| {}, |builder| builder);

    // Whoever sees every object needs no previous state.
    let mut all = fresh.watch_from(WatchStart::After(floor.version)).await;
    assert_eq!(
        take(&mut all, 2).await,
        [format!("~a@{}", a2.version), format!("+c@{}", c.version)]
    );
    let blue = |start| WatchOptions {
        selection: colored("blue"),
        ..watching(WatchStart::After(start))
    };
    let expired = fresh.watch(NOTES, blue(floor.version)).await;
    assert!(
        matches!(expired, Err(StorageError::Expired { oldest, .. }) if oldest == a2.version),
        "{expired:?}"
    );
    let mut blue = fresh.watch(NOTES, blue(a2.version)).await.unwrap();
    assert_eq!(take(&mut blue, 1).await, [format!("+c@{}", c.version)]);
}
