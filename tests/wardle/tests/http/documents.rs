//! Discovery and OpenAPI of a group with two versions.

use http::Method;
use serde_json::{Value, json};

use crate::server::Server;

const GROUP: &str = "/apis/wardle.example.com";

fn entry<'l>(list: &'l Value, name: &str) -> &'l Value {
    let mut entries = list["resources"].as_array().unwrap().iter();
    entries.find(|entry| entry["name"] == name).unwrap()
}

#[tokio::test]
async fn c111_discovery_lists_the_versions_by_priority() {
    let server = Server::start().await;
    let group = server.client.get(GROUP).await.expect(200);
    let names: Vec<&str> = group["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["version"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["v1beta1", "v1alpha1"]);
    assert_eq!(group["preferredVersion"]["version"], "v1beta1");

    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let call = server
        .client
        .call(Method::GET, "/apis")
        .header("accept", aggregated);
    let aggregated = call.send().await.expect(200);
    let versions = aggregated["items"][0]["versions"].as_array().unwrap();
    let kinds: Vec<Value> = versions
        .iter()
        .map(|version| version["resources"][0]["responseKind"].clone())
        .collect();
    let kind = |version: &str| json!({"group": "wardle.example.com", "version": version, "kind": "Flunder"});
    assert_eq!(kinds, [kind("v1beta1"), kind("v1alpha1")]);
}

#[tokio::test]
async fn c111_versions_of_a_resource_have_one_storage_version_hash() {
    let server = Server::start().await;
    let alpha = server.client.get(&format!("{GROUP}/v1alpha1")).await.expect(200);
    let beta = server.client.get(&format!("{GROUP}/v1beta1")).await.expect(200);
    assert_eq!(
        entry(&alpha, "flunders"),
        entry(&beta, "flunders"),
        "same names, verbs, scope and hash"
    );
    let hash = |name| entry(&alpha, name)["storageVersionHash"].as_str().unwrap();
    assert_ne!(hash("flunders"), hash("fischers"));
    assert_eq!(entry(&alpha, "fischers/bump")["kind"], "FlunderBump");
    assert_eq!(beta["resources"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn c111_openapi_describes_each_version_on_its_own() {
    let server = Server::start().await;
    let index = server.client.get("/openapi/v3").await.expect(200);
    for (version, field, other) in [
        ("v1alpha1", "reference", "flunderReference"),
        ("v1beta1", "flunderReference", "reference"),
    ] {
        let path = format!("apis/wardle.example.com/{version}");
        let url = index["paths"][&path]["serverRelativeURL"].as_str().unwrap();
        let document = server.client.get(url).await.expect(200);
        let name = format!("com.example.wardle.{version}.FlunderSpec");
        let properties = &document["components"]["schemas"][&name]["properties"];
        assert!(
            properties[field].is_object() && properties[other].is_null(),
            "{properties}"
        );
        assert!(document["paths"][format!("/{path}/namespaces/{{namespace}}/flunders")]["post"].is_object());
    }
    let whole = server.client.get("/openapi/v2").await.expect(200);
    for version in ["v1alpha1", "v1beta1"] {
        let name = format!("com.example.wardle.{version}.Flunder");
        let kinds = &whole["definitions"][&name]["x-kubernetes-group-version-kind"];
        assert_eq!(kinds[0]["version"], version);
    }
}
