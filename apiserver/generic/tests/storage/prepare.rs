//! A storage that is started before its database may be used.

use std::time::Duration;

use generic_apiserver::storage::StorageError;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_is_left_alone_until_it_is_prepared() {
    let prepared = CancellationToken::new();
    let fixture = Fixture::new().await;
    let waiting = prepared.clone().cancelled_owned();
    let held = replica(&fixture.database, |_| {}, |builder| builder.after(waiting));

    // Given that another replica, started later, has filled its caches,
    replica(&fixture.database, |_| {}, |builder| builder)
        .current_version()
        .await
        .unwrap();

    // then the one that is held back has not, and refuses writes at once,
    assert!(!held.is_ready());
    let refused = held.update(creation("a", json!({}))).await.unwrap_err();
    assert!(
        matches!(refused, StorageError::Unreachable { ambiguous: false, .. }),
        "{refused}"
    );

    // until it may go on.
    prepared.cancel();
    held.current_version().await.unwrap();
    held.update(creation("a", json!({}))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_was_never_prepared_shuts_down() {
    let fixture = Fixture::new().await;
    let never = std::future::pending();
    let held = replica(&fixture.database, |_| {}, |builder| builder.after(never));
    let ended = tokio::time::timeout(Duration::from_secs(20), held.shutdown()).await;
    ended.expect("it ends");
}
