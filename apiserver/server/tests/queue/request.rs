//! The subresources: who may ask, and what a refusal says.

use brokkr_apis::work::v1alpha1::{
    AgentClaim, AgentCompletion, AgentCompletionItem, AgentRenewal, AgentRenewalItem, CompletionOutcome,
    Fence, WorkOrderClaim, WorkOrderCompletion, WorkOrderPhase, WorkOrderRelease,
};
use brokkr_apiserver::registry::agent::claim::AgentClaims;
use brokkr_apiserver::registry::agent::complete::AgentCompletions;
use brokkr_apiserver::registry::agent::pending::PendingOrders;
use brokkr_apiserver::registry::agent::renew::AgentRenewals;
use brokkr_apiserver::registry::work_order::claim::WorkOrderClaims;
use brokkr_apiserver::registry::work_order::complete::WorkOrderCompletions;
use brokkr_apiserver::registry::work_order::release::WorkOrderReleases;
use generic_apiserver::registry::{NamedCreater, NamedGetter, RegistryError, RequestContext};
use generic_apiserver::storage::Key;

use crate::ask::context;
use crate::fixture::{Fixture, TEAM};

async fn claim(
    fixture: &Fixture,
    ctx: &RequestContext,
    agent: &str,
    max: i64,
) -> Result<AgentClaim, RegistryError> {
    let mut body = AgentClaim::default();
    body.spec.holder = "p1".to_owned();
    body.spec.max = Some(max);
    AgentClaims::new(fixture.queue.clone())
        .create(ctx, &Key::cluster(agent), body)
        .await
}

async fn claim_named(
    fixture: &Fixture,
    ctx: &RequestContext,
    agent: &str,
    name: &str,
) -> Result<WorkOrderClaim, RegistryError> {
    let mut body = WorkOrderClaim::default();
    body.spec.agent = agent.to_owned();
    body.spec.holder = format!("{agent}-p");
    WorkOrderClaims::new(fixture.queue.clone())
        .create(ctx, &Key::namespaced(TEAM, name), body)
        .await
}

#[tokio::test]
async fn only_the_identity_of_an_agent_claims_for_it() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;

    let refused = claim(&fixture, &context("mallory", vec![""]), "east", 1)
        .await
        .unwrap_err();
    let RegistryError::Forbidden { message, causes } = refused else {
        panic!("{refused}")
    };
    assert!(
        message.contains("mallory") && message.contains("spec.identity"),
        "{message}"
    );
    assert_eq!(causes[0].reason, "NotAgentIdentity");
    let refused = claim_named(&fixture, &context("mallory", vec![""]), "east", "one")
        .await
        .unwrap_err();
    assert!(matches!(refused, RegistryError::Forbidden { .. }));
    let absent = claim(&fixture, &context("east", vec![""]), "nobody", 1)
        .await
        .unwrap_err();
    assert!(matches!(absent, RegistryError::NotFound { .. }));
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Pending);
}

#[tokio::test]
async fn batch_claim_covers_the_namespaces_the_caller_may_claim_in() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for namespace in ["a", "b", "c"] {
        let name = format!("in-{namespace}");
        fixture
            .order_with(&name, |order| {
                order.metadata.namespace = Some(namespace.to_owned());
            })
            .await;
    }
    let names = |claim: AgentClaim| {
        claim
            .status
            .unwrap()
            .items
            .into_iter()
            .map(|item| item.name)
            .collect::<Vec<_>>()
    };

    let none = context("east", Vec::new());
    assert!(names(claim(&fixture, &none, "east", 5).await.unwrap()).is_empty());
    let one = context("east", vec!["b"]);
    let pending = PendingOrders::new(fixture.queue.clone())
        .get(&one, &Key::cluster("east"))
        .await
        .unwrap();
    assert_eq!(pending["kind"], "WorkOrderList");
    assert_eq!(pending["items"].as_array().unwrap().len(), 1);
    assert_eq!(names(claim(&fixture, &one, "east", 5).await.unwrap()), ["in-b"]);
    let all = context("east", vec![""]);
    assert_eq!(
        names(claim(&fixture, &all, "east", 5).await.unwrap()),
        ["in-a", "in-c"]
    );
}

#[tokio::test]
async fn refused_claim_is_a_conflict_that_names_holder_and_expiry() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture.order("one").await;
    let granted = claim_named(&fixture, &context("east", vec![""]), "east", "one")
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(granted.attempt, Some(1));

    let refused = claim_named(&fixture, &context("west", vec![""]), "west", "one")
        .await
        .unwrap_err();

    let RegistryError::Conflict { message, causes } = refused else {
        panic!("{refused}")
    };
    assert!(message.contains("held by agent east"), "{message}");
    let value = |reason: &str| {
        causes
            .iter()
            .find(|cause| cause.reason == reason)
            .map(|cause| cause.message.clone())
    };
    assert!(value("Held").is_some());
    assert_eq!(value("Holder").as_deref(), Some("east-p"));
    assert_eq!(value("Fence"), granted.fence.map(|fence| fence.to_string()));
    assert_eq!(
        value("ExpiresAt"),
        granted.expires_at.map(|time| time.0.to_string())
    );
}

