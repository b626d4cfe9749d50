//! Orders that a user ends: cancelled, deleted, let go by hand. Each leaves one entry in the log.

use brokkr_apis::work::v1alpha1::{
    CANCELLATION_FINALIZER, CancelRequest, CancellationCause, LogOutcome, WorkOrder, WorkOrderPhase,
};
use futures::StreamExt;
use generic_apiserver::registry::{Deleted, Part};
use generic_apiserver::storage::{
    Freshness, Selection, WatchEvent, WatchEventType, WatchOptions, WatchStart, WatchStream,
};
use serde_json::json;

use crate::fixture::{Fixture, SOON, USER, context};

const LEASES: &str = "select count(*) from work.work_leases";
const LOGGED: &str =
    "select count(*) from work.work_order_keys where log_name is not null and completed_at is not null";

pub(crate) fn cancel(order: &mut WorkOrder) {
    order.spec.cancel = Some(CancelRequest {
        reason: "not needed".to_owned(),
    });
}

async fn held() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({})).await.unwrap();
    fixture.claim("east", "a").await.unwrap();
    fixture
}

#[tokio::test]
async fn a_cancelled_waiting_order_has_one_entry_and_stays_until_its_ttl() {
    let fixture = Fixture::new().await;
    fixture.create("a", json!({})).await.unwrap();
    let order = fixture.change("a", Part::Main, cancel).await.unwrap();
    let status = order.status.unwrap();
    assert_eq!(status.phase, WorkOrderPhase::Cancelled);
    assert!(
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == "Failed")
    );
    // Changing it again ends nothing again.
    fixture
        .change("a", Part::Main, |order| {
            order.spec.ttl_seconds_after_finished = Some(-1);
        })
        .await
        .unwrap();
    let entries = fixture.entries("a").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].metadata.name, status.log_name);
    let entry = entries[0].status.clone().unwrap();
    assert_eq!(
        (entry.outcome, entry.outcome_unknown),
        (LogOutcome::Cancelled, false)
    );
    assert_eq!(entry.cancellation.unwrap().reason, "not needed");
    assert_eq!(fixture.count(LOGGED).await, 1);
    assert_eq!(fixture.status("a").await.phase, WorkOrderPhase::Cancelled);
}

#[tokio::test]
async fn an_order_without_ttl_goes_with_its_cancellation() {
    let fixture = Fixture::new().await;
    let ctx = context(USER);
    fixture
        .create_as(&ctx, "a", json!({"ttlSecondsAfterFinished": 0}))
        .await
        .unwrap();
    assert!(ctx.warnings()[0].contains("kubectl wait"), "{:?}", ctx.warnings());
    fixture.change("a", Part::Main, cancel).await.unwrap();
    assert!(fixture.find("a").await.is_none());
    assert_eq!(fixture.entries("a").await.len(), 1);
}

#[tokio::test]
async fn a_deleted_waiting_order_is_gone_and_has_one_entry() {
    let fixture = Fixture::new().await;
    fixture.create("a", json!({})).await.unwrap();
    let Deleted::Gone(last) = fixture.delete("a", None).await.unwrap() else {
        panic!("the order is held")
    };
    let last: WorkOrder = last.to_typed().unwrap();
    assert_eq!(last.status.unwrap().phase, WorkOrderPhase::Cancelled);
    assert!(fixture.find("a").await.is_none());
    let entries = fixture.entries("a").await;
    assert_eq!(entries.len(), 1);
    let cancellation = entries[0].status.clone().unwrap().cancellation.unwrap();
    assert_eq!(
        (cancellation.cause, cancellation.requested_by.as_str()),
        (CancellationCause::Delete, USER)
    );
}

#[tokio::test]
async fn a_deleted_waiting_order_that_somebody_holds_back_ends_all_the_same() {
    let fixture = Fixture::new().await;
    fixture.create("a", json!({})).await.unwrap();
    let hold = |order: &mut WorkOrder| order.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    fixture.change("a", Part::Main, hold).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(
            fixture.delete("a", None).await.unwrap(),
            Deleted::Marked(_)
        ));
    }
    assert_eq!(fixture.status("a").await.phase, WorkOrderPhase::Cancelled);
    fixture
        .change("a", Part::Main, |order| order.metadata.finalizers = None)
        .await
        .unwrap();
    assert!(fixture.find("a").await.is_none());
    assert_eq!(fixture.entries("a").await.len(), 1);
}

