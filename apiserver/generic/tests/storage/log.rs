//! The change log and its floor, and append-only resources that live in the database only.

use std::time::Duration;

use generic_apiserver::storage::selection::{LabelOperator, LabelRequirement};
use generic_apiserver::storage::{
    Freshness, ListOptions, ListVersion, ObjectWrite, Selection, StorageError, WatchOptions, WatchStart,
    WatchStream,
};

use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use crate::fixture::*;

async fn watch_entries(fixture: &Fixture, options: WatchOptions) -> WatchStream {
    fixture.storage.watch(ENTRIES, options).await.unwrap()
}

#[tokio::test]
async fn entries_are_listed_newest_first_in_exact_pages() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    for i in 0..7 {
        storage.record(&format!("e{i}"), "red").await;
    }
    let page = |token| ListOptions {
        limit: 3,
        continue_token: token,
        ..everything()
    };

    let first = storage.list(ENTRIES, &page(None)).await.unwrap();
    storage.record("e7", "red").await;
    let second = storage
        .list(ENTRIES, &page(first.continue_token.clone()))
        .await
        .unwrap();
    let third = storage
        .list(ENTRIES, &page(second.continue_token.clone()))
        .await
        .unwrap();

    assert_eq!(names(&first), ["e6", "e5", "e4"]);
    assert_eq!(names(&second), ["e3", "e2", "e1"]);
    assert_eq!((names(&third), third.continue_token.clone()), (vec!["e0"], None));
    assert_eq!((second.version, third.version), (first.version, first.version));
    let exact = ListOptions {
        version: ListVersion::Exact(first.version),
        ..everything()
    };
    assert_eq!(storage.list(ENTRIES, &exact).await.unwrap().items.len(), 7);
    assert_eq!(storage.all().await.items.len(), 0);
    assert_eq!(storage.list(ENTRIES, &everything()).await.unwrap().items.len(), 8);
    let got = storage.get(ENTRIES, &key("e3"), Freshness::Latest).await.unwrap();
    assert_eq!(got.encoded, second.items[0].encoded);
}

#[tokio::test]
async fn entries_are_selected_by_columns_and_by_labels() {
    let fixture = Fixture::new().await;
    for i in 0..20 {
        fixture
            .storage
            .record(&format!("e{i}"), if i % 5 == 0 { "red" } else { "blue" })
            .await;
    }
    let requirement = LabelRequirement {
        key: "color".into(),
        operator: LabelOperator::In,
        values: vec!["red".into()],
    };
    let by_label = Selection {
        labels: vec![requirement],
        fields: Vec::new(),
    };
    for selection in [colored("red"), by_label] {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let options = ListOptions {
                selection: selection.clone(),
                limit: 3,
                continue_token: token,
                ..everything()
            };
            let page = fixture.storage.list(ENTRIES, &options).await.unwrap();
            found.extend(names(&page).into_iter().map(str::to_owned));
            token = page.continue_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(found, ["e15", "e10", "e5", "e0"]);
    }
}

#[tokio::test]
async fn a_field_is_compared_in_its_columns_type_and_nonsense_matches_nothing() {
    let fixture = Fixture::new().await;
    let author = "6f0e8f9e-1111-4222-8333-944455556666";
    let specs = [
        ("a", json!({"loud": true})),
        ("b", json!({"loud": false, "author": author})),
        ("c", json!({})),
    ];
    for (name, spec) in specs {
        let object = object(&key(name), spec);
        let create = ObjectWrite::Create {
            resource: ENTRIES,
            object,
        };
        fixture.storage.update(alone(create)).await.unwrap();
    }
    let cases = [
        (with_field("spec.loud", true, "true"), vec!["a"]),
        (with_field("spec.loud", false, "true"), vec!["c", "b"]),
        (with_field("spec.loud", true, ""), vec!["c"]),
        (with_field("spec.loud", true, "nonsense"), vec![]),
        (with_field("spec.author", true, author), vec!["b"]),
        (with_field("spec.author", true, "nonsense"), vec![]),
        (with_field("spec.author", false, author), vec!["c", "a"]),
        (with_field("metadata.name", true, "b"), vec!["b"]),
    ];
    for (selection, expected) in cases {
        let options = ListOptions {
            selection: selection.clone(),
            ..everything()
        };
        let page = fixture.storage.list(ENTRIES, &options).await.unwrap();
        assert_eq!(names(&page), expected, "{selection:?}");
    }
}

