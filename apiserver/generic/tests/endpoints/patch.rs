//! Patches.

use http::Method;
use serde_json::json;

use crate::client::{Call, create, get, json_patch, merge_patch, version, widgets};

#[tokio::test]
async fn c210_merge_patch() {
    let first = create("c210", "a").await;
    let path = format!("{}/a", widgets("c210"));
    let patch =
        json!({"metadata": {"labels": {"name": null, "new": "x"}}, "spec": {"size": 4, "parts": ["p"]}});
    let patched = merge_patch(&path, patch).send().await.object(200);
    assert_eq!(patched["metadata"]["labels"], json!({"new": "x"}));
    assert_eq!(
        (&patched["spec"]["size"], &patched["spec"]["parts"]),
        (&json!(4), &json!(["p"]))
    );
    let locked = json!({"metadata": {"resourceVersion": version(&first)}, "spec": {"size": 5}});
    merge_patch(&path, locked).send().await.failure(409, "Conflict");
    let locked = json!({"metadata": {"resourceVersion": version(&patched)}, "spec": {"size": 5}});
    merge_patch(&path, locked).send().await.object(200);
    merge_patch(format!("{}/absent", widgets("c210")), json!({}))
        .send()
        .await
        .failure(404, "NotFound");
}

#[tokio::test]
async fn c210_json_patch() {
    create("c210b", "a").await;
    let path = format!("{}/a", widgets("c210b"));
    let patch = json!([
        {"op": "test", "path": "/spec/size", "value": 1},
        {"op": "add", "path": "/spec/parts", "value": ["p"]},
        {"op": "add", "path": "/spec/parts/-", "value": "q"},
    ]);
    let patched = json_patch(&path, patch).send().await.object(200);
    assert_eq!(patched["spec"]["parts"], json!(["p", "q"]));
    // As kube-rs adds the first finalizer: only if there is none.
    let first = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/held"]},
    ]);
    json_patch(&path, first.clone()).send().await.object(200);
    json_patch(&path, first).send().await.failure(422, "Invalid");
    for failing in [
        json!([{"op": "test", "path": "/spec/size", "value": 2}]),
        json!([{"op": "remove", "path": "/spec/absent"}]),
        json!([{"op": "replace", "path": "/kind", "value": "Rack"}]),
    ] {
        let status = json_patch(&path, failing).send().await.failure(422, "Invalid");
        assert_eq!(status["details"]["causes"][0]["field"], "patch");
    }
    let many = vec![json!({"op": "test", "path": "/spec/size", "value": 1}); 10_001];
    json_patch(&path, json!(many))
        .send()
        .await
        .failure(413, "RequestEntityTooLarge");
}

#[tokio::test]
async fn c210_bad_documents_and_undecodable_results() {
    create("c210c", "a").await;
    let path = format!("{}/a", widgets("c210c"));
    for (media_type, body) in [
        ("application/merge-patch+json", "{"),
        ("application/merge-patch+json", "[]"),
        ("application/json-patch+json", "{}"),
        ("application/json-patch+json", r#"[{"op": "jump", "path": "/a"}]"#),
    ] {
        let answer = Call::new(Method::PATCH, &path)
            .body(media_type, body)
            .send()
            .await;
        answer.failure(400, "BadRequest");
    }
    let undecodable = merge_patch(&path, json!({"spec": {"size": "large"}}))
        .send()
        .await;
    let status = undecodable.failure(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "patch");
    let invalid = merge_patch(&path, json!({"spec": {"size": 101}}))
        .send()
        .await
        .failure(422, "Invalid");
    assert_eq!(invalid["details"]["causes"][0]["field"], "spec.size");
    for metadata in [
        json!({"name": "b"}),
        json!({"name": null}),
        json!({"namespace": "other"}),
    ] {
        let renamed = merge_patch(&path, json!({ "metadata": metadata })).send().await;
        renamed.failure(400, "BadRequest");
    }
    assert_eq!(get(&path).send().await.object(200)["metadata"]["generation"], 1);
}

#[tokio::test]
async fn c211_patches_without_a_version_do_not_conflict() {
    create("c211", "a").await;
    let path = format!("{}/a", widgets("c211"));
    let patches = (0..20).map(|number| {
        let label = format!("n{number}");
        merge_patch(&path, json!({"metadata": {"labels": {label: "x"}}})).send()
    });
    for answer in futures::future::join_all(patches).await {
        answer.object(200);
    }
    let labels = get(&path).send().await.object(200)["metadata"]["labels"].clone();
    assert_eq!(labels.as_object().unwrap().len(), 21);
}