#[tokio::test]
async fn a_deleted_held_order_waits_for_its_holder() {
    let fixture = held().await;
    let Deleted::Marked(marked) = fixture.delete("a", Some(600)).await.unwrap() else {
        panic!("gone")
    };
    let order: WorkOrder = marked.to_typed().unwrap();
    assert_eq!(
        order.metadata.finalizers,
        Some(vec![CANCELLATION_FINALIZER.to_owned()])
    );
    assert_eq!(order.metadata.deletion_grace_period_seconds, Some(0));
    let status = order.status.unwrap();
    assert_eq!(status.phase, WorkOrderPhase::Cancelling);
    assert_eq!(status.observed_generation, order.metadata.generation);
    let until = |seconds: i64| {
        format!(
            "select count(*) from work.work_orders where cancel_deadline between \
             clock_timestamp() + interval '{} seconds' and clock_timestamp() + interval '{} seconds'",
            seconds - 30,
            seconds + 5
        )
    };
    assert_eq!(fixture.count(&until(600)).await, 1);
    fixture.delete("a", Some(60)).await.unwrap();
    assert_eq!(fixture.count(&until(60)).await, 1);
    fixture.delete("a", Some(600)).await.unwrap();
    assert_eq!(fixture.count(&until(60)).await, 1);
    assert!(fixture.entries("a").await.is_empty());
}

#[tokio::test]
async fn the_holder_that_confirms_lets_the_order_go() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({})).await.unwrap();
    let grant = fixture.claim("east", "a").await.unwrap();
    fixture.delete("a", None).await.unwrap();
    // The work was done before the agent learned of the end: it counts.
    fixture.complete("east", &grant).await.unwrap();
    assert!(fixture.find("a").await.is_none());
    let entries = fixture.entries("a").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].status.clone().unwrap().outcome, LogOutcome::Succeeded);
}

#[tokio::test]
async fn grace_zero_ends_a_held_order_without_its_holder() {
    for first in [None, Some(60)] {
        let fixture = Fixture::new().await;
        fixture.agent("east", &[]).await;
        fixture.create("a", json!({})).await.unwrap();
        let grant = fixture.claim("east", "a").await.unwrap();
        if first.is_some() {
            fixture.delete("a", first).await.unwrap();
        }
        assert!(matches!(
            fixture.delete("a", Some(0)).await.unwrap(),
            Deleted::Gone(_)
        ));
        assert!(fixture.find("a").await.is_none());
        let entries = fixture.entries("a").await;
        assert_eq!(entries.len(), 1);
        let entry = entries[0].status.clone().unwrap();
        assert_eq!(
            (entry.outcome, entry.outcome_unknown),
            (LogOutcome::Cancelled, true)
        );
        assert_eq!((entry.attempts.len(), entry.agent.as_str()), (1, "east"));
        assert!(entry.message.contains(USER), "{}", entry.message);
        assert_eq!(fixture.count(LEASES).await, 0);
        assert_eq!(
            fixture
                .count("select count(*) from work.attempts where outcome = 'Unknown'")
                .await,
            1
        );
        assert!(fixture.complete("east", &grant).await.is_err());
        assert_eq!(fixture.entries("a").await.len(), 1);
    }
}

#[tokio::test]
async fn removing_our_finalizer_by_hand_ends_the_order_with_the_users_name() {
    let fixture = held().await;
    fixture.delete("a", None).await.unwrap();
    fixture
        .change("a", Part::Main, |order| order.metadata.finalizers = None)
        .await
        .unwrap();
    assert!(fixture.find("a").await.is_none());
    let entries = fixture.entries("a").await;
    assert_eq!(entries.len(), 1);
    let entry = entries[0].status.clone().unwrap();
    assert_eq!(entry.message, format!("the finalizer was removed by {USER}"));
    assert!(entry.outcome_unknown);
    assert_eq!(fixture.count(LEASES).await, 0);
}

#[tokio::test]
async fn a_finished_order_is_deleted_at_once_and_leaves_no_second_entry() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({})).await.unwrap();
    let grant = fixture.claim("east", "a").await.unwrap();
    fixture.complete("east", &grant).await.unwrap();
    assert!(matches!(
        fixture.delete("a", None).await.unwrap(),
        Deleted::Gone(_)
    ));
    assert_eq!(fixture.entries("a").await.len(), 1);
}

#[tokio::test]
async fn entry_of_a_cancelled_order_shows_every_attempt() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture
        .create("a", json!({"retryPolicy": {"maxRetries": 25}}))
        .await
        .unwrap();
    for _ in 0..12 {
        let grant = fixture.claim("east", "a").await.unwrap();
        fixture.fail("east", &grant).await.unwrap();
        fixture
            .sql("update work.work_orders set next_retry_after = clock_timestamp() - interval '1 second'")
            .await;
    }

    fixture.change("a", Part::Main, cancel).await.unwrap();

    let attempts = fixture.entries("a").await.remove(0).status.unwrap().attempts;
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert_eq!(fixture.status("a").await.attempts.len(), 10);
}

