//! Programs that die in the middle of a build: it ends in the log, once, with one BuildRun.

use std::time::Duration;

use brokkr_tests::{Installation, Part, TestNamespace, eventually};
use serde_json::{Value, json};

use crate::main_job::entry_of;
use crate::{disruption, undisturbed};

const LIMIT: Duration = Duration::from_secs(120);

/// A build that runs until the test lets it end.
async fn hanging_build(namespace: &TestNamespace, name: &str) {
    hanging_build_of(namespace, name, "Idempotent").await;
}

async fn hanging_build_of(namespace: &TestNamespace, name: &str, side_effects: &str) {
    namespace.play(&[(name, json!({"outcome": "hang"}))]).await;
    namespace.build(name).await;
    namespace
        .order(name, name, json!({"sideEffects": side_effects}))
        .await;
    eventually("the build runs", LIMIT, || async {
        let order = namespace.get("workorder", name).await?;
        (order["status"]["phase"] == "Running").then_some(())
    })
    .await;
}

async fn let_it_end(namespace: &TestNamespace, name: &str) {
    namespace
        .play(&[(name, json!({"outcome": "success", "digest": "sha256:feed"}))])
        .await;
}

/// The one entry, after the build has ended once and one BuildRun did it.
async fn ended_once(namespace: &TestNamespace, name: &str) -> Value {
    let entry = entry_of(namespace, name, LIMIT).await;
    assert_eq!(entry["status"]["outcome"], "Succeeded", "{entry:#}");
    assert_eq!(
        entry["status"]["results"]["imageDigest"], "sha256:feed",
        "{entry:#}"
    );
    assert_eq!(namespace.entries(name).await.len(), 1);
    assert_eq!(namespace.list("buildruns").await.len(), 1, "{entry:#}");
    entry
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_in_the_middle_of_a_build_and_started_again() {
    let _alone = disruption().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "server-kill").await;
    hanging_build(&namespace, "app").await;

    installation.stop(Part::Server, "KILL").await;
    installation.start(Part::Server).await;
    eventually("the API is back", LIMIT, || async {
        namespace.kubectl("get workorders").await.success.then_some(())
    })
    .await;
    let_it_end(&namespace, "app").await;

    let entry = ended_once(&namespace, "app").await;
    assert_eq!(entry["status"]["lostAttempts"], 0, "{entry:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_killed_and_restarted_within_its_lease_adopts_its_run() {
    let _alone = disruption().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "agent-kill").await;
    hanging_build(&namespace, "app").await;

    installation.stop(Part::Agent, "KILL").await;
    installation.start(Part::Agent).await;
    let_it_end(&namespace, "app").await;

    let entry = ended_once(&namespace, "app").await;
    assert_eq!(
        entry["status"]["attempts"].as_array().map(Vec::len),
        Some(1),
        "{entry:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn run_deleted_while_its_agent_was_down_is_not_run_a_second_time() {
    let _alone = disruption().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "run-deleted").await;
    hanging_build_of(&namespace, "app", "NonIdempotent").await;

    installation.stop(Part::Agent, "KILL").await;
    namespace.kubectl("delete buildruns --all").await.ok();
    installation.start(Part::Agent).await;

    let entry = entry_of(&namespace, "app", LIMIT).await;
    assert_eq!(entry["status"]["outcome"], "Failed", "{entry:#}");
    let attempts = entry["status"]["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 1, "{entry:#}");
    assert_eq!(attempts[0]["sourceReason"], "BuildRunDeleted", "{entry:#}");
    assert_eq!(namespace.list("buildruns").await.len(), 0, "{entry:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_restarted_after_its_lease_adopts_the_run_of_its_lost_attempt() {
    let _alone = disruption().await;
    let installation = Installation::shared().await;
    let kubectl = installation.kubectl();
    kubectl
        .run(r#"patch agent local --type=merge -p {"spec":{"leaseSeconds":15}}"#)
        .await
        .ok();
    let namespace = TestNamespace::create(installation, "agent-lost").await;
    hanging_build(&namespace, "app").await;

    installation.stop(Part::Agent, "KILL").await;
    eventually("the attempt is lost", LIMIT, || async {
        let order = namespace.get("workorder", "app").await?;
        (order["status"]["lostAttempts"] == 1).then_some(())
    })
    .await;
    installation.start(Part::Agent).await;
    let_it_end(&namespace, "app").await;

    let entry = ended_once(&namespace, "app").await;
    kubectl
        .run(r#"patch agent local --type=merge -p {"spec":{"leaseSeconds":60}}"#)
        .await
        .ok();
    let attempts = entry["status"]["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2, "{entry:#}");
    assert_eq!(attempts[0]["outcome"], "Lost", "{entry:#}");
    assert_eq!(
        entry["status"]["retryCount"], 0,
        "a lost attempt is not charged to maxRetries"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn run_whose_creation_was_never_answered_is_gone_on_with() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "lost-answer").await;
    namespace.play(&[("app", json!({"outcome": "hang"}))]).await;
    namespace.build("app").await;

    // Given an order whose run is there, though the agent does not know,
    namespace.order("app", "app", json!({"suspend": true})).await;
    let order = namespace.get("workorder", "app").await.expect("the order");
    let run = run_of_first_attempt(&order);
    namespace.create_objects(&run.to_string()).await.ok();

    // when the agent takes it and is told that the run exists,
    namespace
        .kubectl(r#"patch workorder app --type=merge -p {"spec":{"suspend":false}}"#)
        .await
        .ok();
    eventually("the order has its run", LIMIT, || async {
        let order = namespace.get("workorder", "app").await?;
        (order["status"]["buildRunName"] == run["metadata"]["name"]).then_some(())
    })
    .await;
    let_it_end(&namespace, "app").await;

    // then that is the one run of the one attempt.
    let entry = ended_once(&namespace, "app").await;
    let attempts = entry["status"]["attempts"].as_array().map(Vec::len);
    assert_eq!(attempts, Some(1), "{entry:#}");
}

/// The BuildRun that the agent creates for the first attempt of an order.
fn run_of_first_attempt(order: &Value) -> Value {
    let uid = order["metadata"]["uid"].as_str().expect("a uid");
    json!({"apiVersion": "shipwright.io/v1beta1", "kind": "BuildRun",
        "metadata": {"name": format!("wo-{}-a1", &uid.replace('-', "")[..12]),
            "labels": {"work.brokkr.io/order-uid": uid}},
        "spec": {"build": {"name": "app"}, "serviceAccount": "builder-sa"}})
}
