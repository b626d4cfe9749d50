//! Media types, bodies and errors.

use http::Method;
use serde_json::json;

use crate::client::{Call, TABLE, create, get, json_patch, merge_patch, post, put, widget, widgets};

#[tokio::test]
async fn c140_accept_is_ordered_and_406_when_nothing_fits() {
    create("c140", "a").await;
    let path = format!("{}/a", widgets("c140"));
    for accept in [
        "*/*",
        "application/*",
        "text/html;q=0.9, application/json;q=0.1",
        "application/vnd.kubernetes.protobuf,application/json",
    ] {
        let answer = get(&path).accept(accept).send().await;
        assert_eq!(answer.object(200)["kind"], "Widget", "{accept}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    let answer = get(&path).accept(metadata).send().await;
    assert_eq!(answer.object(200)["kind"], "PartialObjectMetadata");
    for accept in [
        "text/html",
        "application/vnd.kubernetes.protobuf",
        "application/json;q=0",
    ] {
        let answer = get(&path).accept(accept).send().await;
        answer.failure(406, "NotAcceptable");
        assert_eq!(answer.header("content-type"), "application/json", "{accept}");
    }
}

#[tokio::test]
async fn c141_unknown_accept_parameters_are_ignored_and_unknown_transforms_skipped() {
    create("c141", "a").await;
    let path = format!("{}/a", widgets("c141"));
    for accept in [
        "application/json; charset=utf-8",
        "application/json;stream=watch;profile=x;sv=1",
        "application/json;as=Poem;g=meta.k8s.io;v=v1,application/json",
        "application/json;as=Table;g=meta.k8s.io;v=v7,application/json",
    ] {
        let answer = get(&path).accept(accept).send().await;
        assert_eq!(answer.object(200)["kind"], "Widget", "{accept}");
    }
    let pretty = get(&path).accept("application/json;pretty=1").send().await;
    assert!(pretty.text.starts_with("{\n"), "{}", pretty.text);
}

#[tokio::test]
async fn c142_bodies_are_json_or_yaml() {
    let path = widgets("c142");
    let yaml = "metadata:\n  name: from-yaml\nspec:\n  size: 3\n";
    let answer = Call::new(Method::POST, &path)
        .body("application/yaml; charset=utf-8", yaml)
        .send()
        .await;
    assert_eq!(answer.object(201)["spec"]["size"], 3);
    let bare = Call::new(Method::POST, &path)
        .body("", widget("bare", json!({})).to_string())
        .send()
        .await;
    bare.object(201);
    for media_type in [
        "application/cbor",
        "application/vnd.kubernetes.protobuf",
        "text/plain",
    ] {
        let answer = Call::new(Method::POST, &path).body(media_type, "{}").send().await;
        let status = answer.failure(415, "UnsupportedMediaType");
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .contains("application/json, application/yaml")
        );
    }
}

#[tokio::test]
async fn c143_patches_are_json_patch_or_merge_patch() {
    create("c143", "a").await;
    let path = format!("{}/a", widgets("c143"));
    merge_patch(&path, json!({"spec": {"size": 2}}))
        .send()
        .await
        .object(200);
    json_patch(
        &path,
        json!([{"op": "replace", "path": "/spec/size", "value": 3}]),
    )
    .send()
    .await
    .object(200);
    for media_type in [
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/json",
        "",
    ] {
        let answer = Call::new(Method::PATCH, &path)
            .body(media_type, "{}")
            .send()
            .await;
        let status = answer.failure(415, "UnsupportedMediaType");
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .contains("application/merge-patch+json")
        );
    }
}

#[tokio::test]
async fn c144_kind_and_version_are_defaulted_and_checked() {
    let path = widgets("c144");
    let created = create("c144", "a").await;
    assert_eq!(
        (&created["kind"], &created["apiVersion"]),
        (&json!("Widget"), &json!("test.example.com/v1"))
    );
    let mut body = widget("b", json!({}));
    body["apiVersion"] = json!("test.example.com/v2");
    let status = post(&path, body.clone()).send().await.failure(400, "BadRequest");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("does not match the expected API version (test.example.com/v1)"),
        "{message}"
    );
    body["apiVersion"] = json!("test.example.com/v1");
    body["kind"] = json!("Rack");
    post(&path, body).send().await.failure(400, "BadRequest");
    for body in ["", "{", "[]", "3", "{} {}"] {
        let answer = Call::new(Method::POST, &path)
            .body("application/json", body)
            .send()
            .await;
        answer.failure(400, "BadRequest");
    }
    let wrong_type = widget("b", json!({"size": "large"}));
    post(&path, wrong_type).send().await.failure(400, "BadRequest");
}