async fn watched(fixture: &Fixture) -> WatchStream {
    let options = WatchOptions {
        namespace: None,
        selection: Selection::default(),
        start: WatchStart::Now(Freshness::Latest),
        bookmarks: false,
    };
    fixture
        .storage
        .watch(
            brokkr_apiserver::registry::work_order::table::WORK_ORDERS,
            options,
        )
        .await
        .unwrap()
}

/// The order as the event of its deletion shows it.
async fn deleted(watch: &mut WatchStream) -> WorkOrder {
    loop {
        let event = tokio::time::timeout(SOON, watch.next()).await.expect("an event");
        if let WatchEvent::Object(WatchEventType::Deleted, object) = event.unwrap().unwrap() {
            return serde_json::from_slice(&object.encoded).unwrap();
        }
    }
}

#[tokio::test]
async fn event_of_a_deletion_shows_how_the_order_ended() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    for name in ["waiting", "forced", "freed", "expired"] {
        fixture.create(name, json!({})).await.unwrap();
    }
    for name in ["forced", "freed", "expired"] {
        fixture.claim("east", name).await.unwrap();
    }
    for name in ["freed", "expired"] {
        fixture.delete(name, None).await.unwrap();
    }
    let mut watch = watched(&fixture).await;

    fixture.delete("waiting", None).await.unwrap();
    let waiting = deleted(&mut watch).await;
    fixture.delete("forced", Some(0)).await.unwrap();
    let forced = deleted(&mut watch).await;
    fixture
        .change("freed", Part::Main, |order| order.metadata.finalizers = None)
        .await
        .unwrap();
    let freed = deleted(&mut watch).await;
    fixture
        .sql("update work.work_orders set cancel_deadline = clock_timestamp() where name = 'expired'")
        .await;
    fixture.sweeper.serve().await.unwrap();
    let expired = deleted(&mut watch).await;

    for (order, name) in [
        (waiting, "waiting"),
        (forced, "forced"),
        (freed, "freed"),
        (expired, "expired"),
    ] {
        assert_eq!(order.metadata.name.as_deref(), Some(name));
        let status = order.status.unwrap();
        assert_eq!(status.phase, WorkOrderPhase::Cancelled, "{name}");
        assert_eq!(status.claim, None, "{name}");
        assert!(
            status.log_name.is_some() && order.metadata.deletion_timestamp.is_some(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn holder_is_rung_however_its_order_is_ended() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    let mut rung = 0;
    let mut expect_ring = async |what: &str| {
        rung += 1;
        assert_eq!(fixture.wake("east").await, rung, "{what}");
    };
    let pass = "update work.work_orders set cancel_deadline = clock_timestamp()";
    for name in ["a", "b", "c", "d"] {
        fixture.create(name, json!({})).await.unwrap();
        fixture.claim("east", name).await.unwrap();
    }

    fixture.change("a", Part::Main, cancel).await.unwrap();
    expect_ring("cancelled").await;
    fixture.sql(pass).await;
    fixture.sweeper.serve().await.unwrap();
    expect_ring("not confirmed in time").await;

    fixture.delete("b", None).await.unwrap();
    expect_ring("deleted").await;
    fixture.sql(pass).await;
    fixture.sweeper.serve().await.unwrap();
    expect_ring("deleted, and not confirmed in time").await;
    assert!(fixture.find("b").await.is_none());

    fixture.delete("c", Some(0)).await.unwrap();
    expect_ring("deleted without waiting").await;

    fixture.delete("d", None).await.unwrap();
    expect_ring("deleted, with time to confirm").await;
    fixture
        .change("d", Part::Main, |order| order.metadata.finalizers = None)
        .await
        .unwrap();
    expect_ring("the finalizer was removed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_of_an_order_that_was_claimed_meanwhile_waits_for_the_holder() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({})).await.unwrap();
    let claimed = std::sync::Once::new();
    let claim = || {
        let claim = tokio::runtime::Handle::current().block_on(fixture.claim("east", "a"));
        assert!(claim.is_some());
    };

    // The order is claimed when the cancel has read it, and before it is written.
    let cancelled = fixture
        .change("a", Part::Main, |order| {
            claimed.call_once(|| tokio::task::block_in_place(claim));
            cancel(order);
        })
        .await;

    let status = cancelled.unwrap().status.unwrap();
    assert_eq!(status.phase, WorkOrderPhase::Cancelling);
    assert_eq!((status.claim.is_some(), status.attempts.len()), (true, 1));
    assert!(fixture.entries("a").await.is_empty());
    assert_eq!(fixture.count(LEASES).await, 1);
}