#[tokio::test]
async fn a_page_that_finds_little_in_many_rows_ends_with_a_token() {
    let fixture = Fixture::new().await;
    fixture.storage.record("needle", "red").await;
    fixture
        .sql(
            "insert into entries
             select namespace, 'hay' || i, gen_random_uuid(), resource_version + i,
                 replace(replace(replace(object, '\"needle\"', '\"hay' || i || '\"'), '\"red\"', '\"blue\"'),
                     '\"' || resource_version || '\"', '\"' || resource_version + i || '\"'), 'red'
             from entries, generate_series(1, 2500) i;
             insert into apiserver.watch_events
             select rv + 2500, 'other', type, namespace, name, uid, object from apiserver.watch_events;",
        )
        .await;
    let selection = Selection {
        labels: vec![LabelRequirement {
            key: "color".into(),
            operator: LabelOperator::In,
            values: vec!["red".into()],
        }],
        fields: Vec::new(),
    };

    let options = ListOptions {
        selection,
        limit: 10,
        ..everything()
    };
    let first = fixture.storage.list(ENTRIES, &options).await.unwrap();
    let rest = ListOptions {
        continue_token: first.continue_token.clone(),
        ..options
    };
    let second = fixture.storage.list(ENTRIES, &rest).await.unwrap();

    assert!(
        first.items.is_empty() && first.continue_token.is_some(),
        "{first:?}"
    );
    assert_eq!(
        (names(&second), second.continue_token.clone()),
        (vec!["needle"], None)
    );
}

#[tokio::test]
async fn entries_are_watched_from_the_table_and_on_from_the_ring() {
    let fixture = Fixture::with(|options| {
        options.ring_events_min = 2;
        options.ring_events_max = 2;
    })
    .await;
    let start = fixture.storage.current_version().await.unwrap();
    let mut expected = Vec::new();
    for i in 0..600 {
        let entry = fixture
            .storage
            .record(&format!("e{i}"), if i % 2 == 0 { "red" } else { "blue" })
            .await;
        expected.push(format!("+e{i}@{}", entry.version));
    }
    let last = fixture.storage.current_version().await.unwrap();

    let mut past = watch_entries(&fixture, watching(WatchStart::After(start))).await;
    let initial = watching(WatchStart::InitialEvents(Freshness::Latest));
    let mut initial = watch_entries(&fixture, initial).await;
    let red = WatchOptions {
        selection: colored("red"),
        ..watching(WatchStart::After(start))
    };
    let mut red = watch_entries(&fixture, red).await;
    let mut now = watch_entries(&fixture, watching(WatchStart::Now(Freshness::Latest))).await;
    assert_eq!(take(&mut past, 600).await, expected);
    assert_eq!(take(&mut initial, 600).await, expected);
    assert_eq!(take(&mut initial, 1).await, [format!("=!{last}")]);
    let even: Vec<_> = expected.iter().step_by(2).cloned().collect();
    assert_eq!(take(&mut red, 300).await, even);

    let entry = fixture.storage.record("late", "red").await;
    for watch in [&mut past, &mut initial, &mut red, &mut now] {
        assert_eq!(take(watch, 1).await, [format!("+late@{}", entry.version)]);
        watch.bookmark_now();
        assert_eq!(take(watch, 1).await, [format!("={}", entry.version)]);
    }
}

