//! What the server tells of itself to whoever may scrape it, with a token that only it reviews.

use brokkr_tests::{Installation, TestNamespace};

use crate::client_go::Scenario;
use crate::undisturbed;

const ROLE: &str = "brokkr-metrics-reader";

#[tokio::test(flavor = "multi_thread")]
async fn c084_prometheus_reads_the_metrics_by_the_role_for_it_and_finds_the_names_of_kube_apiserver() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "metrics").await;
    for account in ["nobody", "prometheus"] {
        namespace
            .kubectl(&format!("create serviceaccount {account}"))
            .await
            .ok();
    }
    let (name, kubectl) = (&namespace.name, installation.kubectl());
    let binding =
        format!("create clusterrolebinding {name} --clusterrole {ROLE} --serviceaccount {name}:prometheus");
    kubectl.run(&binding).await.ok();

    let without_role = installation.kubectl_of_server_as(name, "nobody").await;
    let refusal = without_role.run("get --raw /metrics").await.err();
    assert!(refusal.contains("cannot get path \"/metrics\""), "{refusal}");

    let kubeconfig = installation.server_kubeconfig(name, "prometheus").await;
    let as_prometheus = ["--server-kubeconfig", kubeconfig.to_str().expect("a path")];
    Scenario::start("metrics", installation, &namespace, &as_prometheus)
        .await
        .finish()
        .await;
    kubectl
        .run(&format!("delete clusterrolebinding {name}"))
        .await
        .ok();
}
