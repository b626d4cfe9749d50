//! The log outlives its namespace, and belongs to no other one of the same name.

use brokkr_apis::work::v1alpha1::{WorkOrderLog, WorkOrderPhase};
use futures::StreamExt;
use generic_apiserver::registry::{RegistryError, RestStorage};
use generic_apiserver::storage::selection::FieldRequirement;
use generic_apiserver::storage::{
    Freshness, Key, ListOptions, ListVersion, ResourceVersion, Selection, StorageError, WatchEvent,
    WatchOptions, WatchStart, WatchStream,
};
use serde_json::json;

use crate::fixture::{Fixture, SOON, TEAM, USER, context};

async fn list(fixture: &Fixture, namespace: Option<&str>, selection: Selection) -> Vec<WorkOrderLog> {
    let options = ListOptions {
        namespace: namespace.map(str::to_owned),
        selection,
        version: ListVersion::Fresh(Freshness::Latest),
        limit: 0,
        continue_token: None,
    };
    let page = fixture.log.list(&options).await.unwrap();
    let read = |stored: &std::sync::Arc<generic_apiserver::storage::Stored>| {
        serde_json::from_slice(&stored.encoded).unwrap()
    };
    page.items.iter().map(read).collect()
}

/// The uids of the orders whose entries a watch of the team's log shows from the beginning.
async fn watch(fixture: &Fixture, count: usize) -> Vec<String> {
    let options = WatchOptions {
        namespace: Some(TEAM.to_owned()),
        selection: Selection::default(),
        start: WatchStart::After(ResourceVersion::new(1)),
        bookmarks: false,
    };
    let watch = fixture.log.watch(options).await.unwrap();
    let uid = |event| match event {
        Ok(WatchEvent::Object(_, object)) => {
            let object: std::sync::Arc<generic_apiserver::storage::Stored> = object;
            object.fields["orderUID"].clone()
        }
        other => panic!("{other:?}"),
    };
    let seen = watch.take(count).map(uid).collect();
    tokio::time::timeout(SOON, seen)
        .await
        .expect("the entries arrive")
}

/// Runs an order to its end and deletes it; gives its entry.
async fn done(fixture: &Fixture, name: &str) -> WorkOrderLog {
    fixture
        .create(name, json!({"idempotencyKey": "k"}))
        .await
        .unwrap();
    let grant = fixture.claim("east", name).await.unwrap();
    fixture.complete("east", &grant).await.unwrap();
    fixture.delete(name, None).await.unwrap();
    fixture.entries(name).await.remove(0)
}

#[tokio::test]
async fn entries_of_a_namespace_that_is_gone_are_seen_in_lists_of_all_alone() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    let old = done(&fixture, "a").await;
    let old_key = Key::namespaced(TEAM, old.metadata.name.clone().unwrap());
    let everything = Selection::default;
    assert_eq!(
        list(&fixture, Some(TEAM), everything()).await,
        std::slice::from_ref(&old)
    );
    assert!(fixture.log.get(&old_key, Freshness::Latest).await.is_ok());

    fixture.cluster.recreate_namespaces();
    assert_eq!(list(&fixture, Some(TEAM), everything()).await, []);
    let new = done(&fixture, "b").await;

    assert_eq!(
        list(&fixture, Some(TEAM), everything()).await,
        std::slice::from_ref(&new)
    );
    assert_eq!(
        list(&fixture, None, everything()).await,
        [new.clone(), old.clone()]
    );
    let hidden = fixture.log.get(&old_key, Freshness::Latest).await;
    assert!(
        matches!(&hidden, Err(RegistryError::Storage(StorageError::NotFound(key))) if *key == old_key),
        "{hidden:?}"
    );
    assert_eq!(
        watch(&fixture, 1).await,
        std::slice::from_ref(&new.spec.order_uid)
    );
    let of_old = Selection {
        fields: vec![FieldRequirement {
            field: "namespaceUID".to_owned(),
            equal: true,
            value: old.spec.namespace_uid.clone().unwrap(),
        }],
        ..everything()
    };
    assert_eq!(list(&fixture, None, of_old).await, [old]);
}

#[tokio::test]
async fn watch_of_a_namespace_expires_when_another_one_takes_its_name() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    let watch = async |namespace: Option<&str>| {
        let options = WatchOptions {
            namespace: namespace.map(str::to_owned),
            selection: Selection::default(),
            start: WatchStart::Now(Freshness::Latest),
            bookmarks: true,
        };
        fixture.log.watch(options).await.unwrap()
    };
    let (mut of_team, mut of_all) = (watch(Some(TEAM)).await, watch(None).await);
    let old = done(&fixture, "a").await;
    let first = next(&mut of_team).await;
    assert!(
        matches!(&first, Some(Ok(WatchEvent::Object(_, entry))) if Some(&entry.key.name) == old.metadata.name.as_ref()),
        "{first:?}"
    );

    fixture.cluster.recreate_namespaces();
    let new = done(&fixture, "b").await;

    // Without this a watch that went on after its last bookmark would never see the new entry.
    let expired = next(&mut of_team).await;
    assert!(
        matches!(expired, Some(Err(StorageError::Expired { .. }))),
        "{expired:?}"
    );
    assert!(next(&mut of_team).await.is_none());
    assert_eq!(list(&fixture, Some(TEAM), Selection::default()).await, [new]);
    for _ in 0..2 {
        let seen = next(&mut of_all).await;
        assert!(matches!(seen, Some(Ok(WatchEvent::Object(..)))), "{seen:?}");
    }
}

async fn next(watch: &mut WatchStream) -> Option<Result<WatchEvent, StorageError>> {
    tokio::time::timeout(SOON, watch.next()).await.expect("an answer")
}

#[tokio::test]
async fn new_namespace_of_the_same_name_has_its_own_idempotency_keys() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    done(&fixture, "a").await;
    fixture.cluster.recreate_namespaces();

    let ctx = context(USER);
    let order = fixture
        .create_as(&ctx, "a", json!({"idempotencyKey": "k"}))
        .await
        .unwrap();

    assert_eq!(order.status.unwrap().phase, WorkOrderPhase::Pending);
    assert!(ctx.warnings().is_empty(), "{:?}", ctx.warnings());
    fixture
        .create("b", json!({"idempotencyKey": "k"}))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn new_namespace_does_not_know_that_a_name_was_used_in_the_old_one() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    done(&fixture, "a").await;
    let again = context(USER);
    fixture.create_as(&again, "a", json!({})).await.unwrap();
    assert!(
        again.warnings()[0].contains("runs again"),
        "{:?}",
        again.warnings()
    );
    fixture.delete("a", None).await.unwrap();

    fixture.cluster.recreate_namespaces();

    let ctx = context(USER);
    fixture.create_as(&ctx, "a", json!({})).await.unwrap();
    assert!(ctx.warnings().is_empty(), "{:?}", ctx.warnings());
}