#[tokio::test]
async fn items_of_a_batch_succeed_and_fail_alone() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let ctx = context("east", vec![""]);
    let item = claim(&fixture, &ctx, "east", 1)
        .await
        .unwrap()
        .status
        .unwrap()
        .items
        .remove(0);
    assert_eq!(item.code, 201);
    let order = item.order.clone().unwrap();
    let uid = order.metadata.uid.clone().unwrap();

    let mut renewal = AgentRenewal::default();
    renewal.spec.holder = "p1".to_owned();
    let good = AgentRenewalItem {
        namespace: item.namespace.clone(),
        name: item.name.clone(),
        uid: uid.clone(),
        fence: item.fence.unwrap(),
        progress: None,
    };
    let spent = AgentRenewalItem {
        fence: Fence(1),
        ..good.clone()
    };
    let invalid = AgentRenewalItem {
        uid: "not-a-uid".to_owned(),
        ..good.clone()
    };
    renewal.spec.items = vec![spent, invalid, good];
    let answer = AgentRenewals::new(fixture.queue.clone())
        .create(&ctx, &Key::cluster("east"), renewal)
        .await
        .unwrap();
    let status = answer.status.unwrap();
    assert_eq!(
        status.items.iter().map(|item| item.code).collect::<Vec<_>>(),
        [409, 422, 201]
    );
    assert!(status.items[0].details.as_ref().unwrap().causes.is_some());
    assert_eq!(status.claims.len(), 1);

    let mut completion = AgentCompletion::default();
    completion.spec.holder = "p1".to_owned();
    let done = AgentCompletionItem {
        namespace: item.namespace.clone(),
        name: item.name.clone(),
        uid,
        fence: item.fence.unwrap(),
        outcome: CompletionOutcome::Succeeded,
        ..AgentCompletionItem::default()
    };
    let absent = AgentCompletionItem {
        uid: uuid::Uuid::new_v4().to_string(),
        ..done.clone()
    };
    completion.spec.items = vec![absent, done];
    let answer = AgentCompletions::new(fixture.queue.clone())
        .create(&ctx, &Key::cluster("east"), completion)
        .await
        .unwrap();
    let items = answer.status.unwrap().items;
    assert_eq!(items.iter().map(|item| item.code).collect::<Vec<_>>(), [404, 201]);
    assert!(items[1].log_name.is_some());
}

#[tokio::test]
async fn only_an_agent_completes_and_only_operators_force() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    let order = fixture.order("one").await;
    let key = Key::namespaced(TEAM, "one");
    let granted = claim_named(&fixture, &context("east", vec![""]), "east", "one")
        .await
        .unwrap()
        .status
        .unwrap();
    let mut completion = WorkOrderCompletion::default();
    completion.spec.uid = order.metadata.uid.clone().unwrap();
    completion.spec.fence = granted.fence.unwrap();
    completion.spec.outcome = CompletionOutcome::Succeeded;
    let completions = WorkOrderCompletions::new(fixture.queue.clone());
    let refused = completions
        .create(&context("olga", vec![""]), &key, completion)
        .await
        .unwrap_err();
    assert!(matches!(refused, RegistryError::Forbidden { .. }));

    let mut forced = WorkOrderRelease::default();
    forced.spec.uid = order.metadata.uid.unwrap();
    forced.spec.force = true;
    forced.spec.reason = "node is gone".to_owned();
    let releases = WorkOrderReleases::new(fixture.queue.clone());
    let refused = releases
        .create(&context("west", vec![""]), &key, forced.clone())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, RegistryError::Forbidden { .. }),
        "no agent takes another's work"
    );
    let released = releases
        .create(&context("olga", vec![""]), &key, forced)
        .await
        .unwrap();
    assert_eq!(released.status.unwrap().phase, Some(WorkOrderPhase::Pending));
}

#[tokio::test]
async fn waiting_claim_is_answered_when_its_bell_rings() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    let ctx = context("east", vec![""]);
    let mut body = AgentClaim::default();
    body.spec.holder = "p1".to_owned();
    body.spec.wait_seconds = Some(20);
    let claims = AgentClaims::new(fixture.queue.clone());
    let east = Key::cluster("east");

    let (answer, ()) = tokio::join!(claims.create(&ctx, &east, body.clone()), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        fixture.order("one").await;
    });

    assert_eq!(answer.unwrap().status.unwrap().items.len(), 1);
    let mut proxied = ctx.clone();
    proxied.front_proxy = true;
    let begun = std::time::Instant::now();
    assert!(
        claims
            .create(&proxied, &east, body)
            .await
            .unwrap()
            .status
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(10),
        "the front proxy's callers never wait"
    );
}

#[tokio::test]
async fn agent_that_renews_nothing_shows_that_agents_can_reach_us() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .sql("update work.queue_state set heard_at = clock_timestamp() - interval '1 hour'")
        .await;
    let heard =
        "select count(*) from work.queue_state where heard_at > clock_timestamp() - interval '1 minute'";
    let mut renewal = AgentRenewal::default();
    renewal.spec.holder = "p1".to_owned();
    let renewals = AgentRenewals::new(fixture.queue.clone());
    let mut dry = context("east", vec![""]);
    dry.dry_run = true;
    renewals
        .create(&dry, &Key::cluster("east"), renewal.clone())
        .await
        .unwrap();
    assert_eq!(fixture.count(heard).await, 0);

    renewals
        .create(&context("east", vec![""]), &Key::cluster("east"), renewal)
        .await
        .unwrap();

    assert_eq!(fixture.count(heard).await, 1);
}

#[tokio::test]
async fn pending_orders_are_those_that_could_be_claimed() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("going").await;
    fixture
        .order_with("staying", |order| {
            order.metadata.namespace = Some("team-b".to_owned());
        })
        .await;
    fixture.terminate(TEAM);

    let pending = PendingOrders::new(fixture.queue.clone())
        .get(&context("east", vec![""]), &Key::cluster("east"))
        .await
        .unwrap();

    let names: Vec<_> = pending["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["staying"]);
}
