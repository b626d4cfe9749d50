//! Agents of the tests' own, as which the tests call; no process runs behind them.

use brokkr_tests::{Installation, Kubectl, TestNamespace};
use serde_json::json;

/// Creates an Agent with an account of its own in the namespace.
pub(crate) async fn agent(installation: &Installation, namespace: &TestNamespace, name: &str) -> Kubectl {
    namespace
        .kubectl(&format!("create serviceaccount {name}"))
        .await
        .ok();
    let identity = format!("system:serviceaccount:{}:{name}", namespace.name);
    let object = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent", "metadata": {"name": name},
        "spec": {"identity": identity, "workTypes": ["build"]}});
    installation
        .kubectl()
        .run_with_input("create -f -", &object.to_string())
        .await
        .ok();
    installation.kubectl_as(&namespace.name, name).await
}

/// Lets an account claim in its namespace.
pub(crate) async fn may_claim(namespace: &TestNamespace, account: &str) {
    let command = format!(
        "create rolebinding claims-{account} --clusterrole brokkr-agent-orders --serviceaccount {}:{account}",
        namespace.name
    );
    namespace.kubectl(&command).await.ok();
}
