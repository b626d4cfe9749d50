//! Discovery documents.

use serde_json::{Value, json};

use crate::client::get;

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async fn resources() -> Value {
    let list = get("/apis/test.example.com/v1").send().await.object(200);
    assert_eq!(list["kind"], "APIResourceList");
    assert_eq!(list["apiVersion"], "v1");
    assert_eq!(list["groupVersion"], "test.example.com/v1");
    list["resources"].clone()
}

fn named<'r>(resources: &'r Value, name: &str) -> &'r Value {
    resources
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["name"] == name)
        .unwrap()
}

#[tokio::test]
async fn c100_resources_of_a_version() {
    let resources = resources().await;
    let widget = named(&resources, "widgets");
    assert_eq!(widget["singularName"], "widget");
    assert_eq!(widget["namespaced"], true);
    assert_eq!(widget["kind"], "Widget");
    assert_eq!(widget["shortNames"], json!(["wd"]));
    assert_eq!(widget["categories"], json!(["things"]));
    // SHA-256 of "test.example.com/v1/Widget".
    assert_eq!(widget["storageVersionHash"], "Zg2t0Wir22I=");
    assert_eq!(named(&resources, "racks")["namespaced"], false);
}

#[tokio::test]
async fn c101_all_verbs_are_listed_in_order() {
    let verbs = json!([
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch"
    ]);
    assert_eq!(named(&resources().await, "widgets")["verbs"], verbs);
}

#[tokio::test]
async fn c102_subresources_are_entries_of_their_own() {
    let resources = resources().await;
    let status = named(&resources, "widgets/status");
    assert_eq!(status["verbs"], json!(["get", "patch", "update"]));
    assert_eq!(
        (&status["kind"], &status["singularName"]),
        (&json!("Widget"), &json!(""))
    );
    let claim = named(&resources, "widgets/claim");
    assert_eq!(
        (&claim["kind"], &claim["verbs"]),
        (&json!("WidgetClaim"), &json!(["create"]))
    );
    assert_eq!(named(&resources, "widgets/siblings")["verbs"], json!(["get"]));
}

#[tokio::test]
async fn c103_groups_and_one_group() {
    let list = get("/apis").accept("application/json").send().await.object(200);
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("APIGroupList"), &json!("v1"))
    );
    let entry = json!({"groupVersion": "test.example.com/v1", "version": "v1"});
    let group = &list["groups"][0];
    assert_eq!(group["name"], "test.example.com");
    assert_eq!(
        (&group["versions"], &group["preferredVersion"]),
        (&json!([entry]), &entry)
    );

    let group = get("/apis/test.example.com").send().await.object(200);
    assert_eq!(
        (&group["kind"], &group["preferredVersion"]),
        (&json!("APIGroup"), &entry)
    );
    get("/apis/other.example.com")
        .send()
        .await
        .failure(404, "NotFound");
}

#[tokio::test]
async fn c104_aggregated_discovery_by_ordered_accept() {
    for (accept, content_type) in [
        (V2, V2),
        (
            "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io;profile=nopeer,application/json",
            V2,
        ),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        ),
        ("application/json", "application/json"),
    ] {
        let answer = get("/apis").accept(accept).send().await;
        assert_eq!(
            (answer.code, answer.header("content-type")),
            (200, content_type),
            "{accept}"
        );
    }
}

#[tokio::test]
async fn c105_aggregated_discovery_document() {
    let document = get("/apis").accept(V2).send().await.object(200);
    assert_eq!(document["kind"], "APIGroupDiscoveryList");
    assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2");
    let group = &document["items"][0];
    assert_eq!(group["metadata"]["name"], "test.example.com");
    let version = &group["versions"][0];
    assert_eq!(
        (&version["version"], &version["freshness"]),
        (&json!("v1"), &json!("Current"))
    );
    let widget = &version["resources"][0];
    assert_eq!(widget["resource"], "widgets");
    assert_eq!(
        widget["responseKind"],
        json!({"group": "test.example.com", "version": "v1", "kind": "Widget"})
    );
    assert_eq!(
        (&widget["scope"], &widget["singularResource"]),
        (&json!("Namespaced"), &json!("widget"))
    );
    let claim = &widget["subresources"][0];
    assert_eq!(
        (&claim["subresource"], &claim["verbs"]),
        (&json!("claim"), &json!(["create"]))
    );
    assert_eq!(claim["responseKind"]["kind"], "WidgetClaim");
    assert_eq!(version["resources"][1]["scope"], "Cluster");
}

#[tokio::test]
async fn c106_aggregated_discovery_has_an_etag() {
    let answer = get("/apis").accept(V2).send().await;
    let tag = answer.header("etag").to_owned();
    assert_eq!(tag.len(), 130, "128 hexadecimal digits in quotes: {tag}");
    assert_eq!(answer.header("vary"), "Accept");
    let again = get("/apis").accept(V2).header("if-none-match", &tag).send().await;
    assert_eq!((again.code, again.text.as_str()), (304, ""));
    let other = get("/apis")
        .accept(V2)
        .header("if-none-match", "\"other\"")
        .send()
        .await;
    assert_eq!((other.code, other.text), (200, answer.text));
}

#[tokio::test]
async fn c107_plain_list_for_whoever_accepts_neither_form() {
    for accept in [
        "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList",
    ] {
        let list = get("/apis").accept(accept).send().await.object(200);
        assert_eq!(list["kind"], "APIGroupList", "{accept}");
    }
}

#[tokio::test]
async fn c109_index_of_paths() {
    let index = get("/").send().await.object(200);
    let paths = index["paths"].as_array().unwrap();
    for path in ["/apis", "/apis/test.example.com/v1", "/openapi/v3", "/version"] {
        assert!(paths.contains(&json!(path)), "{path}");
    }
}
