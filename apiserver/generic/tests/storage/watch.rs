//! Watches of a cached resource: starts, selections, bookmarks, slow consumers, expiry.

use std::time::Duration;

use generic_apiserver::storage::{
    Freshness, StorageError, WatchEvent, WatchEventType, WatchOptions, WatchStart,
};

use crate::fixture::*;

#[tokio::test]
async fn a_watch_delivers_every_change_after_its_start() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let a = storage.create("a", "red").await;
    let b = storage.create("b", "red").await;
    // Whoever connects to a database misses what is not in its log. What comes now is told, or it is not.
    storage.all().await;
    let a2 = storage.paint(&a, "blue").await;

    let mut past = storage.watch_from(WatchStart::After(a.version)).await;
    let mut now = storage.watch_from(WatchStart::Now(Freshness::Latest)).await;
    let gone = storage.delete(&b).await;

    let expected = [
        format!("+b@{}", b.version),
        format!("~a@{}", a2.version),
        format!("-b@{}", gone.version),
    ];
    assert_eq!(take(&mut past, 3).await, expected);
    assert_eq!(take(&mut now, 1).await, expected[2..]);
}

#[tokio::test]
async fn a_deleted_object_is_its_last_state_at_the_version_of_the_deletion() {
    let fixture = Fixture::new().await;
    let a = fixture.storage.create("a", "red").await;
    let mut watch = fixture.storage.watch_from(WatchStart::After(a.version)).await;
    let gone = fixture.storage.delete(&a).await;

    let Some(Ok(WatchEvent::Object(WatchEventType::Deleted, last))) = next(&mut watch).await else {
        panic!("the deletion is not told")
    };

    assert_eq!(last.encoded, gone.encoded);
    let mut expected = parse(&a);
    expected.metadata.resource_version = Some(gone.version.to_string());
    assert_eq!(parse(&last), expected);
}

#[tokio::test]
async fn a_watch_from_the_future_delivers_only_what_is_newer() {
    let fixture = Fixture::new().await;
    let now = fixture.storage.current_version().await.unwrap();
    let mut watch = fixture
        .storage
        .watch_from(WatchStart::After(version(now.get() + 2)))
        .await;
    for name in ["a", "b", "c"] {
        fixture.storage.create(name, "red").await;
    }
    assert_eq!(take(&mut watch, 1).await, [format!("+c@{}", now.get() + 3)]);
}

#[tokio::test]
async fn a_start_older_than_the_ring_has_expired() {
    let fixture = Fixture::with(|options| {
        options.ring_events_min = 2;
        options.ring_events_max = 2;
    })
    .await;
    let mut versions = Vec::new();
    for i in 0..5 {
        versions.push(fixture.storage.create(&format!("n{i}"), "red").await.version);
    }
    fixture.storage.current_version().await.unwrap();

    let expired = fixture
        .storage
        .watch(NOTES, watching(WatchStart::After(versions[1])))
        .await;
    assert!(
        matches!(expired, Err(StorageError::Expired { oldest, .. }) if oldest == versions[2]),
        "{expired:?}"
    );
    let mut oldest = fixture.storage.watch_from(WatchStart::After(versions[2])).await;
    assert_eq!(
        take(&mut oldest, 2).await,
        [format!("+n3@{}", versions[3]), format!("+n4@{}", versions[4])]
    );
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark_and_join_the_live_ones() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let empty = storage.current_version().await.unwrap();
    let start = || watching(WatchStart::InitialEvents(Freshness::Latest));
    let mut watch = storage.watch(NOTES, start()).await.unwrap();
    assert_eq!(take(&mut watch, 1).await, [format!("=!{empty}")]);

    let b = storage.create("b", "red").await;
    let a = storage.create("a", "red").await;
    let mut watch = storage.watch(NOTES, start()).await.unwrap();
    let quiet = WatchOptions {
        bookmarks: false,
        ..start()
    };
    let mut without = storage.watch(NOTES, quiet).await.unwrap();
    let c = storage.create("c", "red").await;

    let (a, b, end, c) = (
        format!("+a@{}", a.version),
        format!("+b@{}", b.version),
        format!("=!{}", a.version),
        format!("+c@{}", c.version),
    );
    assert_eq!(take(&mut watch, 4).await, [a.clone(), b.clone(), end, c.clone()]);
    assert_eq!(take(&mut without, 3).await, [a, b, c]);
}

