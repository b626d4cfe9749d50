//! Deletion of namespaces that hold orders in every state an agent can leave them in.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::AgentClaimItem;
use brokkr_tests::{Installation, TestNamespace, eventually};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::agents::BatchAgent;
use crate::undisturbed;

/// How many namespaces of each kind.
const OF_EACH: usize = 7;

/// Within this time all of them must have gone.
const LIMIT: Duration = Duration::from_secs(120);

const RUN_LABEL: &str = "example.com/run";

/// The namespaces of one test run, which carry its label.
struct Fleet {
    installation: &'static Installation,
    run: String,
}

impl Fleet {
    fn names(&self, kind: &str) -> Vec<String> {
        (0..OF_EACH)
            .map(|number| format!("{kind}-{number}-{}", self.run))
            .collect()
    }

    /// Namespaces of one kind, each with an order for this agent.
    fn for_agent(&self, kind: &str, agent: &str) -> Vec<Value> {
        let order = |name: &String| self.order(name, kind, &[json!({"agentNames": [agent]})]);
        let names = self.names(kind);
        names
            .iter()
            .flat_map(|name| [self.namespace(name), order(name)])
            .collect()
    }

    /// Namespaces with a build that runs until it is stopped.
    fn with_builds(&self) -> Vec<Value> {
        let names = self.names("build");
        names.iter().flat_map(|name| self.with_build(name)).collect()
    }

