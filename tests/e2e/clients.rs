//! The clients that controllers are written with: kube-rs here, client-go in `tests/clientgo`.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::{
    BuildReference, TargetTerm, WorkOrder, WorkOrderClaim, WorkOrderClaimSpec, WorkOrderSpec,
};
use brokkr_tests::{Installation, TestNamespace};
use futures::StreamExt;
use kube::Api;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};

use crate::agents::{agent, may_claim};
use crate::undisturbed;

fn order(name: &str, agent: &str) -> WorkOrder {
    let spec = WorkOrderSpec {
        work_type: "build".to_owned(),
        build_ref: Some(BuildReference {
            name: "app".to_owned(),
        }),
        targets: vec![TargetTerm {
            agent_names: vec![agent.to_owned()],
            ..TargetTerm::default()
        }],
        ..WorkOrderSpec::default()
    };
    WorkOrder::new(name, spec)
}

#[tokio::test(flavor = "multi_thread")]
async fn c306_kube_rs_creates_lists_and_watches() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "kube-rs").await;
    let orders: Api<WorkOrder> = Api::namespaced(installation.client().await, &namespace.name);

    let empty = orders.list(&ListParams::default()).await.expect("a list");
    let version = empty
        .metadata
        .resource_version
        .clone()
        .expect("a version of an empty list");
    orders
        .create(&PostParams::default(), &order("one", "nobody"))
        .await
        .expect("it is created");

    let mut events = orders
        .watch(&WatchParams::default(), &version)
        .await
        .expect("a watch")
        .boxed();
    let event = tokio::time::timeout(Duration::from_secs(10), events.next())
        .await
        .expect("in time");
    let event = event.expect("an event").expect("no error");
    assert!(
        matches!(&event, WatchEvent::Added(one) if one.metadata.name.as_deref() == Some("one")),
        "{event:?}"
    );
    let selected = ListParams::default().fields("status.phase=Pending,spec.workType=build");
    assert_eq!(orders.list(&selected).await.expect("a list").items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_claims_as_an_agent() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "kube-rs-claim").await;
    let orders: Api<WorkOrder> = Api::namespaced(installation.client().await, &namespace.name);
    let name = format!("{}-typed", namespace.name);
    agent(installation, &namespace, &name).await;
    may_claim(&namespace, &name).await;
    orders
        .create(&PostParams::default(), &order("one", &name))
        .await
        .expect("it is created");

    let client = installation.client_as(&namespace.name, &name).await;
    let own: Api<WorkOrder> = Api::namespaced(client, &namespace.name);
    let claim = WorkOrderClaim {
        spec: WorkOrderClaimSpec {
            agent: name.clone(),
            holder: "h1".to_owned(),
            ..WorkOrderClaimSpec::default()
        },
        ..WorkOrderClaim::default()
    };
    let answer: WorkOrderClaim = own
        .create_subresource("claim", "one", &PostParams::default(), &claim)
        .await
        .expect("it is claimed");

    let status = answer.status.expect("a status");
    assert_eq!(status.attempt, Some(1));
    let held = orders
        .get("one")
        .await
        .expect("the order")
        .status
        .expect("a status")
        .claim
        .expect("a claim");
    assert_eq!((held.agent, held.fence), (name, status.fence.expect("a fence")));
}

#[tokio::test(flavor = "multi_thread")]
async fn client_go_lists_watches_creates_and_claims() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "client-go").await;
    let name = format!("{}-go", namespace.name);
    agent(installation, &namespace, &name).await;
    may_claim(&namespace, &name).await;

    let output = tokio::process::Command::new("go")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/clientgo"))
        .args(["run", ".", "--namespace", &namespace.name, "--agent", &name])
        .arg("--kubeconfig")
        .arg(installation.directory().join("kubeconfig"))
        .arg("--agent-kubeconfig")
        .arg(installation.account_kubeconfig(&namespace.name, &name).await)
        .output()
        .await
        .expect("go runs");

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