#[tokio::test]
async fn objects_come_and_go_as_they_match_a_selection() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let start = storage.current_version().await.unwrap();
    let blue = WatchOptions {
        selection: colored("blue"),
        ..watching(WatchStart::After(start))
    };
    let mut live = storage.watch(NOTES, blue.clone()).await.unwrap();

    let red = storage.create("a", "red").await;
    let blue_first = storage.paint(&red, "blue").await;
    let blue_again = storage.paint(&blue_first, "blue").await;
    let red_again = storage.paint(&blue_again, "red").await;
    storage.delete(&red_again).await;
    let b = storage.create("b", "blue").await;

    storage.current_version().await.unwrap();
    let mut replayed = storage.watch(NOTES, blue).await.unwrap();
    for watch in [&mut live, &mut replayed] {
        assert_eq!(
            take(watch, 2).await,
            [
                format!("+a@{}", blue_first.version),
                format!("~a@{}", blue_again.version)
            ]
        );
        // The last state that matched, at the version at which it ceased to.
        let Some(Ok(WatchEvent::Object(WatchEventType::Deleted, last))) = next(watch).await else {
            panic!()
        };
        let mut expected = parse(&blue_again);
        expected.metadata.resource_version = Some(red_again.version.to_string());
        assert_eq!((last.version, parse(&last)), (red_again.version, expected));
        assert_eq!(take(watch, 1).await, [format!("+b@{}", b.version)]);
    }
}

#[tokio::test]
async fn a_watch_of_one_name_sees_that_name_alone() {
    use generic_apiserver::storage::selection::{FieldRequirement, Selection};
    let fixture = Fixture::new().await;
    let field = FieldRequirement {
        field: "metadata.name".into(),
        equal: true,
        value: "b".into(),
    };
    let selection = Selection {
        labels: Vec::new(),
        fields: vec![field],
    };
    let options = WatchOptions {
        selection,
        ..watching(WatchStart::Now(Freshness::Latest))
    };
    let mut watch = fixture.storage.watch(NOTES, options).await.unwrap();

    fixture.storage.create("a", "red").await;
    let b = fixture.storage.create("b", "red").await;
    let gone = fixture.storage.delete(&b).await;

    assert_eq!(
        take(&mut watch, 2).await,
        [format!("+b@{}", b.version), format!("-b@{}", gone.version)]
    );
}

#[tokio::test]
async fn bookmarks_follow_the_versions_of_other_resources() {
    let fixture = Fixture::with(|options| options.bookmark_interval = Duration::from_millis(100)).await;
    let mut watch = fixture
        .storage
        .watch_from(WatchStart::Now(Freshness::Latest))
        .await;
    let entry = fixture.storage.record("e", "red").await;
    loop {
        let Some(Ok(WatchEvent::Bookmark {
            version,
            initial_events_end: false,
        })) = next(&mut watch).await
        else {
            panic!("only bookmarks are due")
        };
        if version == entry.version {
            break;
        }
        assert!(version < entry.version);
    }
}

#[tokio::test]
async fn a_bookmark_on_demand_comes_after_the_events_before_it() {
    let fixture = Fixture::new().await;
    let start = fixture.storage.current_version().await.unwrap();
    let mut watch = fixture.storage.watch_from(WatchStart::After(start)).await;
    let a = fixture.storage.create("a", "red").await;
    fixture.storage.current_version().await.unwrap();

    watch.bookmark_now();

    assert_eq!(
        take(&mut watch, 2).await,
        [format!("+a@{}", a.version), format!("={}", a.version)]
    );
}

#[tokio::test]
async fn a_slow_watcher_is_closed_and_resumes_where_it_was() {
    let fixture = Fixture::with(|options| options.watcher_events_max = 5).await;
    let storage = &fixture.storage;
    let start = storage.current_version().await.unwrap();
    let mut slow = storage.watch_from(WatchStart::After(start)).await;
    let mut quick = storage.watch_from(WatchStart::After(start)).await;

    for i in 0..20 {
        storage.create(&format!("n{i}"), "red").await;
        assert!(take(&mut quick, 1).await[0].starts_with(&format!("+n{i}@")));
    }

    // It would say that all has been delivered.
    slow.bookmark_now();
    let mut last = start;
    let mut seen = 0;
    while let Some(event) = next(&mut slow).await {
        let WatchEvent::Object(_, object) = event.unwrap() else {
            panic!("a bookmark after events that were lost")
        };
        (last, seen) = (object.version, seen + 1);
    }
    assert_eq!(seen, 5, "what was queued is delivered, then the stream ends");
    let mut resumed = storage.watch_from(WatchStart::After(last)).await;
    assert!(take(&mut resumed, 1).await[0].starts_with("+n5@"));
}

#[tokio::test]
async fn shutdown_ends_the_stream_without_an_error() {
    let fixture = Fixture::new().await;
    let mut watch = fixture
        .storage
        .watch_from(WatchStart::Now(Freshness::Latest))
        .await;
    fixture.storage.shutdown().await;
    assert!(next(&mut watch).await.is_none());
}