    fn with_build(&self, name: &str) -> Vec<Value> {
        let hang = json!({"default": json!({"outcome": "hang"}).to_string()});
        vec![
            self.namespace(name),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "builder-sa", "namespace": name}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pod-driver", "namespace": name}, "data": hang}),
            TestNamespace::build_object("app", name),
            self.order(name, "build", &[]),
        ]
    }

    fn namespace(&self, name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {RUN_LABEL: self.run}}})
    }

    fn order(&self, namespace: &str, kind: &str, targets: &[Value]) -> Value {
        json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder",
            "metadata": {"name": "app", "namespace": namespace, "labels": {RUN_LABEL: self.run, "kind": kind}},
            "spec": {"workType": "build", "buildRef": {"name": "app"}, "targets": targets}})
    }

    /// Creates everything, the orders last: an agent may take them at once.
    async fn create(&self, objects: &[Value]) {
        let (orders, others): (Vec<_>, Vec<_>) =
            objects.iter().partition(|object| object["kind"] == "WorkOrder");
        let builds = self.names("build");
        let consents = builds.iter().map(|name| TestNamespace::consent(name));
        let others = others.iter().map(ToString::to_string);
        let orders = orders.iter().map(ToString::to_string);
        let text = others
            .chain(consents)
            .chain(orders)
            .collect::<Vec<_>>()
            .join("\n---\n");
        self.installation
            .kubectl()
            .run_with_input("apply -f -", &text)
            .await
            .ok();
    }

    /// Lets the agent claim the orders of one kind of namespaces, and claims them.
    async fn claim_all(&self, kind: &str, agent: &BatchAgent) -> Vec<AgentClaimItem> {
        for name in self.names(kind) {
            agent
                .serve(&TestNamespace::existing(self.installation, &name))
                .await;
        }
        let mut claims = Vec::new();
        let deadline = tokio::time::Instant::now() + LIMIT;
        // A binding takes a moment to count everywhere.
        while claims.len() < OF_EACH {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} of {OF_EACH} claimed in {LIMIT:?}: {kind}",
                claims.len()
            );
            claims.extend(agent.claim(100).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        claims
    }

    /// The pods of the builds, once each build has one that runs.
    async fn running_pods(&self) -> Vec<String> {
        let pods: Api<Pod> = Api::all(self.installation.client().await);
        let built = ListParams::default().labels("buildrun.shipwright.io/name");
        eventually("every build has a running pod", LIMIT, || async {
            let pods = pods.list(&built).await.ok()?.items;
            let ours = pods.into_iter().filter(|pod| {
                pod.metadata
                    .namespace
                    .as_ref()
                    .is_some_and(|name| name.ends_with(&self.run))
            });
            let running = ours.filter(|pod| {
                pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
            });
            let uids: Vec<_> = running.filter_map(|pod| pod.metadata.uid).collect();
            (uids.len() == OF_EACH).then_some(uids)
        })
        .await
    }

    async fn delete(&self) {
        self.installation
            .kubectl()
            .run(&format!(
                "delete namespaces -l {RUN_LABEL}={} --wait=false",
                self.run
            ))
            .await
            .ok();
    }

    /// Waits until all namespaces are gone; says of those that are not what holds them.
    async fn gone(&self) {
        let namespaces: Api<Namespace> = Api::all(self.installation.client().await);
        let ours = ListParams::default().labels(&format!("{RUN_LABEL}={}", self.run));
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let left = namespaces.list(&ours).await.expect("namespaces").items;
            if left.is_empty() {
                return;
            }
            let held = left.into_iter().map(|one| (one.metadata.name, one.status));
            assert!(
                tokio::time::Instant::now() < deadline,
                "not gone within {LIMIT:?}: {:#?}",
                held.collect::<Vec<_>>()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The log entries of the orders of one kind; their namespaces are gone.
    async fn entries(&self, kind: &str) -> Vec<Value> {
        let command = format!(
            "get workorderlogs -A -l {RUN_LABEL}={},kind={kind} -o json",
            self.run
        );
        let text = self.installation.kubectl().run(&command).await.ok();
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }
}

/// Keeps the claims alive and confirms every cancel, until all have been confirmed.
async fn live(agent: BatchAgent, mut claims: Vec<AgentClaimItem>) {
    while !claims.is_empty() {
        claims = agent.renew_and_confirm(claims).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c300_twenty_one_namespaces_with_held_orders_end_within_120_seconds() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let run = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let fleet = Fleet { installation, run };
    let (alive, dead) = (
        BatchAgent::register(installation, "alive").await,
        BatchAgent::register(installation, "dead").await,
    );

    // Given a third held by an agent that lives, a third by one that does not, a third with a running build,
    let mut objects = fleet.for_agent("alive", &alive.name);
    objects.extend(fleet.for_agent("dead", &dead.name));
    objects.extend(fleet.with_builds());
    fleet.create(&objects).await;
    let claims = fleet.claim_all("alive", &alive).await;
    fleet.claim_all("dead", &dead).await;
    let pods = fleet.running_pods().await;

    // when all namespaces are deleted,
    let living = tokio::spawn(live(alive, claims));
    fleet.delete().await;

    // then all go in time, with the pods of the builds,
    fleet.gone().await;
    let left = installation.kubectl().run("get pods -A -o yaml").await.ok();
    assert!(pods.iter().all(|uid| !left.contains(uid.as_str())), "{left}");

    // and every order has one entry that says how it ended.
    let living = tokio::time::timeout(LIMIT, living).await.expect("in time");
    living.expect("every cancel was confirmed");
    for (kind, unknown) in [("alive", false), ("dead", true)] {
        let entries = fleet.entries(kind).await;
        assert_eq!(entries.len(), OF_EACH, "{kind}: {entries:#?}");
        for entry in entries {
            let status = &entry["status"];
            assert_eq!(status["outcome"], "Cancelled", "{entry:#}");
            assert_eq!(status["cancellation"]["cause"], "Delete", "{entry:#}");
            assert_eq!(status["outcomeUnknown"] == json!(true), unknown, "{entry:#}");
        }
    }
    let entries = fleet.entries("build").await;
    assert_eq!(entries.len(), OF_EACH, "{entries:#?}");
    for entry in entries {
        // Whichever the agent saw first: the order's end, or that of its pod. Either way the run has ended.
        let status = &entry["status"];
        let ended = status["outcome"] == "Cancelled" || status["reason"] == "NamespaceTerminating";
        assert!(ended && status["outcomeUnknown"].is_null(), "{entry:#}");
    }
}
