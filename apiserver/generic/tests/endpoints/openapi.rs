//! OpenAPI documents.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::{Value, json};

use crate::client::get;

const DOCUMENT: &str = "/openapi/v3/apis/test.example.com/v1";
const COLLECTION: &str = "/apis/test.example.com/v1/namespaces/{namespace}/widgets";

async fn document() -> Value {
    get(DOCUMENT).send().await.object(200)
}

fn item(document: &Value) -> &Value {
    &document["paths"][format!("{COLLECTION}/{{name}}")]
}

#[tokio::test]
async fn c120_root_names_every_version_with_its_hash() {
    let root = get("/openapi/v3").send().await.object(200);
    let paths = root["paths"].as_object().unwrap();
    assert!(paths.contains_key("apis/test.example.com/v1"), "{root}");
    for (key, place) in paths {
        let url = place["serverRelativeURL"].as_str().unwrap();
        let (path, hash) = url.split_once("?hash=").unwrap();
        assert_eq!(path, format!("/openapi/v3/{key}"));
        let answer = get(url).send().await;
        assert_eq!(answer.object(200)["openapi"], "3.0.0", "{key}");
        assert_eq!(hash, sha512(&answer.text), "{key}");
        assert_eq!(answer.header("etag"), format!("\"{hash}\""), "{key}");
    }
}

/// The digits in upper case, as upstream writes them.
fn sha512(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA512, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

#[tokio::test]
async fn c121_document_of_a_version() {
    let answer = get(DOCUMENT).send().await;
    assert_eq!(
        (answer.code, answer.header("content-type")),
        (200, "application/json")
    );
    let tag = answer.header("etag").to_owned();
    let again = get(DOCUMENT).header("if-none-match", &tag).send().await;
    assert_eq!((again.code, again.text.as_str()), (304, ""));
    let protobuf = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
    get(DOCUMENT)
        .accept(protobuf)
        .send()
        .await
        .failure(406, "NotAcceptable");
    let either = get(DOCUMENT)
        .accept(&format!("{protobuf},application/json"))
        .send()
        .await;
    assert_eq!(either.text, answer.text, "the same bytes every time");
}

#[tokio::test]
async fn c121_document_asked_for_by_its_hash_may_be_kept_for_good() {
    let tag = get(DOCUMENT).send().await.header("etag").to_owned();
    let hash = tag.trim_matches('"');
    let answer = get(format!("{DOCUMENT}?hash={hash}")).send().await;
    assert_eq!(answer.header("cache-control"), "public, immutable");
    assert_eq!(answer.header("vary"), "Accept");
    let expires = DateTimeParser::new()
        .parse_timestamp(answer.header("expires"))
        .unwrap();
    let days = expires.duration_since(Timestamp::now()).as_hours() / 24;
    assert!((364..=365).contains(&days), "{days}");

    // Sent all the same: a redirect to the new hash would not come through the aggregator.
    let other = get(format!("{DOCUMENT}?hash=0")).send().await;
    assert_eq!((other.code, &other.text), (200, &answer.text));
    assert_eq!(
        (other.header("cache-control"), other.header("expires")),
        ("public", "")
    );
}

#[tokio::test]
async fn c122_documents_are_compressed_for_whoever_accepts_it() {
    for path in ["/openapi/v2", DOCUMENT] {
        let plain = get(path).send().await;
        assert_eq!(plain.header("content-encoding"), "");
        let answer = get(path).header("accept-encoding", "gzip").send().await;
        assert_eq!(answer.header("content-encoding"), "gzip");
        assert_eq!(answer.text, plain.text);
        assert!(answer.sent * 4 < plain.sent, "{} of {}", answer.sent, plain.sent);
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["Accept-Encoding", "Accept"]);
        assert_eq!(answer.header("etag"), plain.header("etag"));
        let known = get(path)
            .header("accept-encoding", "gzip")
            .header("if-none-match", plain.header("etag"));
        let known = known.send().await;
        assert_eq!(
            (known.code, known.sent, known.header("content-encoding")),
            (304, 0, "")
        );
    }
}

#[tokio::test]
async fn c122_document_of_version_2() {
    let answer = get("/openapi/v2").accept("application/json").send().await;
    let document = answer.object(200);
    assert_eq!(document["swagger"], "2.0");
    let list = &document["paths"][COLLECTION]["get"];
    assert_eq!(
        list["responses"]["200"]["schema"]["$ref"],
        "#/definitions/com.example.test.v1.WidgetList"
    );
    assert!(!answer.text.contains("#/components"), "references of version 3");
    let tag = answer.header("etag").to_owned();
    assert_eq!(
        get("/openapi/v2").header("if-none-match", &tag).send().await.code,
        304
    );
}