#[tokio::test]
async fn c147_pretty_for_people() {
    create("c147", "a").await;
    let path = format!("{}/a", widgets("c147"));
    let lines = async |call: Call| call.send().await.text.lines().count();
    assert_eq!(lines(get(&path)).await, 1);
    assert!(lines(get(format!("{path}?pretty=true"))).await > 5);
    assert!(lines(get(&path).header("user-agent", "curl/8.0")).await > 5);
    assert_eq!(
        lines(get(format!("{path}?pretty=false")).header("user-agent", "curl/8.0")).await,
        1
    );
}

#[tokio::test]
async fn c149_every_error_is_a_status() {
    let path = widgets("c149");
    let absent = get(format!("{path}/absent")).send().await;
    let status = absent.failure(404, "NotFound");
    let details = json!({"name": "absent", "group": "test.example.com", "kind": "widgets"});
    assert_eq!(status["details"], details);
    assert_eq!(status["message"], "widgets.test.example.com \"absent\" not found");
    assert_eq!(status["metadata"], json!({}));
    let late = get(format!("{path}?resourceVersion=9007199254740000"))
        .send()
        .await;
    let status = late.failure(504, "Timeout");
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    assert_eq!(late.header("retry-after"), "1");
    get(format!("{path}?limit=many"))
        .send()
        .await
        .failure(400, "BadRequest");
    Call::new(Method::POST, "/apis")
        .send()
        .await
        .failure(405, "MethodNotAllowed");
}

#[tokio::test]
async fn c150_unknown_resources_and_unsupported_methods() {
    create("c150", "a").await;
    let collection = widgets("c150");
    let item = format!("{collection}/a");
    for path in [
        "/apis/test.example.com/v1/namespaces/c150/gadgets".to_owned(),
        "/apis/test.example.com/v2/widgets".to_owned(),
        "/apis/other.example.com/v1/widgets".to_owned(),
        "/apis/test.example.com/v1/namespaces/c150/racks".to_owned(),
        "/apis/test.example.com/v1/widgets/a".to_owned(),
        "/nowhere".to_owned(),
        format!("{item}/scale"),
        format!("{item}/status/more"),
    ] {
        get(&path).send().await.failure(404, "NotFound");
    }
    for call in [
        post(&item, json!({})),
        put(&collection, json!({})),
        merge_patch(&collection, json!({})),
        post("/apis/test.example.com/v1/widgets", json!({})),
        Call::new(Method::DELETE, "/apis/test.example.com/v1/widgets"),
        Call::new(Method::DELETE, format!("{item}/status")),
        get(format!("{item}/claim")),
        post(format!("{item}/siblings"), json!({})),
        Call::new(Method::OPTIONS, &item),
    ] {
        let status = call.send().await.failure(405, "MethodNotAllowed");
        assert_eq!(
            status["details"],
            json!({"group": "test.example.com", "kind": "widgets"})
        );
    }
}

#[tokio::test]
async fn c145_objects_in_lists_carry_their_kind() {
    let empty = get(widgets("c145")).send().await;
    assert!(empty.text.contains(r#""items":[]"#), "{}", empty.text);
    create("c145", "a").await;
    let list = get(widgets("c145")).send().await.object(200);
    let item = &list["items"][0];
    assert_eq!(
        (&item["kind"], &item["apiVersion"]),
        (&json!("Widget"), &json!("test.example.com/v1"))
    );
}

#[tokio::test]
async fn c252_errors_are_not_transformed() {
    let answer = get(format!("{}/absent", widgets("c252")))
        .accept(TABLE)
        .send()
        .await;
    answer.failure(404, "NotFound");
}

#[tokio::test]
async fn c067_body_over_the_limit_is_refused_with_both_numbers() {
    let text = "x".repeat(3 * 1024 * 1024);
    let body = widget("large", json!({ "text": text })).to_string();
    let length = body.len();
    let answer = Call::new(Method::POST, widgets("large"))
        .body("application/json", body)
        .send()
        .await;
    let status = answer.failure(413, "RequestEntityTooLarge");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("3145728") && message.contains(&length.to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn large_answers_are_compressed_for_whoever_accepts_it() {
    for name in ["a", "b", "c"] {
        let mut large = widget(name, json!({"size": 1}));
        large["metadata"]["annotations"] = json!({"text": "lorem ipsum ".repeat(5000)});
        post(widgets("large"), large).send().await.object(201);
    }
    let list = |query: &str| get(format!("{}{query}", widgets("large"))).header("accept-encoding", "gzip");

    let plain = get(widgets("large")).send().await;
    let answer = list("").send().await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(answer.header("vary"), "Accept-Encoding");
    assert_eq!(answer.object(200)["items"], plain.object(200)["items"]);
    assert!(
        plain.sent > 128 * 1024 && answer.sent < plain.sent / 10,
        "{}",
        answer.sent
    );

    let small = list("?limit=1").send().await;
    assert_eq!(
        (small.code, small.header("content-encoding")),
        (200, ""),
        "not worth it"
    );
    let mut watch = list("?watch=true").watch().await;
    for _ in 0..3 {
        watch.expect("ADDED").await;
    }
}
