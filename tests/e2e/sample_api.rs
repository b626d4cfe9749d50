//! The sample API server behind two APIServices: what upstream's conformance test of the aggregator asks
//! of it, then what two versions and a namespace with objects of it ask.

use std::time::Duration;

use brokkr_tests::{Installation, Kubectl, TestNamespace, eventually};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::discovery::{Discovery, Scope};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::sample_server::SampleServer;
use crate::undisturbed;

const LIMIT: Duration = Duration::from_secs(60);

/// The names of the flunders of a namespace.
async fn names(namespace: &TestNamespace) -> Vec<String> {
    let flunders = namespace.list("flunders").await;
    let name = |flunder: &Value| {
        flunder["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    flunders.iter().map(name).collect()
}

async fn raw(kubectl: &Kubectl, path: &str) -> Value {
    let text = kubectl.run(&format!("get --raw {path}")).await.ok();
    serde_json::from_str(&text).expect("JSON")
}

fn flunder(name: &str) -> Value {
    json!({"apiVersion": "wardle.example.com/v1alpha1", "kind": "Flunder",
        "metadata": {"name": name, "labels": {"sample-label": "true"}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn sample_server_does_what_the_conformance_test_of_the_aggregator_asks() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let server = SampleServer::start(installation).await;
    let namespace = TestNamespace::create(installation, "wardle").await;

    by_rest(&server.kubectl, &namespace).await;
    by_kubectl(&namespace).await;
    dynamically(installation.client().await, &namespace.name).await;
    as_api_services(&server).await;
    let log = server.log();
    for flag in ["etcd-servers", "audit-log-path"] {
        assert!(log.contains(&format!("--{flag} is ignored")), "{log}");
    }
}

/// Create, list and delete on paths, as the test does first.
async fn by_rest(kubectl: &Kubectl, namespace: &TestNamespace) {
    let path = format!(
        "/apis/wardle.example.com/v1alpha1/namespaces/{}/flunders",
        namespace.name
    );
    let create = format!("create --raw {path} -f -");
    let created = kubectl
        .run_with_input(&create, &flunder("rest-flunder").to_string())
        .await
        .ok();
    assert!(created.contains("\"rest-flunder\""), "{created}");
    let list = raw(kubectl, &path).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list:#}");
    assert_eq!(list["items"][0]["metadata"]["labels"]["sample-label"], "true");
    kubectl
        .run(&format!("delete --raw {path}/rest-flunder"))
        .await
        .ok();
    assert_eq!(raw(kubectl, &path).await["items"], json!([]));
}

/// Create, get, apply, explain, delete, and delete of a collection.
async fn by_kubectl(namespace: &TestNamespace) {
    namespace.create_objects(&flunder("one").to_string()).await.ok();
    namespace.create_objects(&flunder("two").to_string()).await.ok();
    let shown = namespace.kubectl("get flunders").await.ok();
    assert!(shown.starts_with("NAME") && shown.contains("AGE"), "{shown}");
    let dry = namespace
        .kubectl("label flunder one a=b --dry-run=server -o name")
        .await
        .ok();
    assert_eq!(dry.trim(), "flunder.wardle.example.com/one");
    namespace.kubectl("delete flunder one").await.ok();
    assert_eq!(names(namespace).await, ["two"]);
    namespace.create_objects(&flunder("three").to_string()).await.ok();
    namespace.kubectl("delete flunders --all").await.ok();
    assert!(names(namespace).await.is_empty());
}

/// The same by discovery and a client without types.
async fn dynamically(client: Client, namespace: &str) {
    let discovery = Discovery::new(client.clone()).filter(&["wardle.example.com"]);
    let discovery = discovery.run().await.expect("discovery");
    let group = discovery.get("wardle.example.com").expect("the group");
    let (resource, capabilities) = group
        .versioned_resources("v1alpha1")
        .into_iter()
        .find(|(resource, _)| resource.plural == "flunders")
        .expect("flunders");
    assert!(capabilities.scope == Scope::Namespaced);

    let flunders: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let body = DynamicObject::new("dynamic-flunder", &resource);
    flunders
        .create(&PostParams::default(), &body)
        .await
        .expect("it is created");
    assert_eq!(count(&flunders).await, 1);
    flunders
        .delete("dynamic-flunder", &DeleteParams::default())
        .await
        .expect("it is deleted");
    assert_eq!(count(&flunders).await, 0);
}

async fn count(flunders: &Api<DynamicObject>) -> usize {
    let list = flunders.list(&ListParams::default()).await;
    list.expect("a list").items.len()
}

/// Discovery and OpenAPI of the cluster hold the group; the APIServices can be read, changed and deleted.
async fn as_api_services(server: &SampleServer) {
    let kubectl = &server.kubectl;
    let group = raw(kubectl, "/apis/wardle.example.com").await;
    assert_eq!(group["preferredVersion"]["version"], "v1beta1");
    for version in ["v1alpha1", "v1beta1"] {
        let document = server.described(version).await;
        assert!(document.contains(&format!("com.example.wardle.{version}.Flunder")));
    }
    let status = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.wardle.example.com/status";
    let conditions = &raw(kubectl, status).await["status"]["conditions"];
    assert_eq!(
        (&conditions[0]["type"], &conditions[0]["status"]),
        (&json!("Available"), &json!("True"))
    );
    let patch =
        r#"patch apiservice v1alpha1.wardle.example.com --type=merge -p {"spec":{"versionPriority":400}}"#;
    kubectl.run(patch).await.ok();
    eventually("c111: the other version is preferred", LIMIT, || async {
        let group = raw(kubectl, "/apis/wardle.example.com").await;
        (group["preferredVersion"]["version"] == "v1alpha1").then_some(())
    })
    .await;
    kubectl.run("delete apiservice -l sample=wardle").await.ok();
    eventually("the group is gone", LIMIT, || async {
        let groups = kubectl.run("get --raw /apis/wardle.example.com").await;
        (!groups.success).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c111_both_versions_of_the_sample_api_are_of_the_same_objects() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let _server = SampleServer::start(installation).await;
    let namespace = TestNamespace::create(installation, "wardle-versions").await;
    let old = json!({"apiVersion": "wardle.example.com/v1alpha1", "kind": "Flunder",
        "metadata": {"name": "old"}, "spec": {"reference": "f", "referenceType": "Fischer"}});
    let new = json!({"apiVersion": "wardle.example.com/v1beta1", "kind": "Flunder",
        "metadata": {"name": "new"}, "spec": {"flunderReference": "old", "referenceType": "Flunder"}});
    for object in [&old, &new] {
        namespace.create_objects(&object.to_string()).await.ok();
    }

    for (name, alpha, beta) in [
        (
            "old",
            old["spec"].clone(),
            json!({"fischerReference": "f", "referenceType": "Fischer"}),
        ),
        (
            "new",
            json!({"reference": "old", "referenceType": "Flunder"}),
            new["spec"].clone(),
        ),
    ] {
        let get = async |version: &str| {
            namespace
                .get(&format!("flunders.{version}.wardle.example.com"), name)
                .await
        };
        let (one, other) = (
            get("v1alpha1").await.expect("v1alpha1"),
            get("v1beta1").await.expect("v1beta1"),
        );
        assert_eq!((&one["spec"], &other["spec"]), (&alpha, &beta));
        assert_eq!(one["metadata"], other["metadata"]);
    }
    let explained = namespace
        .kubectl("explain flunder.spec --api-version=wardle.example.com/v1alpha1")
        .await
        .ok();
    assert!(
        explained.contains("reference\t") && !explained.contains("flunderReference"),
        "{explained}"
    );
    let edited =
        r#"patch flunders.v1alpha1.wardle.example.com old --type=merge -p {"spec":{"reference":"g"}}"#;
    namespace.kubectl(edited).await.ok();
    let stored = namespace
        .get("flunders.v1beta1.wardle.example.com", "old")
        .await
        .expect("v1beta1");
    assert_eq!(stored["spec"]["fischerReference"], "g");
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_holding_flunders_is_deleted_with_them() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let server = SampleServer::start(installation).await;
    let namespace = TestNamespace::create(installation, "wardle-going").await;
    for name in ["one", "two", "three"] {
        namespace.create_objects(&flunder(name).to_string()).await.ok();
    }

    server
        .kubectl
        .run(&format!("delete namespace {} --timeout=120s", namespace.name))
        .await
        .ok();
    let everywhere = server.kubectl.run("get flunders -A -o name").await.ok();
    assert_eq!(everywhere, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn c041_sample_server_asks_kube_apiserver_who_may() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let server = SampleServer::start(installation).await;
    let namespace = TestNamespace::create(installation, "wardle-access").await;
    let account = installation.kubectl_as(&namespace.name, "builder-sa").await;
    let get = format!("get flunders -n {}", namespace.name);
    let error = account.run(&get).await.err();
    assert!(error.contains("forbidden"), "{error}");

    // Without kube-apiserver in between, the server asks for token and permission itself.
    let token = namespace.kubectl("create token builder-sa").await.ok();
    let path = format!(
        "/apis/wardle.example.com/v1beta1/namespaces/{}/flunders",
        namespace.name
    );
    assert_eq!(server.get(&path, token.trim()).await, None);
    assert_eq!(server.get(&path, "").await, None);
    let binding = format!(
        "create rolebinding wardlers --clusterrole {}-wardler --serviceaccount {}:builder-sa",
        server.namespace, namespace.name
    );
    namespace.kubectl(&binding).await.ok();
    let list = eventually("the permission works", LIMIT, || server.get(&path, token.trim())).await;
    assert!(list.contains("FlunderList"), "{list}");
    account.run(&get).await.ok();
}