#[tokio::test]
async fn c123_canonical_definition_names() {
    let document = document().await;
    let schemas = &document["components"]["schemas"];
    for name in [
        "com.example.test.v1.Widget",
        "com.example.test.v1.WidgetSpec",
        "com.example.test.v1.WidgetClaim",
    ] {
        assert!(schemas[name].is_object(), "{name}");
    }
    for name in [
        "ObjectMeta",
        "ListMeta",
        "Status",
        "DeleteOptions",
        "Patch",
        "Time",
        "WatchEvent",
    ] {
        assert!(
            schemas[format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}")].is_object(),
            "{name}"
        );
    }
    let metadata = &schemas["com.example.test.v1.Widget"]["properties"]["metadata"];
    let target = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    assert_eq!(metadata["allOf"][0]["$ref"], target);
}

#[tokio::test]
async fn c124_kinds_lists_and_bodies_name_their_kind() {
    let document = document().await;
    for kind in ["Widget", "WidgetList", "WidgetClaim", "Rack", "RackList"] {
        let schema = &document["components"]["schemas"][format!("com.example.test.v1.{kind}")];
        let kinds = json!([{"group": "test.example.com", "version": "v1", "kind": kind}]);
        assert_eq!(schema["x-kubernetes-group-version-kind"], kinds, "{kind}");
    }
}

#[tokio::test]
async fn c125_operations_carry_action_kind_and_id() {
    let document = document().await;
    let widget = json!({"group": "test.example.com", "version": "v1", "kind": "Widget"});
    for (method, action, id) in [
        ("get", "get", "readTestExampleComV1NamespacedWidget"),
        ("put", "put", "replaceTestExampleComV1NamespacedWidget"),
        ("patch", "patch", "patchTestExampleComV1NamespacedWidget"),
        ("delete", "delete", "deleteTestExampleComV1NamespacedWidget"),
    ] {
        let operation = &item(&document)[method];
        assert_eq!(operation["x-kubernetes-action"], action);
        assert_eq!(operation["x-kubernetes-group-version-kind"], widget);
        assert_eq!(operation["operationId"], id);
        assert_eq!(operation["tags"], json!(["testExampleCom_v1"]));
    }
    let collection = &document["paths"][COLLECTION];
    assert_eq!(collection["get"]["x-kubernetes-action"], "list");
    assert_eq!(collection["delete"]["x-kubernetes-action"], "deletecollection");
    let claim = &document["paths"][format!("{COLLECTION}/{{name}}/claim")]["post"];
    assert_eq!(claim["x-kubernetes-action"], "post");
    assert_eq!(claim["x-kubernetes-group-version-kind"]["kind"], "WidgetClaim");
}

#[tokio::test]
async fn c126_patch_declares_field_validation() {
    let document = document().await;
    let parameters = item(&document)["patch"]["parameters"].as_array().unwrap();
    let validation = parameters
        .iter()
        .find(|parameter| parameter["name"] == "fieldValidation")
        .unwrap();
    assert_eq!(validation["in"], "query");
    let document = get("/openapi/v2").send().await.object(200);
    let parameters = item(&document)["patch"]["parameters"].as_array().unwrap();
    assert!(
        parameters
            .iter()
            .any(|parameter| parameter["name"] == "fieldValidation")
    );
}

