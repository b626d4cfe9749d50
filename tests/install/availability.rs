//! The APIService's condition Available, as kube-apiserver derives it from Service, endpoints and
//! discovery, with the shipped Service and Deployment.
//!
//! The pods are real objects without processes. The test is their kubelet: it reports them ready when the
//! probe that the Deployment declares is answered by the server, which listens on the Service's address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use brokkr_tests::{Kubectl, eventually, free_port};
use serde_json::{Value, json};
use test_postgres::TestPostgres;

use crate::hub::{Hub, add_patches};
use crate::plane::{LIMIT, Plane};
use crate::server::{Server, Setup};

/// An address of the control plane's range for Services, all of which is this machine.
const SERVICE_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 96, 77, 7));

/// The reason of the condition Available, with its status.
async fn available(kubectl: &Kubectl) -> (String, String) {
    let path = "{.status.conditions[?(@.type==\"Available\")].status} {.status.conditions[?(@.type==\"Available\")].reason}";
    let mut command = kubectl.command("get apiservice v1alpha1.work.brokkr.io -o");
    let output = command
        .arg(format!("jsonpath={path}"))
        .output()
        .await
        .expect("kubectl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (status, reason) = text.split_once(' ').unwrap_or_default();
    (status.to_owned(), reason.to_owned())
}

async fn becomes(kubectl: &Kubectl, status: &str, reason: &str) {
    eventually(&format!("Available {status}, {reason}"), LIMIT, || async {
        (available(kubectl).await == (status.to_owned(), reason.to_owned())).then_some(())
    })
    .await;
}

/// The names of the server's pods, bound to the one node.
async fn pods(kubectl: &Kubectl) -> Vec<String> {
    let names = eventually("two pods", LIMIT, || async {
        let command = "get pods -n brokkr-system -l app.kubernetes.io/name=brokkr-apiserver -o name";
        let text = kubectl.run(command).await.ok();
        let names: Vec<_> = text
            .lines()
            .map(|line| line.trim_start_matches("pod/").to_owned())
            .collect();
        (names.len() == 2).then_some(names)
    })
    .await;
    for name in &names {
        let binding = json!({"apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": name, "namespace": "brokkr-system"},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "pod-driver"}});
        let path = format!("/api/v1/namespaces/brokkr-system/pods/{name}/binding");
        kubectl
            .run_with_input(&format!("create --raw {path} -f -"), &binding.to_string())
            .await
            .ok();
    }
    names
}

