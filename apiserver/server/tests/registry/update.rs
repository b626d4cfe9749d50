//! What may be changed, and by whom.

use brokkr_apis::work::v1alpha1::{BuildReference, CancelRequest, Fence, WorkOrderPhase, conditions};
use generic_apiserver::registry::Part;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;

use crate::fixture::{Fixture, invalid_fields};

fn condition(type_: &str, status: &str) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: "Forged".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

#[tokio::test]
async fn an_immutable_field_is_named() {
    let fixture = Fixture::new().await;
    fixture.create("a", json!({})).await.unwrap();
    let other = |order: &mut brokkr_apis::work::v1alpha1::WorkOrder| {
        order.spec.build_ref = Some(BuildReference {
            name: "other".to_owned(),
        });
        order.spec.priority = Some(3);
    };
    assert_eq!(
        invalid_fields(fixture.change("a", Part::Main, other).await),
        ["spec.buildRef"]
    );
    let order = fixture
        .change("a", Part::Main, |order| order.spec.priority = Some(3))
        .await
        .unwrap();
    assert_eq!(
        (order.metadata.generation, order.spec.priority),
        (Some(2), Some(3))
    );
    assert_eq!(order.status.unwrap().observed_generation, Some(2));
    assert_eq!(
        fixture
            .count("select priority::bigint from work.work_orders")
            .await,
        3
    );
}

#[tokio::test]
async fn a_suspended_order_is_not_claimed_until_it_is_resumed() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({"suspend": true})).await.unwrap();
    assert!(fixture.claim("east", "a").await.is_none());
    let order = fixture
        .change("a", Part::Main, |order| order.spec.suspend = Some(false))
        .await
        .unwrap();
    assert_eq!(
        order.status.unwrap().conditions[0].reason,
        conditions::AGENT_AVAILABLE
    );
    assert!(fixture.claim("east", "a").await.is_some());
}

#[tokio::test]
async fn a_status_writer_moves_nothing_of_the_servers() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({})).await.unwrap();
    fixture.claim("east", "a").await.unwrap();
    let before = fixture.find("a").await.unwrap();
    let after = fixture
        .change("a", Part::Status, |order| {
            let status = order.status.as_mut().unwrap();
            status.phase = WorkOrderPhase::Succeeded;
            status.completion_time = Some(Time(Timestamp::UNIX_EPOCH));
            status.claim.as_mut().unwrap().fence = Fence(1);
            status.attempts.clear();
            status.results.insert("forged".to_owned(), json!(true));
            status.conditions = vec![
                condition("Complete", "True"),
                condition("example.com/Checked", "True"),
            ];
            order.spec.cancel = Some(CancelRequest::default());
            order.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
        })
        .await
        .unwrap();
    let mut expected = before.clone();
    expected
        .metadata
        .resource_version
        .clone_from(&after.metadata.resource_version);
    expected
        .status
        .as_mut()
        .unwrap()
        .conditions
        .push(condition("example.com/Checked", "True"));
    assert_eq!(after, expected);
    assert_ne!(after.metadata.resource_version, before.metadata.resource_version);
}

#[tokio::test]
async fn a_cancellation_is_asked_for_once() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({})).await.unwrap();
    fixture.claim("east", "a").await.unwrap();
    let cancel = |reason: &'static str| {
        move |order: &mut brokkr_apis::work::v1alpha1::WorkOrder| {
            order.spec.cancel = Some(CancelRequest {
                reason: reason.to_owned(),
            });
        }
    };
    let order = fixture.change("a", Part::Main, cancel("too late")).await.unwrap();
    let status = order.status.unwrap();
    assert_eq!(status.phase, WorkOrderPhase::Cancelling);
    assert_eq!(order.metadata.finalizers, None);
    assert_eq!(status.cancellation.unwrap().reason, "too late");
    let waiting =
        "select count(*) from work.work_orders where cancelling and cancel_deadline > clock_timestamp()";
    assert_eq!(fixture.count(waiting).await, 1);
    assert_eq!(
        invalid_fields(fixture.change("a", Part::Main, cancel("again")).await),
        ["spec.cancel"]
    );
    let wakes = "select count(*) from work.agents where object::json->'status'->>'wake' = '1'";
    assert_eq!(fixture.count(wakes).await, 1);
}