#[tokio::test]
async fn c127_parameters_of_every_operation() {
    let document = document().await;
    let names = |operation: &Value| -> Vec<String> {
        let parameters = operation["parameters"].as_array().unwrap();
        parameters
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let collection = &document["paths"][COLLECTION];
    let list = names(&collection["get"]);
    for name in [
        "allowWatchBookmarks",
        "continue",
        "fieldSelector",
        "labelSelector",
        "limit",
        "resourceVersion",
        "resourceVersionMatch",
        "sendInitialEvents",
        "timeoutSeconds",
        "watch",
    ] {
        assert!(list.iter().any(|listed| listed == name), "{name}");
    }
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let delete = [
        "dryRun",
        "gracePeriodSeconds",
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "orphanDependents",
        "propagationPolicy",
    ];
    let status = &document["paths"][format!("{COLLECTION}/{{name}}/status")];
    let claim = &document["paths"][format!("{COLLECTION}/{{name}}/claim")];
    let of_item = item(&document);
    for put_or_post in [
        &collection["post"],
        &of_item["put"],
        &status["put"],
        &claim["post"],
    ] {
        assert_eq!(names(put_or_post), write, "{put_or_post}");
    }
    for patch in [&of_item["patch"], &status["patch"]] {
        assert_eq!(names(patch), [&write[..], &["force"]].concat(), "{patch}");
    }
    assert_eq!(names(&of_item["delete"]), delete);
    for name in delete.into_iter().chain(["fieldSelector", "labelSelector"]) {
        let of_collection = names(&collection["delete"]);
        assert!(of_collection.iter().any(|listed| listed == name), "{name}");
    }
    assert_eq!(names(item(&document)), ["name", "namespace", "pretty"]);
    let body = &item(&document)["delete"]["requestBody"];
    assert!(body.get("required").is_none() && body["content"]["application/json"].is_object());
}

#[tokio::test]
async fn c127_parameters_have_their_types() {
    let document = document().await;
    let collection = &document["paths"][COLLECTION];
    let operations = [
        &collection["get"],
        &item(&document)["delete"],
        &item(&document)["patch"],
    ];
    for (name, parameter_type) in [
        ("allowWatchBookmarks", "boolean"),
        ("dryRun", "string"),
        ("force", "boolean"),
        ("gracePeriodSeconds", "integer"),
        ("limit", "integer"),
        ("orphanDependents", "boolean"),
        ("propagationPolicy", "string"),
        ("sendInitialEvents", "boolean"),
        ("timeoutSeconds", "integer"),
        ("watch", "boolean"),
    ] {
        let mut all = operations
            .iter()
            .flat_map(|operation| operation["parameters"].as_array().unwrap());
        let parameter = all.find(|parameter| parameter["name"] == name).unwrap();
        let found = (&parameter["in"], &parameter["schema"]["type"]);
        assert_eq!(found, (&json!("query"), &json!(parameter_type)), "{name}");
        assert!(parameter.get("required").is_none(), "{name}");
    }
}

#[tokio::test]
async fn c127_answers_of_every_operation() {
    let document = document().await;
    let paths = &document["paths"];
    let (item, collection) = (item(&document), &paths[COLLECTION]);
    let claim = &paths[format!("{COLLECTION}/{{name}}/claim")];
    for (operation, codes) in [
        (&collection["get"], &["200"][..]),
        (&collection["post"], &["200", "201", "202"]),
        (&collection["delete"], &["200"]),
        (&item["get"], &["200"]),
        (&item["put"], &["200", "201"]),
        (&item["patch"], &["200", "201"]),
        (&item["delete"], &["200", "202"]),
        (&claim["post"], &["200", "201", "202"]),
        (&paths["/apis/test.example.com/v1/widgets"]["get"], &["200"]),
    ] {
        let answers = operation["responses"].as_object().unwrap();
        let found: Vec<_> = answers.keys().map(String::as_str).collect();
        assert_eq!(found, [codes, &["401"]].concat(), "{}", operation["operationId"]);
    }
}

#[tokio::test]
async fn c128_path_keys() {
    let document = document().await;
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    for path in [
        "/apis/test.example.com/v1/widgets",
        COLLECTION,
        "/apis/test.example.com/v1/namespaces/{namespace}/widgets/{name}",
        "/apis/test.example.com/v1/namespaces/{namespace}/widgets/{name}/status",
        "/apis/test.example.com/v1/racks/{name}",
    ] {
        assert!(paths.iter().any(|present| *present == path), "{path}");
    }
}

#[tokio::test]
async fn c129_strategic_merge_patch_is_not_advertised() {
    let document = document().await;
    let content = item(&document)["patch"]["requestBody"]["content"]
        .as_object()
        .unwrap();
    let media_types: Vec<&String> = content.keys().collect();
    assert_eq!(
        media_types,
        ["application/json-patch+json", "application/merge-patch+json"]
    );
}

#[tokio::test]
async fn c130_list_types_reach_the_documents() {
    let parts =
        &document().await["components"]["schemas"]["com.example.test.v1.WidgetSpec"]["properties"]["parts"];
    assert_eq!(parts["x-kubernetes-list-type"], "set");
    let document = get("/openapi/v2").send().await.object(200);
    let size = &document["definitions"]["com.example.test.v1.WidgetSpec"]["properties"]["size"];
    assert_eq!(size.get("default"), None, "version 2 has no defaults");
}

#[tokio::test]
async fn c131_polls_with_the_known_tag_get_no_body() {
    for path in ["/openapi/v2", "/openapi/v3", DOCUMENT] {
        let tag = get(path).send().await.header("etag").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
            let answer = get(path).header("if-none-match", &known).send().await;
            assert_eq!((answer.code, answer.text.as_str()), (304, ""), "{path} {known}");
            assert_eq!(answer.header("etag"), tag);
        }
        assert_eq!(
            get(path).header("if-none-match", "\"other\"").send().await.code,
            200
        );
    }
}