/// What the kubelet reports of a pod.
async fn report(kubectl: &Kubectl, pod: &str, address: &str, ready: bool) {
    let ready = if ready { "True" } else { "False" };
    let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": ready}]}});
    let command = format!("patch pod {pod} -n brokkr-system --subresource status --type merge -p");
    let mut command = kubectl.command(&command);
    let output = command.arg(status.to_string()).output().await.expect("kubectl");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The path and port that the Deployment's readiness probe asks for.
async fn probe(kubectl: &Kubectl) -> Value {
    let deployment = kubectl
        .run("get deployment brokkr-apiserver -n brokkr-system -o json")
        .await
        .ok();
    let deployment = crate::server::json(&deployment);
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn c011_availability_follows_service_endpoints_and_discovery() {
    let plane = Plane::up("etcd,apiserver,controller-manager,poddriver").await;
    let kubectl = plane.kubectl();
    // The shipped Service at an address where the test may listen.
    let port = free_port(SERVICE_IP);
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: brokkr-apiserver, namespace: brokkr-system}}\nspec:\n  \
         clusterIP: {SERVICE_IP}\n  ports:\n  - $patch: replace\n  \
         - {{name: https, port: {port}, targetPort: https, protocol: TCP}}"
    );
    let api_service = format!(
        "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {{name: v1alpha1.work.brokkr.io}}\n\
         spec: {{service: {{port: {port}}}}}"
    );
    let hub = Hub::create(plane.directory());
    add_patches(&hub.overlay.join("kustomization.yaml"), &[&service, &api_service]);
    hub.prepare(&kubectl).await;
    hub.apply(&kubectl).await;

    // No pod is ready.
    becomes(&kubectl, "False", "MissingEndpoints").await;

    // One is, by what it reports, and nobody answers.
    let pods = pods(&kubectl).await;
    report(&kubectl, &pods[0], "10.1.0.1", true).await;
    becomes(&kubectl, "False", "FailedDiscoveryCheck").await;
    report(&kubectl, &pods[0], "10.1.0.1", false).await;
    becomes(&kubectl, "False", "MissingEndpoints").await;

    // The server runs; its pods become ready when its probe passes.
    let (kubeconfig, _) = plane.account("brokkr-system", "brokkr-apiserver").await;
    let database = TestPostgres::shared()
        .create_database()
        .await
        .expect("a database");
    let server = Server::start(
        &plane,
        &Setup {
            kubeconfig: &kubeconfig,
            database_url: &database.url(),
            address: SocketAddr::new(SERVICE_IP, port),
            certificates: &hub.certificates,
        },
    );
    let authority = std::fs::read_to_string(hub.certificates.join("ca.crt")).expect("a CA");
    let path = probe(&kubectl).await["path"].as_str().expect("a path").to_owned();
    eventually("the readiness probe passes", LIMIT, || async {
        (server.status(&authority, &path).await? == 200).then_some(())
    })
    .await;
    report(&kubectl, &pods[0], "10.1.0.1", true).await;
    becomes(&kubectl, "True", "Passed").await;
    kubectl.run("get workorders -A").await.ok();

    // Of two, one may go.
    report(&kubectl, &pods[1], "10.1.0.2", true).await;
    report(&kubectl, &pods[0], "10.1.0.1", false).await;
    let slices = || async {
        let command =
            "get endpointslices -n brokkr-system -o jsonpath={.items[*].endpoints[*].conditions.ready}";
        kubectl.run(command).await.ok()
    };
    eventually("one endpoint is ready", LIMIT, || async {
        let ready = slices().await;
        (ready.contains("true") && ready.contains("false")).then_some(())
    })
    .await;
    becomes(&kubectl, "True", "Passed").await;

    // A port that the Service does not have, and back.
    let other = json!({"spec": {"service": {"port": 444}}});
    patch(&kubectl, "apiservice v1alpha1.work.brokkr.io", &other).await;
    becomes(&kubectl, "False", "ServicePortError").await;
    patch(
        &kubectl,
        "apiservice v1alpha1.work.brokkr.io",
        &json!({"spec": {"service": {"port": port}}}),
    )
    .await;
    becomes(&kubectl, "True", "Passed").await;

    // A Service that selects nothing has no endpoints of its own.
    patch(
        &kubectl,
        "service brokkr-apiserver -n brokkr-system",
        &json!({"spec": {"selector": null}}),
    )
    .await;
    kubectl
        .run("delete endpointslices --all -n brokkr-system")
        .await
        .ok();
    becomes(&kubectl, "False", "EndpointsNotFound").await;

    // No Service at all; then everything as it was shipped.
    kubectl
        .run("delete service brokkr-apiserver -n brokkr-system")
        .await
        .ok();
    becomes(&kubectl, "False", "ServiceNotFound").await;
    hub.apply(&kubectl).await;
    becomes(&kubectl, "True", "Passed").await;

    // A server that is told to stop is not ready from then on, while it still answers.
    server.terminate();
    eventually("readiness fails or the server is gone", LIMIT, || async {
        (server
            .status(&authority, &path)
            .await
            .is_none_or(|status| status == 500))
        .then_some(())
    })
    .await;
}

async fn patch(kubectl: &Kubectl, object: &str, patch: &Value) {
    let mut command = kubectl.command(&format!("patch {object} --type merge -p"));
    let output = command.arg(patch.to_string()).output().await.expect("kubectl");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
