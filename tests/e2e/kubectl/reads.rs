//! What kubectl shows: lists in every form, explanations, raw documents.

use std::time::Duration;

use brokkr_tests::{Installation, TestNamespace, eventually};
use serde_json::json;

use crate::undisturbed;

/// kube-apiserver asks for documents once a minute.
const LIMIT: Duration = Duration::from_secs(180);

/// Five orders that differ in priority and colour; nobody takes them.
async fn five_orders(namespace: &TestNamespace) {
    let orders: Vec<_> = (1..=5)
        .map(|number| {
            let colour = if number % 2 == 0 { "red" } else { "blue" };
            json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder",
                "metadata": {"name": format!("order-{number}"), "labels": {"colour": colour}},
                "spec": {"workType": "build", "buildRef": {"name": "app"}, "priority": 10 - number,
                    "targets": [{"agentNames": ["nobody"]}]}})
            .to_string()
        })
        .collect();
    namespace.create_objects(&orders.join("\n")).await.ok();
}

/// The names a command prints, one a line.
async fn names(namespace: &TestNamespace, command: &str) -> Vec<String> {
    let text = namespace.kubectl(&format!("{command} -o name")).await.ok();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("workorder.work.brokkr.io/"));
    names.map(str::to_owned).collect()
}

fn all() -> Vec<String> {
    (1..=5).map(|number| format!("order-{number}")).collect()
}

async fn lists(namespace: &TestNamespace) {
    five_orders(namespace).await;
    for command in [
        "get workorders",
        "get wo",
        "get workorder.work.brokkr.io",
        "get workorders.v1alpha1.work.brokkr.io",
        "get brokkr",
        "get wo --chunk-size=2",
        "get wo -l colour",
        "get wo --field-selector=spec.workType=build,status.phase=Pending",
        "get wo --field-selector=status.phase!=Succeeded",
    ] {
        assert_eq!(names(namespace, command).await, all(), "{command}");
    }
    for (command, wanted) in [
        ("get wo -l colour=red", vec!["order-2", "order-4"]),
        ("get wo -l colour!=red", vec!["order-1", "order-3", "order-5"]),
        (
            "get wo -l colour=red --field-selector=metadata.name=order-4",
            vec!["order-4"],
        ),
        ("get wo -l !colour", vec![]),
        ("get wo --field-selector=status.phase=Succeeded", vec![]),
        ("get wo order-1 order-2", vec!["order-1", "order-2"]),
    ] {
        assert_eq!(names(namespace, command).await, wanted, "{command}");
    }
    let error = namespace
        .kubectl("get wo --field-selector=spec.nonsense=1")
        .await
        .err();
    assert!(error.contains("spec.nonsense"), "{error}");
    let error = namespace.kubectl("get wo absent").await.err();
    assert!(
        error.contains("workorders.work.brokkr.io \"absent\" not found"),
        "{error}"
    );
}

async fn forms(namespace: &TestNamespace) {
    let short = namespace.kubectl("get wo --no-headers").await.ok();
    let wide = namespace.kubectl("get wo -o wide --no-headers").await.ok();
    let columns = |text: &str| text.lines().map(|line| line.split_whitespace().count()).max();
    assert!(columns(&wide) > columns(&short), "{wide}");
    let labels = namespace.kubectl("get wo order-2 --show-labels").await.ok();
    assert!(labels.contains("colour=red"), "{labels}");
    let yaml = namespace.kubectl("get wo order-1 -o yaml").await.ok();
    assert!(
        yaml.starts_with("apiVersion: work.brokkr.io/v1alpha1\nkind: WorkOrder\n")
            || yaml.contains("\nkind: WorkOrder\n"),
        "{yaml}"
    );
    let sorted = namespace
        .kubectl("get wo --sort-by=.spec.priority -o custom-columns=P:.spec.priority --no-headers")
        .await
        .ok();
    assert_eq!(
        sorted.split_whitespace().collect::<Vec<_>>(),
        ["5", "6", "7", "8", "9"]
    );
    let table = namespace
        .kubectl("get wo --sort-by=.spec.priority --no-headers")
        .await
        .ok();
    assert!(table.starts_with("order-5"), "{table}");
    let everywhere = namespace.kubectl("get wo,wol --all-namespaces").await.ok();
    assert!(everywhere.contains("order-1"), "{everywhere}");
    let path = format!(
        "get --raw /apis/work.brokkr.io/v1alpha1/namespaces/{}/workorders",
        namespace.name
    );
    let raw: serde_json::Value = serde_json::from_str(&namespace.kubectl(&path).await.ok()).expect("JSON");
    assert_eq!(raw["kind"], "WorkOrderList");
    let described = namespace.kubectl("describe wo order-1").await.ok();
    assert!(
        described.contains("Work Type:") && described.contains("NoAgentTargeted"),
        "{described}"
    );
}

async fn explanations(namespace: &TestNamespace) {
    let kind = namespace.kubectl("explain workorders").await.ok();
    for expected in ["WorkOrder", "v1alpha1", "spec", "status"] {
        assert!(kind.contains(expected), "{kind}");
    }
    let field = namespace.kubectl("explain workorder.spec.retryPolicy").await.ok();
    for expected in ["maxRetries", "backoffSeconds", "<integer>"] {
        assert!(field.contains(expected), "{field}");
    }
    let tree = namespace.kubectl("explain wo --recursive").await.ok();
    for expected in ["matchExpressions", "lostAttempts", "resourceVersion"] {
        assert!(tree.contains(expected), "{tree}");
    }
    let error = namespace.kubectl("explain workorder.spec.nonsense").await.err();
    assert!(error.contains("nonsense"), "{error}");
    let resources = namespace
        .kubectl("api-resources --namespaced=true -o wide")
        .await
        .ok();
    let line = resources.lines().find(|line| line.starts_with("workorders "));
    let line = line.expect("workorders are listed");
    for expected in ["wo", "WorkOrder", "deletecollection", "watch"] {
        assert!(line.contains(expected), "{line}");
    }
}

async fn shows_everything(namespace: &TestNamespace) {
    lists(namespace).await;
    forms(namespace).await;
    explanations(namespace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c128_c309_kubectl_lists_explains_and_describes() {
    let _running = undisturbed().await;
    shows_everything(&TestNamespace::create(Installation::shared().await, "reads").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c122_c309_old_kubectl_lists_explains_and_describes() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "reads-old").await;
    shows_everything(&namespace.by(installation.old_kubectl())).await;
}

/// The names of the definitions in the document that kube-apiserver merges from those of all servers, some time after
/// they have come.
async fn definitions_of_the_cluster() -> Vec<String> {
    let kubectl = Installation::shared().await.kubectl();
    eventually("the group is in the cluster's document", LIMIT, || async {
        let text = kubectl.run("get --raw /openapi/v2").await.ok();
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let definitions = document["definitions"].as_object().expect("definitions");
        let names: Vec<String> = definitions.keys().cloned().collect();
        names
            .contains(&"io.brokkr.work.v1alpha1.WorkOrder".to_owned())
            .then_some(names)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn c123_types_of_the_cluster_are_shared_and_not_kept_twice() {
    let _running = undisturbed().await;
    let names = definitions_of_the_cluster().await;
    let kept_twice = names
        .iter()
        .filter(|name| name.starts_with("io.k8s.") && name.contains("_v"));
    // List metadata got a field in 1.36; ours is that of the oldest supported Kubernetes.
    assert_eq!(
        kept_twice.collect::<Vec<_>>(),
        ["io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta_v2"]
    );
}
