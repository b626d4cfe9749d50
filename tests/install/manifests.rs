//! The shipped manifests on a real kube-apiserver: taken as they are, twice; pods admitted by the
//! restricted Pod Security Standard.

use brokkr_tests::eventually;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::hub::Hub;
use crate::plane::{LIMIT, Plane, repository};
use crate::server::json;

const COMPONENTS: &str = "etcd,apiserver,controller-manager,poddriver";

/// A control plane with both overlays applied, the hub's after a dry run; shared, and changed by nobody.
struct Installed {
    plane: Plane,
    hub: Hub,
    dry_run: String,
    before: String,
}

async fn installed() -> &'static Installed {
    static INSTALLED: OnceCell<Installed> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let plane = Plane::beside_others(COMPONENTS).await;
            let kubectl = plane.kubectl();
            let hub = Hub::create(plane.directory());
            hub.prepare(&kubectl).await;
            let overlay = hub.overlay.display();
            let dry_run = kubectl
                .run(&format!("apply -k {overlay} --dry-run=server"))
                .await
                .ok();
            let before = kubectl.run("get deployments,apiservices,services -A").await.ok();
            hub.apply(&kubectl).await;
            let agent = repository().join("docs/samples/agent");
            kubectl
                .run(&format!("apply -k {} --dry-run=server", agent.display()))
                .await
                .ok();
            kubectl.run(&format!("apply -k {}", agent.display())).await.ok();
            Installed {
                plane,
                hub,
                dry_run,
                before,
            }
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn c001_manifests_pass_a_dry_run_are_created_and_do_not_change_when_applied_again() {
    let installed = installed().await;
    let (kubectl, overlay) = (installed.plane.kubectl(), installed.hub.overlay.display());

    // The dry run took every object, and created none.
    let listed = kubectl.run(&format!("kustomize {overlay}")).await.ok();
    let objects = listed.split("\n---\n").count();
    assert!(objects >= 18, "{listed}");
    assert_eq!(
        installed.dry_run.lines().count(),
        objects,
        "{}",
        installed.dry_run
    );
    assert!(
        !installed.before.contains("work.brokkr.io"),
        "{}",
        installed.before
    );
    assert!(
        !installed.before.contains("brokkr-apiserver"),
        "{}",
        installed.before
    );

    // Everything is there, as it was written.
    let present = json(&kubectl.run(&format!("get -k {overlay} -o json")).await.ok());
    assert_eq!(present["items"].as_array().map(Vec::len), Some(objects));
    kubectl.run(&format!("diff -k {overlay}")).await.ok();

    // Applied again, nothing is another.
    installed.hub.apply(&kubectl).await;
    let again = json(&kubectl.run(&format!("get -k {overlay} -o json")).await.ok());
    assert_eq!(generations(&again), generations(&present));
    assert_eq!(generations(&again).len(), objects);
}

/// What tells an object that was written from one that was not.
fn generations(list: &Value) -> Vec<(&Value, &Value)> {
    let items = list["items"].as_array().expect("a list");
    items
        .iter()
        .map(|item| (&item["metadata"]["uid"], &item["metadata"]["generation"]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn base_without_an_overlay_is_refused_at_the_apiservice() {
    let kubectl = installed().await.plane.kubectl();
    let base = repository().join("apiservice");
    let error = kubectl
        .run(&format!("apply -k {} --dry-run=server", base.display()))
        .await
        .err();
    assert!(error.contains("CA_BUNDLE") && error.contains("base64"), "{error}");
}

/// The pods of a Deployment, once all are there.
async fn pods(installed: &Installed, name: &str, count: usize) -> Vec<Value> {
    let kubectl = installed.plane.kubectl();
    eventually("pods are admitted", LIMIT, || async {
        let command = format!("get pods -n brokkr-system -l app.kubernetes.io/name={name} -o json");
        let pods = json(&kubectl.run(&command).await.ok())["items"]
            .as_array()
            .cloned()?;
        (pods.len() == count).then_some(pods)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_admitted_by_the_restricted_standard_that_refuses_them_with_less() {
    let installed = installed().await;
    let kubectl = installed.plane.kubectl();
    for (name, count) in [("brokkr-apiserver", 2), ("brokkr-agent", 1)] {
        // kube-apiserver admitted what the controllers made of the Deployment,
        let pod = pods(installed, name, count).await.remove(0);
        assert_eq!(pod["spec"]["serviceAccountName"], name);

        // and would have admitted none that may run as root.
        let mut lax = serde_json::json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "lax", "namespace": "brokkr-system"}, "spec": pod["spec"]});
        lax["spec"]["securityContext"]["runAsNonRoot"] = Value::Bool(false);
        let error = kubectl
            .run_with_input("create --dry-run=server -f -", &lax.to_string())
            .await
            .err();
        assert!(
            error.contains("violates PodSecurity \"restricted:latest\""),
            "{error}"
        );
    }
    let server = pods(installed, "brokkr-apiserver", 2).await.remove(0);
    assert_eq!(server["spec"]["priority"], 1_000_000_000);
}
