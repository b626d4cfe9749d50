//! The garbage collector of kube-controller-manager, across the two API servers: objects of the core own
//! orders, and orders own objects of the core.

use std::time::Duration;

use brokkr_tests::{Installation, TestNamespace, eventually};
use serde_json::{Value, json};

use crate::undisturbed;

/// The garbage collector looks for new resources every 30 seconds, so ours may have to wait that long.
const LIMIT: Duration = Duration::from_secs(120);

const HOLD: &str = r#"{"metadata":{"finalizers":["example.com/held"]}}"#;
const LET_GO: &str = r#"{"metadata":{"finalizers":null}}"#;

/// A uid that no object has.
const NOBODY: &str = "7d8f1c52-0000-4000-8000-000000000000";

/// Creates an order that no agent takes; gives its uid.
async fn order(namespace: &TestNamespace, name: &str, owner: Option<Value>) -> String {
    let order = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder",
        "metadata": {"name": name, "ownerReferences": owner.into_iter().collect::<Vec<_>>()},
        "spec": {"workType": "build", "buildRef": {"name": "app"}, "targets": [{"agentNames": ["nobody"]}]}});
    created(namespace, &order).await
}

/// Creates a ConfigMap; gives its uid.
async fn config_map(namespace: &TestNamespace, name: &str, owner: Option<Value>) -> String {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": owner.into_iter().collect::<Vec<_>>()}});
    created(namespace, &object).await
}

async fn created(namespace: &TestNamespace, object: &Value) -> String {
    namespace
        .kubectl_with_input("create -o jsonpath={.metadata.uid} -f -", &object.to_string())
        .await
        .ok()
}

fn owned_by_config_map(name: &str, uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "blockOwnerDeletion": true})
}

fn owned_by_order(name: &str, uid: &str) -> Value {
    json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder", "name": name, "uid": uid,
        "blockOwnerDeletion": true})
}

async fn gone(namespace: &TestNamespace, resource: &str, name: &str) {
    eventually(&format!("{resource} {name} is gone"), LIMIT, || async {
        namespace.get(resource, name).await.is_none().then_some(())
    })
    .await;
}

async fn patch(namespace: &TestNamespace, object: &str, patch: &str) {
    namespace
        .kubectl(&format!("patch {object} --type=merge -p {patch}"))
        .await
        .ok();
}

/// Waits until an object is being deleted and held by this finalizer.
async fn held_by(namespace: &TestNamespace, resource: &str, name: &str, finalizer: &str) {
    eventually(
        &format!("{resource} {name} is held by {finalizer}"),
        LIMIT,
        || async {
            let metadata = namespace.get(resource, name).await?["metadata"].clone();
            let finalizers = metadata["finalizers"].as_array()?;
            (metadata["deletionTimestamp"].is_string() && finalizers.iter().any(|one| one == finalizer))
                .then_some(())
        },
    )
    .await;
}

/// A dependent of a deleted owner, after the garbage collector has let it go.
async fn orphaned(namespace: &TestNamespace, resource: &str, name: &str) {
    let object = namespace.get(resource, name).await.expect("it stays");
    assert!(
        object["metadata"]["ownerReferences"].is_null() && object["metadata"]["deletionTimestamp"].is_null(),
        "{object:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c301_c302_orders_go_with_the_config_map_that_owns_them() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "gc-core-owner").await;
    for owner in ["background", "orphan", "foreground"] {
        let uid = config_map(&namespace, owner, None).await;
        order(&namespace, owner, Some(owned_by_config_map(owner, &uid))).await;
        namespace
            .kubectl(&format!("wait workorder/{owner} --for=create --timeout=5s"))
            .await
            .ok();
    }
    patch(&namespace, "workorder/foreground", HOLD).await;

    // Background: the owner goes at once, the order after it, cancelled by the garbage collector.
    namespace
        .kubectl("delete configmap background --cascade=background")
        .await
        .ok();
    gone(&namespace, "workorder", "background").await;
    let entries = namespace.entries("background").await;
    assert_eq!(entries.len(), 1, "{entries:#?}");
    assert_eq!(
        entries[0]["status"]["cancellation"]["requestedBy"],
        "system:serviceaccount:kube-system:generic-garbage-collector"
    );

    // Orphan: the order stays and has no owner.
    namespace
        .kubectl("delete configmap orphan --cascade=orphan")
        .await
        .ok();
    orphaned(&namespace, "workorder", "orphan").await;

    // Foreground: the owner stays as long as the order does.
    namespace
        .kubectl("delete configmap foreground --cascade=foreground --wait=false")
        .await
        .ok();
    held_by(&namespace, "workorder", "foreground", "example.com/held").await;
    held_by(&namespace, "configmap", "foreground", "foregroundDeletion").await;
    patch(&namespace, "workorder/foreground", LET_GO).await;
    gone(&namespace, "configmap", "foreground").await;
    assert!(namespace.get("workorder", "foreground").await.is_none());
}

/// Deletes orders that own ConfigMaps in each way, with any kubectl.
async fn delete_owning_orders(namespace: &TestNamespace) {
    for owner in ["background", "orphan", "foreground"] {
        let uid = order(namespace, owner, None).await;
        config_map(namespace, owner, Some(owned_by_order(owner, &uid))).await;
    }
    patch(namespace, "configmap/foreground", HOLD).await;

    namespace
        .kubectl("delete workorder background --cascade=background")
        .await
        .ok();
    gone(namespace, "configmap", "background").await;

    // kubectl waits until the order is gone, which it is once its dependents have been let go.
    namespace
        .kubectl("delete workorder orphan --cascade=orphan --timeout=100s")
        .await
        .ok();
    orphaned(namespace, "configmap", "orphan").await;

    namespace
        .kubectl("delete workorder foreground --cascade=foreground --wait=false")
        .await
        .ok();
    held_by(namespace, "configmap", "foreground", "example.com/held").await;
    held_by(namespace, "workorder", "foreground", "foregroundDeletion").await;
    patch(namespace, "configmap/foreground", LET_GO).await;
    gone(namespace, "workorder", "foreground").await;
    assert!(namespace.get("configmap", "foreground").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn c301_c302_c309_config_maps_go_with_the_order_that_owns_them() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "gc-order-owner").await;
    delete_owning_orders(&namespace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c301_c302_c309_old_kubectl_deletes_with_every_cascade() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "gc-old-kubectl").await;
    delete_owning_orders(&namespace.by(installation.old_kubectl())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c301_c302_objects_of_absent_owners_go_and_those_of_present_owners_stay() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "gc-absent").await;
    let map_uid = config_map(&namespace, "owner", None).await;
    let order_uid = order(&namespace, "owner", None).await;
    order(&namespace, "kept", Some(owned_by_config_map("owner", &map_uid))).await;
    config_map(&namespace, "kept", Some(owned_by_order("owner", &order_uid))).await;

    // Owners that never were, or that have the name of one and not its uid.
    for name in ["absent", "owner"] {
        order(
            &namespace,
            &format!("of-{name}"),
            Some(owned_by_config_map(name, NOBODY)),
        )
        .await;
        config_map(
            &namespace,
            &format!("of-{name}"),
            Some(owned_by_order(name, NOBODY)),
        )
        .await;
    }

    for name in ["of-absent", "of-owner"] {
        gone(&namespace, "workorder", name).await;
        gone(&namespace, "configmap", name).await;
    }
    for resource in ["workorder", "configmap"] {
        let kept = namespace.get(resource, "kept").await.expect("it stays");
        assert!(kept["metadata"]["deletionTimestamp"].is_null(), "{kept:#}");
    }
}
