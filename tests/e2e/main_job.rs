//! The main job: a Build and its order, to the entry in the log.

use std::time::Duration;

use brokkr_tests::{Installation, TestNamespace, eventually};
use serde_json::{Value, json};

use crate::undisturbed;

/// Waits for the one log entry of an order.
pub(crate) async fn entry_of(namespace: &TestNamespace, order: &str, limit: Duration) -> Value {
    eventually(&format!("order {order} has a log entry"), limit, || async {
        namespace.entries(order).await.into_iter().next()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn build_ends_in_the_log_with_the_digest_its_run_reported() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "main-job").await;
    for (build, digest) in [("first", "sha256:1111"), ("second", "sha256:2222")] {
        // Given a build that will report this digest,
        let outcome = json!({"outcome": "success", "digest": digest, "size": "1234", "commitSha": "abc123"});
        namespace.play(&[(build, outcome)]).await;
        namespace.build(build).await;

        // when an order runs it,
        namespace.order(build, build, json!({})).await;
        let entry = entry_of(&namespace, build, Duration::from_secs(60)).await;

        // then the entry holds what the run reported.
        assert_eq!(entry["status"]["outcome"], "Succeeded", "{entry:#}");
        assert_eq!(entry["status"]["results"]["imageDigest"], digest, "{entry:#}");
        assert_eq!(entry["status"]["results"]["commitSha"], "abc123", "{entry:#}");
        assert_eq!(entry["status"]["agent"], "local");
        assert_eq!(entry["status"]["attempts"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sample_of_two_documents_runs_as_it_is() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "sample").await;
    let sample = include_str!("../../docs/samples/build.yaml").replace("team-a", &namespace.name);

    let created = namespace.create_objects(&sample).await.ok();

    assert!(
        created.contains("build.shipwright.io/my-app-build created"),
        "{created}"
    );
    let order = created
        .lines()
        .find_map(|line| line.strip_prefix("workorder.work.brokkr.io/"));
    let order = order
        .and_then(|line| line.split(' ').next())
        .expect("the order's name")
        .to_owned();
    namespace
        .kubectl(&format!(
            "wait workorder/{order} --for=condition=Complete --timeout=60s"
        ))
        .await
        .ok();
    let entry = entry_of(&namespace, &order, Duration::from_secs(5)).await;
    let digest = entry["status"]["results"]["imageDigest"]
        .as_str()
        .unwrap_or_default();
    assert!(digest.starts_with("sha256:"), "{entry:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_travel_with_the_order_and_are_applied_before_the_run() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "manifests").await;
    let build = json!({"apiVersion": "shipwright.io/v1beta1", "kind": "Build", "metadata": {"name": "carried"},
        "spec": {"source": {"type": "Git", "git": {"url": "https://github.com/shipwright-io/sample-go"}},
            "strategy": {"name": "buildah", "kind": "ClusterBuildStrategy"},
            "output": {"image": "registry.example.com/a/b:latest"}}});
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}});

    namespace
        .order("carried", "carried", json!({"manifests": [settings, build]}))
        .await;

    let entry = entry_of(&namespace, "carried", Duration::from_secs(60)).await;
    assert_eq!(entry["status"]["outcome"], "Succeeded", "{entry:#}");
    assert!(namespace.get("configmap", "settings").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_reports_the_engines_of_its_cluster() {
    let _running = undisturbed().await;
    let kubectl = Installation::shared().await.kubectl();
    let status = eventually("the agent has reported", Duration::from_secs(90), || async {
        let agent = kubectl.run("get agent local -o json").await.ok();
        let agent: Value = serde_json::from_str(&agent).expect("JSON");
        agent["status"]["capabilities"]
            .is_object()
            .then(|| agent["status"].clone())
    })
    .await;
    let expected = json!({"shipwright": "v1beta1", "tekton": "v1"});
    assert_eq!(status["capabilities"], expected, "{status:#}");
    let conditions = status["conditions"].as_array().expect("conditions");
    let prerequisites = conditions.iter().find(|one| one["type"] == "Prerequisites");
    assert_eq!(
        prerequisites.expect("Prerequisites")["reason"],
        "Installed",
        "{status:#}"
    );
}
