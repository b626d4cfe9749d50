//! The agent's accounts: it does all it has to with the shipped roles, and uses what they grant.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use brokkr_tests::rights::{Right, account, asked, granted, refused, requests, right};
use brokkr_tests::{Installation, TestNamespace, eventually};
use serde_json::{Value, json};

use crate::main_job::entry_of;
use crate::undisturbed;

const LIMIT: Duration = Duration::from_secs(120);

/// Whose rights are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Account {
    /// The agent on the hub.
    Hub,
    /// The agent in its cluster, where it looks.
    Cluster,
    /// The account of a namespace that the agent acts as, and writes.
    Runner,
}

use Account::{Cluster, Hub, Runner};

/// What the test below does not bring about.
const RARE: &[(Account, &str, &str, &str)] = &[
    // A run is found again by an agent that was restarted, or whose creation of it was not answered.
    (Cluster, "shipwright.io", "buildruns", "get"),
    // The executor of a BuildRun outlives it, or is a PipelineRun.
    (Cluster, "tekton.dev", "pipelineruns", "get"),
    (Runner, "tekton.dev", "taskruns", "patch"),
    (Runner, "tekton.dev", "pipelineruns", "patch"),
    // A Build that Shipwright rejected is made anew.
    (Runner, "shipwright.io", "builds", "delete"),
    // As ConfigMaps. That kube-apiserver creates what is applied needs the verb, and is no request.
    (Runner, "", "persistentvolumeclaims", "create"),
    (Runner, "", "persistentvolumeclaims", "patch"),
    (Runner, "", "configmaps", "create"),
    (Runner, "shipwright.io", "builds", "create"),
    // The claim protocol has more verbs than our agent uses when nothing goes wrong.
    (Hub, "work.brokkr.io", "agents", "get"),
    (Hub, "work.brokkr.io", "workorders/complete", "create"),
    (Hub, "work.brokkr.io", "workorders/claim", "create"),
    (Hub, "work.brokkr.io", "workorders/renew", "create"),
    (Hub, "work.brokkr.io", "workorders/release", "create"),
    (Hub, "work.brokkr.io", "workorders/log", "create"),
];

/// Namespaces of tests that delete them, and with them the consent to what goes on there.
const GOING: &[&str] = &["build-"];

/// Whose request it is, if one of the agent's processes made it and not a person with its token.
fn of_agent(request: &Value) -> Option<Account> {
    let by_kubectl = request["userAgent"]
        .as_str()
        .is_some_and(|agent| agent.starts_with("kubectl"));
    match account(request) {
        _ if by_kubectl => None,
        "system:serviceaccount:brokkr-agents:local" => Some(Hub),
        "system:serviceaccount:brokkr-system:brokkr-agent" => Some(Cluster),
        other => other.ends_with(":brokkr-runner").then_some(Runner),
    }
}

fn namespace_of(request: &Value) -> &str {
    request["objectRef"]["namespace"].as_str().unwrap_or_default()
}

/// Everything that the roles of the agent grant, on the hub and in its cluster.
fn all_granted() -> BTreeSet<(Account, Right)> {
    let cluster = include_str!("../../apiservice/agent/rbac.yaml");
    let hub = include_str!("../../apiservice/roles-agent.yaml").replace("${AGENT_NAME}", "local");
    let roles = [
        (Cluster, granted(cluster, "brokkr-agent-runs")),
        (Runner, granted(cluster, "brokkr-runner")),
        (Hub, granted(&hub, "brokkr-agent:local")),
        (Hub, granted(&hub, "brokkr-agent-orders")),
    ];
    let keyed =
        |(account, rights): (Account, BTreeSet<Right>)| rights.into_iter().map(move |right| (account, right));
    roles.into_iter().flat_map(keyed).collect()
}

/// What the agent's accounts have used; of namespaced things, those in this namespace.
fn used(requests: &[Value], namespace: &str) -> BTreeSet<(Account, Right)> {
    let here = |request: &&Value| ["", namespace].contains(&namespace_of(request));
    let by = |account: Account| {
        let its = |request: &&Value| of_agent(request) == Some(account);
        let requests: Vec<_> = requests.iter().filter(here).filter(its).cloned().collect();
        asked(&requests).into_iter().map(move |right| (account, right))
    };
    [Hub, Cluster, Runner].into_iter().flat_map(by).collect()
}

/// A build that runs until it is stopped.
async fn hanging(namespace: &TestNamespace, name: &str) {
    namespace.build(name).await;
    namespace
        .order(name, name, json!({"retryPolicy": {"maxRetries": 0}}))
        .await;
    eventually("the build runs", LIMIT, || async {
        let order = namespace.get("workorder", name).await?;
        (order["status"]["phase"] == "Running").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_is_refused_nothing_and_uses_what_it_is_granted() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "rights").await;

    // Given an order that brings its Build along and succeeds,
    let build = TestNamespace::build_object("carried", &namespace.name);
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
    namespace
        .order("carried", "carried", json!({"manifests": [settings, build]}))
        .await;
    let entry = entry_of(&namespace, "carried", LIMIT).await;
    assert_eq!(entry["status"]["outcome"], "Succeeded", "{entry:#}");

    // one that is cancelled while it runs,
    namespace.play(&[("default", json!({"outcome": "hang"}))]).await;
    hanging(&namespace, "cancelled").await;
    namespace
        .kubectl("delete workorder cancelled --wait=false")
        .await
        .ok();
    let entry = entry_of(&namespace, "cancelled", LIMIT).await;
    assert_eq!(entry["status"]["outcome"], "Cancelled", "{entry:#}");

    // and one whose run somebody deletes: that it has ended is seen by what it leaves.
    hanging(&namespace, "bereft").await;
    namespace
        .kubectl("delete buildruns -l work.brokkr.io/order-name=bereft")
        .await
        .ok();
    let entry = entry_of(&namespace, "bereft", LIMIT).await;
    assert_eq!(entry["status"]["outcome"], "Failed", "{entry:#}");
    assert_eq!(
        entry["status"]["attempts"][0]["sourceReason"], "BuildRunDeleted",
        "{entry:#}"
    );
    assert!(entry["status"]["outcomeUnknown"].is_null(), "{entry:#}");

    // then nothing was refused anywhere, and everything granted was used but for what is rare.
    let rare: BTreeSet<_> = RARE
        .iter()
        .map(|(account, group, resource, verb)| (*account, right(group, resource, verb)))
        .collect();
    let unknown: Vec<_> = rare.difference(&all_granted()).cloned().collect();
    assert!(unknown.is_empty(), "rare, and not granted: {unknown:?}");
    let audit_log = installation.directory().join("control-plane/logs/audit.log");
    let deadline = Instant::now() + LIMIT;
    loop {
        let requests = requests(&audit_log, |request| of_agent(request).is_some());
        let mut denied = refused(&requests);
        denied.retain(|request| !GOING.iter().any(|name| namespace_of(request).starts_with(name)));
        assert!(denied.is_empty(), "{denied:#?}");
        let used: BTreeSet<_> = used(&requests, &namespace.name).union(&rare).cloned().collect();
        let idle: Vec<_> = all_granted().difference(&used).cloned().collect();
        if idle.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "granted and not used: {idle:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
