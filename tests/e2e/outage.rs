//! The server goes away and comes back: clients go on where they were, and the cluster does what waited.

use std::time::Duration;

use brokkr_tests::{Installation, Part, TestNamespace, eventually};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::ListParams;

use crate::client_go::Scenario;
use crate::disruption;
use crate::kube_rs::Followers;

/// kube-apiserver looks every 30 seconds whether the group is served.
const NOTICED: Duration = Duration::from_secs(90);

/// Within this time of the server's return, deletions of namespaces that waited for it must end.
const LIMIT: Duration = Duration::from_secs(60);

const RUN_LABEL: &str = "example.com/run";

/// Namespaces without anything of ours.
async fn unrelated_namespaces(installation: &Installation) -> String {
    let run = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let kubectl = installation.kubectl();
    for number in 0..3 {
        let namespace = format!("unrelated-{number}-{run}");
        kubectl.run(&format!("create namespace {namespace}")).await.ok();
        kubectl
            .run(&format!("create configmap content -n {namespace}"))
            .await
            .ok();
        kubectl
            .run(&format!("label namespace {namespace} {RUN_LABEL}={run}"))
            .await
            .ok();
    }
    run
}

async fn available(installation: &Installation, wanted: &'static str) {
    let condition = "get apiservice v1alpha1.work.brokkr.io -o jsonpath={.status.conditions[0].status}";
    eventually(
        &format!("the APIService is Available={wanted}"),
        NOTICED,
        || async {
            let output = installation.kubectl().run(condition).await;
            (output.success && output.stdout == wanted).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c300_c305_c306_clients_and_the_deletion_of_namespaces_outlast_an_outage() {
    let _alone = disruption().await;
    let installation = Installation::shared().await;
    let run = unrelated_namespaces(installation).await;
    let namespaces: [TestNamespace; 3] = [
        TestNamespace::create(installation, "outage-go").await,
        TestNamespace::create(installation, "outage-runtime").await,
        TestNamespace::create(installation, "outage-rs").await,
    ];

    // Given clients of every kind that have seen changes,
    let mut go = Scenario::start("follow", installation, &namespaces[0], &[]).await;
    let mut runtime = Scenario::start("reconcile", installation, &namespaces[1], &[]).await;
    let mut followers = Followers::start(installation, &namespaces[2]).await;
    followers.change("a", "b").await;
    go.ready().await;
    runtime.ready().await;

    // when the server ends while namespaces that are not its business are deleted, and kube-apiserver notices,
    installation.stop(Part::Server, "TERM").await;
    installation
        .kubectl()
        .run(&format!("delete namespaces -l {RUN_LABEL}={run} --wait=false"))
        .await
        .ok();
    available(installation, "False").await;

    // then all of it goes on after the server's return.
    installation.start(Part::Server).await;
    let left: Api<Namespace> = Api::all(installation.client().await);
    let gone = async {
        let ours = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
        eventually("the unrelated namespaces are gone", LIMIT, || async {
            left.list(&ours).await.ok()?.items.is_empty().then_some(())
        })
        .await;
    };
    let clients = async {
        available(installation, "True").await;
        tokio::join!(go.go_on(), runtime.go_on(), followers.change("c", "d"));
    };
    tokio::join!(gone, clients);
}
