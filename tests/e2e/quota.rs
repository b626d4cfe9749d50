//! The quota controller of kube-controller-manager, which stops for every quota of the cluster when one
//! informer cannot sync.

use std::time::Duration;

use brokkr_tests::{Installation, TestNamespace, eventually};
use serde_json::{Value, json};

use crate::undisturbed;

/// The quota controller looks for new resources every 30 seconds, so ours may have to wait that long.
const LIMIT: Duration = Duration::from_secs(120);

const ORDERS: &str = "count/workorders.work.brokkr.io";

async fn quota(namespace: &TestNamespace, name: &str, hard: Value) {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}});
    namespace.create_objects(&quota.to_string()).await.ok();
}

/// Waits until the controller has computed this usage.
async fn used(namespace: &TestNamespace, quota: &str, what: &str, wanted: &str) {
    eventually(
        &format!("{quota} says that {wanted} of {what} are used"),
        LIMIT,
        || async {
            let quota = namespace.get("resourcequota", quota).await?;
            (quota["status"]["used"][what] == wanted).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c303_quotas_count_orders_and_an_unrelated_quota_is_computed_and_enforced() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "quota").await;
    for name in ["a", "b"] {
        namespace
            .order(name, "app", json!({"targets": [{"agentNames": ["nobody"]}]}))
            .await;
    }

    // The controller's own informer of orders has synced: it counts them, and sees one go.
    quota(&namespace, "orders", json!({ORDERS: "10"})).await;
    used(&namespace, "orders", ORDERS, "2").await;
    namespace.kubectl("delete workorder a").await.ok();
    used(&namespace, "orders", ORDERS, "1").await;

    // With that informer present, a quota of something else is computed and enforced. The cluster itself
    // keeps one ConfigMap in every namespace.
    quota(&namespace, "unrelated", json!({"configmaps": "2"})).await;
    used(&namespace, "unrelated", "configmaps", "1").await;
    namespace.kubectl("create configmap fits").await.ok();
    let error = namespace.kubectl("create configmap too-many").await.err();
    assert!(error.contains("exceeded quota: unrelated"), "{error}");
    namespace.kubectl("delete configmap fits").await.ok();
    used(&namespace, "unrelated", "configmaps", "1").await;
}
