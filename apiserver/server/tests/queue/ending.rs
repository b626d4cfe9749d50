//! A replica that is told to end: what it has accepted and not written yet is no loss.

use crate::fixture::Fixture;
use crate::lease::{attempt_message, renew, saying};

#[tokio::test]
async fn progress_that_waits_is_written_before_a_replica_ends() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for name in ["one", "two"] {
        fixture.order(name).await;
        let grant = fixture.claimed("east", name).await;
        for message in ["started", "step 1", "step 2"] {
            renew(&fixture, &grant, Some(saying(message))).await.unwrap();
        }
    }
    let other = fixture.replica();
    assert_eq!(attempt_message(&other.find("two").await.unwrap()), "started");

    fixture.queue.write_delayed_progress().await;
    fixture.storage.shutdown().await;

    for name in ["one", "two"] {
        assert_eq!(attempt_message(&other.find(name).await.unwrap()), "step 2");
    }
}

#[tokio::test]
async fn replica_ends_at_once_when_no_progress_waits() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    renew(&fixture, &grant, Some(saying("started"))).await.unwrap();
    let version = fixture.storage.current_version().await.unwrap();

    fixture.queue.write_delayed_progress().await;

    assert_eq!(fixture.storage.current_version().await.unwrap(), version);
}
