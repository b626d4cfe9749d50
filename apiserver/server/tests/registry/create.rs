//! What may be created, and how it is stored.

use brokkr_apis::work::v1alpha1::{WorkOrderPhase, conditions};
use generic_apiserver::registry::{RegistryError, RestStorage};
use generic_apiserver::storage::StorageError;
use serde_json::json;

use crate::fixture::{Fixture, TEAM, USER, context, invalid_fields};

#[tokio::test]
async fn a_new_order_waits_with_defaults_and_its_creator() {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.agent("west", &["build"]).await;
    let order = fixture
        .create("a", json!({"workType": "shipwright-build"}))
        .await
        .unwrap();
    assert_eq!(order.spec.work_type, "shipwright-build");
    assert_eq!(order.spec.claim_timeout_seconds, Some(3600));
    let status = order.status.unwrap();
    assert_eq!(
        (status.phase, status.created_by.as_deref()),
        (WorkOrderPhase::Pending, Some(USER))
    );
    assert_eq!(
        (order.metadata.generation, status.observed_generation),
        (Some(1), Some(1))
    );
    let targeted = status.targeted_agents.unwrap();
    assert_eq!(
        (targeted.count, targeted.names),
        (2, vec!["east".to_owned(), "west".to_owned()])
    );
    assert_eq!(status.conditions[0].reason, conditions::AGENT_AVAILABLE);
    assert!(fixture.claim("east", "a").await.is_some());
}

#[tokio::test]
async fn an_order_that_nobody_serves_says_why_it_waits() {
    let fixture = Fixture::new().await;
    let reason = async |name: &str, spec| {
        let status = fixture.create(name, spec).await.unwrap().status.unwrap();
        assert_eq!(status.conditions[0].status, "False");
        status.conditions[0].reason.clone()
    };
    assert_eq!(reason("nobody", json!({})).await, conditions::NO_AGENT_TARGETED);
    fixture.agent("east", &["workflow"]).await;
    assert_eq!(
        reason("unserved", json!({})).await,
        conditions::WORK_TYPE_NOT_SERVED
    );
    let elsewhere = json!({"targets": [{"agentNames": ["west"]}]});
    assert_eq!(
        reason("elsewhere", elsewhere).await,
        conditions::NO_AGENT_TARGETED
    );
    assert_eq!(
        reason("suspended", json!({"suspend": true})).await,
        conditions::SUSPENDED
    );
}

#[tokio::test]
async fn a_secret_is_refused_and_its_place_named() {
    let fixture = Fixture::new().await;
    let manifests = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}},
    ]);
    let fields = invalid_fields(fixture.create("a", json!({"manifests": manifests})).await);
    assert!(
        fields.iter().any(|field| field.starts_with("spec.manifests[1]")),
        "{fields:?}"
    );
    assert!(fixture.find("a").await.is_none());
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let fixture = Fixture::new().await;
    fixture.create("a", json!({})).await.unwrap();
    let again = fixture.create("a", json!({})).await;
    assert!(
        matches!(
            again,
            Err(RegistryError::Storage(StorageError::AlreadyExists { .. }))
        ),
        "{again:?}"
    );
    assert_eq!(
        fixture.count("select count(*) from work.work_order_keys").await,
        1
    );
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let fixture = Fixture::new().await;
    let mut ctx = context(USER);
    ctx.dry_run = true;
    let order = fixture
        .create_as(&ctx, "a", json!({"idempotencyKey": "k"}))
        .await
        .unwrap();
    assert!(order.status.unwrap().targeted_agents.is_some());
    assert!(fixture.find("a").await.is_none());
    assert_eq!(
        fixture.count("select count(*) from work.work_order_keys").await,
        0
    );
}

#[tokio::test]
async fn generated_names_are_drawn() {
    let fixture = Fixture::new().await;
    let body = json!({
        "apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder", "metadata": {"generateName": "run-"},
        "spec": {"workType": "build", "buildRef": {"name": "app"}},
    });
    let object = fixture.orders.decode(body).unwrap().object;
    let created = fixture.orders.create(&context(USER), TEAM, object).await.unwrap();
    assert!(created.metadata.name.unwrap().starts_with("run-"));
}
