//! Gets and lists of a cached resource: freshness, pages, exact versions, expiry.

use generic_apiserver::storage::{Freshness, ListOptions, ListVersion, StorageError};

use crate::fixture::*;

fn page_of(limit: usize, token: Option<String>) -> ListOptions {
    ListOptions {
        limit,
        continue_token: token,
        ..everything()
    }
}

#[tokio::test]
async fn an_empty_list_has_a_version_above_zero() {
    let fixture = Fixture::new().await;
    let page = fixture.storage.all().await;
    assert!(page.items.is_empty());
    assert!(page.version > version(0));
}

#[tokio::test]
async fn lists_are_ordered_by_key_and_narrowed_by_namespace_and_fields() {
    let fixture = Fixture::new().await;
    for (name, color) in [("b", "red"), ("a", "blue"), ("c", "red")] {
        fixture.storage.create(name, color).await;
    }
    let storage = &fixture.storage;
    let list = |options| async move { storage.list(NOTES, &options).await.unwrap() };

    assert_eq!(names(&list(everything()).await), ["a", "b", "c"]);
    let red = ListOptions {
        selection: colored("red"),
        ..everything()
    };
    assert_eq!(names(&list(red).await), ["b", "c"]);
    let inside = ListOptions {
        namespace: Some("shelf".into()),
        ..everything()
    };
    assert_eq!(names(&list(inside).await), ["a", "b", "c"]);
    let outside = ListOptions {
        namespace: Some("she".into()),
        ..everything()
    };
    assert!(list(outside).await.items.is_empty());
}

#[tokio::test]
async fn pages_are_one_snapshot_while_objects_change() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    let mut objects = Vec::new();
    for i in 0..10 {
        objects.push(storage.create(&format!("n{i}"), "red").await);
    }

    let first = storage.list(NOTES, &page_of(4, None)).await.unwrap();
    assert_eq!(first.remaining, Some(6));
    storage.delete(&objects[5]).await;
    storage.paint(&objects[6], "blue").await;
    storage.create("n55", "red").await;
    let second = storage
        .list(NOTES, &page_of(4, first.continue_token.clone()))
        .await
        .unwrap();
    storage.delete(&objects[9]).await;
    let third = storage
        .list(NOTES, &page_of(4, second.continue_token.clone()))
        .await
        .unwrap();

    assert_eq!(names(&second), ["n4", "n5", "n6", "n7"]);
    assert_eq!(second.items[2].encoded, objects[6].encoded);
    assert_eq!((second.version, second.remaining), (first.version, Some(2)));
    assert_eq!(names(&third), ["n8", "n9"]);
    assert_eq!(
        (third.version, third.continue_token, third.remaining),
        (first.version, None, None)
    );
}

#[tokio::test]
async fn an_exact_version_is_served_as_it_was() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    // More changes than lie between two kept states, so that both ways back are walked.
    let mut states = Vec::new();
    let mut last = storage.create("a", "c0").await;
    for i in 1..600 {
        states.push(last.clone());
        last = storage.paint(&last, &format!("c{i}")).await;
    }
    for state in states.iter().step_by(37) {
        let exact = ListOptions {
            version: ListVersion::Exact(state.version),
            ..everything()
        };
        let page = storage.list(NOTES, &exact).await.unwrap();
        assert_eq!(page.version, state.version);
        assert_eq!(page.items[0].encoded, state.encoded);
    }
}

#[tokio::test]
async fn an_expired_token_offers_to_go_on_at_the_newest_version() {
    let fixture = Fixture::with(|options| {
        options.ring_events_min = 2;
        options.ring_events_max = 2;
    })
    .await;
    let storage = &fixture.storage;
    for i in 0..4 {
        storage.create(&format!("n{i}"), "red").await;
    }
    let first = storage.list(NOTES, &page_of(2, None)).await.unwrap();
    for i in 4..8 {
        storage.create(&format!("n{i}"), "red").await;
    }
    storage.current_version().await.unwrap();

    let expired = storage.list(NOTES, &page_of(2, first.continue_token)).await;

    let Err(StorageError::Expired {
        asked,
        continue_from: Some(token),
        ..
    }) = expired
    else {
        panic!("{expired:?}")
    };
    assert_eq!(asked, first.version);
    let next = storage.list(NOTES, &page_of(2, Some(token))).await.unwrap();
    assert_eq!(names(&next), ["n2", "n3"]);
    assert!(next.version > first.version);
    // From there on the list is consistent again.
    let last = storage
        .list(NOTES, &page_of(9, next.continue_token))
        .await
        .unwrap();
    assert_eq!(
        (names(&last), last.version),
        (vec!["n4", "n5", "n6", "n7"], next.version)
    );
}

#[tokio::test]
async fn a_token_of_another_collection_or_of_nobody_is_refused() {
    let fixture = Fixture::new().await;
    let storage = &fixture.storage;
    for name in ["a", "b"] {
        storage.create(name, "red").await;
    }
    let token = storage
        .list(NOTES, &page_of(1, None))
        .await
        .unwrap()
        .continue_token;

    let elsewhere = ListOptions {
        namespace: Some("other".into()),
        ..page_of(1, token.clone())
    };
    for (resource, options) in [
        (NOTES, elsewhere),
        (ENTRIES, page_of(1, token)),
        (NOTES, page_of(1, Some("nonsense".into()))),
    ] {
        let refused = storage.list(resource, &options).await;
        assert!(
            matches!(refused, Err(StorageError::InvalidContinue(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_version_from_the_future_is_too_large() {
    let fixture =
        Fixture::with(|options| options.freshness_timeout = std::time::Duration::from_millis(200)).await;
    let now = fixture.storage.current_version().await.unwrap();
    let future = version(now.get() + 1000);

    let list = ListOptions {
        version: ListVersion::Exact(future),
        ..everything()
    };
    let list = fixture.storage.list(NOTES, &list).await;
    let get = fixture
        .storage
        .get(NOTES, &key("a"), Freshness::NotOlderThan(future))
        .await;

    assert!(
        matches!(list, Err(StorageError::TooLarge { asked, current }) if asked == future && current == now)
    );
    assert!(matches!(get, Err(StorageError::TooLarge { .. })), "{get:?}");
}

#[tokio::test]
async fn a_read_sees_every_write_acknowledged_before_it_on_any_replica() {
    let fixture = Fixture::with(|options| options.poll_interval = SOON).await;
    let other = replica(
        &fixture.database,
        |options| options.poll_interval = SOON,
        |builder| builder,
    );
    for i in 0..50 {
        let name = format!("n{i}");
        let written = fixture.storage.create(&name, "red").await;
        let read = other.get(NOTES, &key(&name), Freshness::Latest).await.unwrap();
        assert_eq!(read.version, written.version);
        let listed = other.list(NOTES, &everything()).await.unwrap();
        assert_eq!(listed.items.len(), i + 1);
        let not_older = other
            .get(NOTES, &key(&name), Freshness::NotOlderThan(written.version))
            .await;
        assert!(not_older.is_ok(), "{not_older:?}");
    }
}
