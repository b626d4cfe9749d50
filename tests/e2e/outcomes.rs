//! How orders end: retries, permanent failures, spent retries, cancellation.

use std::time::Duration;

use brokkr_tests::{Installation, TestNamespace, eventually};
use serde_json::{Value, json};

use crate::main_job::entry_of;
use crate::undisturbed;

const LIMIT: Duration = Duration::from_secs(90);

/// A failure of the git step that may pass: GitRemoteFailed, retryable.
fn git_unreachable() -> Value {
    json!({"outcome": "fail", "failStep": "source-default", "errorReason": "GitError",
        "errorMessage": "connection refused"})
}

async fn phase(namespace: &TestNamespace, order: &str) -> Option<String> {
    let order = namespace.get("workorder", order).await?;
    order["status"]["phase"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn retryable_failure_is_retried_after_its_backoff_and_succeeds() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "retry").await;
    let mut outcome = git_unreachable();
    outcome["times"] = json!(1);
    outcome["then"] = json!({"outcome": "success"});
    namespace.play(&[("app", outcome)]).await;
    namespace.build("app").await;

    namespace
        .order(
            "app",
            "app",
            json!({"retryPolicy": {"maxRetries": 2, "backoffSeconds": 2}}),
        )
        .await;
    let entry = entry_of(&namespace, "app", LIMIT).await;

    assert_eq!(entry["status"]["outcome"], "Succeeded", "{entry:#}");
    assert_eq!(entry["status"]["retryCount"], 1);
    let attempts = entry["status"]["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["outcome"], "Failed");
    assert_eq!(attempts[0]["reason"], "GitRemoteFailed");
    let ended: jiff::Timestamp = attempts[0]["endedAt"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("a time");
    let again: jiff::Timestamp = attempts[1]["claimedAt"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("a time");
    assert!(
        again.duration_since(ended).as_secs() >= 1,
        "the backoff was not waited for: {entry:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn build_whose_pod_is_deleted_is_tried_again_and_not_taken_for_short_of_memory() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "deleted-pod").await;
    let outcome = json!({"outcome": "hang", "times": 1, "then": {"outcome": "success"}});
    namespace.play(&[("app", outcome)]).await;
    namespace.build("app").await;
    namespace
        .order("app", "app", json!({"retryPolicy": {"backoffSeconds": 1}}))
        .await;
    let pod = eventually("the build's pod runs", LIMIT, || async {
        let mut pods = namespace.list("pods").await;
        pods.retain(|pod| pod["status"]["phase"] == "Running");
        pods.pop()?["metadata"]["name"].as_str().map(str::to_owned)
    })
    .await;

    // With a finalizer it stays to be seen as the kubelet leaves it: killed.
    let finalizers =
        |list: &str| format!(r#"patch pod {pod} --type=merge -p {{"metadata":{{"finalizers":{list}}}}}"#);
    namespace
        .kubectl(&finalizers(r#"["example.com/seen"]"#))
        .await
        .ok();
    namespace
        .kubectl(&format!("delete pod {pod} --wait=false"))
        .await
        .ok();
    let entry = entry_of(&namespace, "app", LIMIT).await;
    namespace.kubectl(&finalizers("null")).await.ok();

    assert_eq!(entry["status"]["outcome"], "Succeeded", "{entry:#}");
    let killed = &entry["status"]["attempts"][0];
    assert_eq!(
        (&killed["reason"], &killed["exitCode"]),
        (&json!("Unknown"), &json!(137)),
        "{entry:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_failure_is_not_retried() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "permanent").await;
    let outcome = json!({"outcome": "fail", "failStep": "source-default",
        "errorReason": "GitRemoteRepositoryNotFound", "errorMessage": "repository not found"});
    namespace.play(&[("app", outcome)]).await;
    namespace.build("app").await;

    namespace
        .order(
            "app",
            "app",
            json!({"retryPolicy": {"maxRetries": 3, "backoffSeconds": 1}}),
        )
        .await;
    let entry = entry_of(&namespace, "app", LIMIT).await;

    assert_eq!(entry["status"]["outcome"], "Failed", "{entry:#}");
    assert_eq!(entry["status"]["class"], "Permanent");
    assert_eq!(entry["status"]["reason"], "GitConfigError");
    assert_eq!(entry["status"]["attempts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn spent_retries_end_in_the_log_with_every_attempt() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "spent").await;
    namespace.play(&[("app", git_unreachable())]).await;
    namespace.build("app").await;

    namespace
        .order(
            "app",
            "app",
            json!({"retryPolicy": {"maxRetries": 2, "backoffSeconds": 1}}),
        )
        .await;
    let entry = entry_of(&namespace, "app", LIMIT).await;

    assert_eq!(entry["status"]["outcome"], "Failed", "{entry:#}");
    let attempts = entry["status"]["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 3, "{entry:#}");
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt["reason"] == "GitRemoteFailed")
    );
    namespace
        .kubectl("wait workorder/app --for=condition=Failed --timeout=5s")
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_of_a_running_build_stops_the_run_and_says_by_whom_and_why() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "cancel").await;
    namespace.play(&[("app", json!({"outcome": "hang"}))]).await;
    namespace.build("app").await;
    namespace.order("app", "app", json!({})).await;
    eventually("the build runs", LIMIT, || async {
        (phase(&namespace, "app").await.as_deref() == Some("Running")).then_some(())
    })
    .await;

    namespace
        .kubectl(r#"patch workorder app --type=merge -p {"spec":{"cancel":{"reason":"superseded"}}}"#)
        .await
        .ok();
    let entry = entry_of(&namespace, "app", LIMIT).await;

    assert_eq!(entry["status"]["outcome"], "Cancelled", "{entry:#}");
    assert_eq!(entry["status"]["cancellation"]["reason"], "superseded");
    assert!(
        !entry["status"]["cancellation"]["requestedBy"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    let runs = namespace.list("buildruns").await;
    assert_eq!(runs.len(), 1);
    assert_eq!(
        runs[0]["status"]["conditions"][0]["reason"], "BuildRunCanceled",
        "{:#}",
        runs[0]
    );
    assert_eq!(phase(&namespace, "app").await.as_deref(), Some("Cancelled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_of_a_waiting_order_is_recorded_at_once() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "waiting").await;
    namespace
        .order("app", "app", json!({"targets": [{"agentNames": ["nobody"]}]}))
        .await;

    namespace
        .kubectl(r#"patch workorder app --type=merge -p {"spec":{"cancel":{"reason":"notneeded"}}}"#)
        .await
        .ok();

    assert_eq!(phase(&namespace, "app").await.as_deref(), Some("Cancelled"));
    let entries = namespace.entries("app").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["status"]["outcome"], "Cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_for_nobody_says_why_it_waits() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "nobody").await;
    namespace
        .order("app", "app", json!({"targets": [{"agentNames": ["nobody"]}]}))
        .await;

    let order = namespace.get("workorder", "app").await.expect("the order");
    let conditions = order["status"]["conditions"].as_array().expect("conditions");
    let schedulable = conditions
        .iter()
        .find(|one| one["type"] == "Schedulable")
        .expect("Schedulable");
    assert_eq!(schedulable["status"], "False", "{order:#}");
    assert_eq!(schedulable["reason"], "NoAgentTargeted", "{order:#}");
}
