//! The agent's accounts: it does all it has to with the shipped roles, and uses what they grant.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use brokkr_tests::rights::{Right, asked, granted, refused, requests, right};
use brokkr_tests::{Installation, TestNamespace, eventually};
use serde_json::{Value, json};

use crate::main_job::entry_of;
use crate::undisturbed;

const LIMIT: Duration = Duration::from_secs(120);

/// What the tests below do not bring about.
const RARE: &[(&str, &str, &str)] = &[
    // A run is found again by an agent that was restarted.
    ("shipwright.io", "buildruns", "get"),
    // A Build that Shipwright rejected is made anew.
    ("shipwright.io", "builds", "delete"),
    // The executor of a BuildRun outlives it, or is a PipelineRun.
    ("tekton.dev", "taskruns", "patch"),
    ("tekton.dev", "pipelineruns", "get"),
    ("tekton.dev", "pipelineruns", "patch"),
    // As ConfigMaps. That kube-apiserver creates what is applied needs the verb, and is no request.
    ("", "persistentvolumeclaims", "create"),
    ("", "persistentvolumeclaims", "patch"),
    ("", "configmaps", "create"),
    ("shipwright.io", "builds", "create"),
    // The claim protocol has more verbs than our agent uses when nothing goes wrong.
    ("work.brokkr.io", "agents", "get"),
    ("work.brokkr.io", "workorders/complete", "create"),
    ("work.brokkr.io", "workorders/claim", "create"),
    ("work.brokkr.io", "workorders/renew", "create"),
    ("work.brokkr.io", "workorders/release", "create"),
    ("work.brokkr.io", "workorders/log", "create"),
];

/// What the agent's processes have asked for, not people with their tokens; of namespaced things, those in
/// this namespace.
fn by_the_agent(installation: &Installation, namespace: &str) -> Vec<Value> {
    let log = installation.directory().join("control-plane/logs/audit.log");
    requests(&log, |request| {
        let user = request["user"]["username"].as_str().unwrap_or_default();
        let of_agent = [
            "system:serviceaccount:brokkr-system:brokkr-agent",
            "system:serviceaccount:brokkr-agents:local",
        ];
        let place = &request["objectRef"]["namespace"];
        let by_kubectl = request["userAgent"]
            .as_str()
            .is_some_and(|agent| agent.starts_with("kubectl"));
        of_agent.contains(&user) && !by_kubectl && (place.is_null() || place == namespace)
    })
}

/// Everything that the roles of the agent grant, on the hub and in its cluster.
fn all_granted() -> BTreeSet<Right> {
    let cluster = include_str!("../../apiservice/agent/rbac.yaml");
    let hub = include_str!("../../apiservice/roles-agent.yaml").replace("${AGENT_NAME}", "local");
    [
        granted(cluster, "brokkr-agent-runs"),
        granted(cluster, "brokkr-runner"),
        granted(&hub, "brokkr-agent:local"),
        granted(&hub, "brokkr-agent-orders"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_is_refused_nothing_and_uses_what_it_is_granted() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "rights").await;

    // Given an order that brings its Build along and succeeds,
    let build = json!({"apiVersion": "shipwright.io/v1beta1", "kind": "Build", "metadata": {"name": "carried"},
        "spec": {"source": {"type": "Git", "git": {"url": "https://github.com/shipwright-io/sample-go"}},
            "strategy": {"name": "buildah", "kind": "ClusterBuildStrategy"},
            "output": {"image": "registry.example.com/a/b:latest"}}});
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
    namespace
        .order("carried", "carried", json!({"manifests": [settings, build]}))
        .await;
    let entry = entry_of(&namespace, "carried", LIMIT).await;
    assert_eq!(entry["status"]["outcome"], "Succeeded", "{entry:#}");

    // and one that is cancelled while it runs,
    namespace.play(&[("hanging", json!({"outcome": "hang"}))]).await;
    namespace.build("hanging").await;
    namespace.order("hanging", "hanging", json!({})).await;
    eventually("the build runs", LIMIT, || async {
        let order = namespace.get("workorder", "hanging").await?;
        (order["status"]["phase"] == "Running").then_some(())
    })
    .await;
    namespace
        .kubectl("delete workorder hanging --wait=false")
        .await
        .ok();
    let entry = entry_of(&namespace, "hanging", LIMIT).await;
    assert_eq!(entry["status"]["outcome"], "Cancelled", "{entry:#}");

    // then nothing was refused, and everything granted was used but for what is rare.
    let rare: BTreeSet<Right> = RARE
        .iter()
        .map(|(group, resource, verb)| right(group, resource, verb))
        .collect();
    let unknown: Vec<_> = rare.difference(&all_granted()).cloned().collect();
    assert!(unknown.is_empty(), "rare, and not granted: {unknown:?}");
    let deadline = Instant::now() + LIMIT;
    loop {
        let requests = by_the_agent(installation, &namespace.name);
        let denied = refused(&requests);
        assert!(denied.is_empty(), "{denied:#?}");
        let used: BTreeSet<Right> = asked(&requests).union(&rare).cloned().collect();
        let idle: Vec<_> = all_granted().difference(&used).cloned().collect();
        if idle.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "granted and not used: {idle:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