#[tokio::test]
async fn a_watch_that_reads_history_slowly_misses_nothing() {
    let fixture = Fixture::with(|options| {
        options.ring_events_min = 2;
        options.ring_events_max = 2;
    })
    .await;
    let start = fixture.storage.current_version().await.unwrap();
    for i in 0..300 {
        fixture.storage.record(&format!("e{i}"), "red").await;
    }
    let mut watch = watch_entries(&fixture, watching(WatchStart::After(start))).await;
    let mut seen = take(&mut watch, 10).await;
    // The ring moves on while the history is being read.
    for i in 300..600 {
        fixture.storage.record(&format!("e{i}"), "red").await;
    }
    seen.extend(take(&mut watch, 590).await);
    let names: Vec<_> = seen
        .iter()
        .map(|event| event.split('@').next().unwrap().to_owned())
        .collect();
    let expected: Vec<_> = (0..600).map(|i| format!("+e{i}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn retention_expires_what_it_makes_incomplete() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let first = storage.record("e0", "red").await;
    for i in 1..6 {
        storage.record(&format!("e{i}"), "red").await;
    }
    let page = ListOptions {
        limit: 2,
        ..everything()
    };
    let listed = storage.list(ENTRIES, &page).await.unwrap();
    let mut open = watch_entries(&fixture, watching(WatchStart::Now(Freshness::Latest))).await;
    let last = storage.record("e6", "red").await;
    assert_eq!(take(&mut open, 1).await, [format!("+e6@{}", last.version)]);

    storage.raise_floor(ENTRIES, last.version).await.unwrap();
    fixture.sql("delete from entries where name <> 'e6'").await;

    storage.current_version().await.unwrap();
    let ended = next(&mut open).await;
    assert!(
        matches!(ended, Some(Err(StorageError::Expired { .. }))),
        "{ended:?}"
    );
    let next_page = ListOptions {
        continue_token: listed.continue_token,
        ..page
    };
    let expired = storage.list(ENTRIES, &next_page).await;
    let Err(StorageError::Expired {
        continue_from: Some(token),
        ..
    }) = expired
    else {
        panic!("{expired:?}")
    };
    let inconsistent = ListOptions {
        continue_token: Some(token),
        ..next_page
    };
    assert!(
        storage
            .list(ENTRIES, &inconsistent)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let old = storage
        .watch(ENTRIES, watching(WatchStart::After(first.version)))
        .await;
    assert!(matches!(old, Err(StorageError::Expired { .. })), "{old:?}");
    assert_eq!(
        names(&storage.list(ENTRIES, &everything()).await.unwrap()),
        ["e6"]
    );
}

#[tokio::test]
async fn the_change_log_is_pruned_behind_its_floor() {
    let fixture = Fixture::with(|options| {
        options.log_age = Duration::ZERO;
        options.log_events_min = 10;
        options.log_prune_interval = Duration::from_millis(50);
    })
    .await;
    let storage = &fixture.storage;
    let mut watch = storage.watch_from(WatchStart::Now(Freshness::Latest)).await;
    for i in 0..100 {
        storage.create(&format!("n{i}"), "red").await;
    }
    let remaining = "select count(*) from apiserver.watch_events";
    let deadline = std::time::Instant::now() + SOON;
    while fixture.count(remaining).await > 10 {
        assert!(std::time::Instant::now() < deadline, "not pruned");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // I10: what is gone lies at or below the floor, and the kept events follow it without a gap.
    let gap = "select count(*) from apiserver.rv_meta m, generate_series(m.floor_rv + 1,
                   (select last_value from apiserver.resource_version)) v
               where not exists (select from apiserver.watch_events e where e.rv = v)";
    assert_eq!(fixture.count(gap).await, 0);
    // Who has read them before goes on.
    assert_eq!(take(&mut watch, 100).await.len(), 100);
    assert_eq!(storage.all().await.items.len(), 100);
}

#[tokio::test]
async fn nothing_is_removed_before_the_floor_has_risen() {
    let fixture = Fixture::new().await;
    for i in 0..30 {
        fixture.storage.create(&format!("n{i}"), "red").await;
    }
    let mut holder = PgConnection::connect_with(&fixture.database.connect_options())
        .await
        .unwrap();
    holder
        .execute("begin; select from apiserver.rv_meta for update")
        .await
        .unwrap();
    // The first round of this one finds all events, and the floor locked.
    let _pruning = replica(
        &fixture.database,
        |options| {
            options.statement_timeout = SOON;
            options.log_age = Duration::ZERO;
            options.log_events_min = 10;
            options.log_prune_interval = Duration::from_millis(50);
        },
        |builder| builder,
    );
    let kept = "select count(*) from apiserver.watch_events";
    let raising = "select count(*) from pg_stat_activity where datname = current_database()
                       and wait_event_type = 'Lock' and query like '%update apiserver.rv_meta%'";
    let deadline = std::time::Instant::now() + SOON;
    while fixture.count(raising).await == 0 && fixture.count(kept).await == 30 {
        assert!(std::time::Instant::now() < deadline, "nothing is pruned");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fixture.count(kept).await, 30, "I10");

    holder.execute("rollback").await.unwrap();

    while fixture.count(kept).await > 10 {
        assert!(std::time::Instant::now() < deadline, "not pruned");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_replica_that_fell_behind_the_floor_starts_anew_and_expires_its_watches() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    storage.create("a", "red").await;
    let mut watch = storage.watch_from(WatchStart::Now(Freshness::Latest)).await;

    // As if the replica had been cut off while others wrote and pruned.
    fixture
        .sql(
            "begin;
             select setval('apiserver.resource_version', 1000);
             update apiserver.rv_meta set floor_rv = 1000;
             delete from apiserver.watch_events;
             delete from notes;
             commit",
        )
        .await;

    let page = storage.all().await;
    let later = storage.create("b", "red").await;
    assert_eq!(later.version, version(1001));
    let ended = next(&mut watch).await;
    assert!(
        matches!(ended, Some(Err(StorageError::Expired { .. }))),
        "the watch goes on: {ended:?}"
    );
    assert!(next(&mut watch).await.is_none());
    assert_eq!((page.version, page.items.len()), (version(1000), 0));
}
