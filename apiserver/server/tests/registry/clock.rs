//! What is timed is timed by the database's clock, however far this machine's is from it.

use generic_apiserver::registry::Part;
use jiff::Timestamp;
use serde_json::json;

use crate::end::cancel;
use crate::fixture::Fixture;

/// The deadline of the only cancellation that is waited for, in seconds from now by the database's clock.
const SECONDS_LEFT: &str = "select extract(epoch from cancel_deadline - clock_timestamp())::bigint from work.work_orders where cancelling";

/// How far a time is from this machine's clock, in whole hours.
fn hours_ahead(time: Timestamp) -> i64 {
    (time.duration_since(Timestamp::now()).as_secs() + 1800).div_euclid(3600)
}

#[tokio::test]
async fn times_of_an_end_that_a_user_asks_for_are_the_databases() {
    let fixture = Fixture::with_clock("1 hour").await;
    fixture.agent("east", &[]).await;
    for name in ["held", "waiting"] {
        fixture.create(name, json!({})).await.unwrap();
    }
    fixture.claim("east", "held").await.unwrap();

    let held = fixture.change("held", Part::Main, cancel).await.unwrap();
    let waiting = fixture.change("waiting", Part::Main, cancel).await.unwrap();

    let cancellation = held.status.unwrap().cancellation.unwrap();
    assert_eq!(hours_ahead(cancellation.requested_at.0), 1);
    let left = fixture.count(SECONDS_LEFT).await;
    assert!((30..=60).contains(&left), "{left} s left");
    let status = waiting.status.unwrap();
    assert_eq!(hours_ahead(status.completion_time.unwrap().0), 1);
    let entry = fixture.entries("waiting").await.remove(0);
    assert_eq!(hours_ahead(entry.status.unwrap().completion_time.unwrap().0), 1);
    let expires = "select extract(epoch from expires_at - clock_timestamp())::bigint from work.work_orders where name = 'waiting'";
    let expires = fixture.count(expires).await;
    assert!((3500..=3600).contains(&expires), "goes in {expires} s");
}

#[tokio::test]
async fn second_delete_shortens_also_when_this_machine_is_ahead() {
    let fixture = Fixture::with_clock("-1 hour").await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({})).await.unwrap();
    fixture.claim("east", "a").await.unwrap();
    fixture.delete("a", Some(600)).await.unwrap();

    fixture.delete("a", Some(60)).await.unwrap();

    let left = fixture.count(SECONDS_LEFT).await;
    assert!((30..=60).contains(&left), "{left} s left");
}

#[tokio::test]
async fn an_order_lasts_as_long_as_it_says_however_wrong_this_machine_s_clock_is() {
    let fixture = Fixture::with_clock("1 hour").await;
    fixture.agent("east", &[]).await;

    let order = fixture
        .create("a", json!({"activeDeadlineSeconds": 600}))
        .await
        .unwrap();

    let created = order.metadata.creation_timestamp.unwrap();
    assert_eq!(hours_ahead(created.0), 1);
    let left = "select extract(epoch from active_deadline - clock_timestamp())::bigint from work.work_orders";
    let left = fixture.count(left).await;
    assert!((570..=600).contains(&left), "{left} s left");
}

#[tokio::test]
async fn backoff_is_counted_by_the_databases_clock() {
    let fixture = Fixture::with_clock("1 hour").await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({})).await.unwrap();
    let grant = fixture.claim("east", "a").await.unwrap();
    assert_eq!(hours_ahead(grant.expires_at), 1);

    fixture.fail("east", &grant).await.unwrap();

    let wait =
        "select extract(epoch from next_retry_after - clock_timestamp())::bigint from work.work_orders";
    let wait = fixture.count(wait).await;
    assert!((30..=67).contains(&wait), "waits {wait} s");
}
