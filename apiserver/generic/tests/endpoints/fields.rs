//! Unknown and duplicate fields.

use http::Method;
use serde_json::json;

use crate::client::{Call, create, get, merge_patch, post, put, widget, widgets};

const DUPLICATE: &str = r#"{"metadata": {"name": "d"}, "spec": {"size": 1, "size": 2}}"#;

#[tokio::test]
async fn c217_strict_refuses_unknown_and_duplicate_fields() {
    let path = format!("{}?fieldValidation=Strict", widgets("c217"));
    let status = post(&path, widget("a", json!({"Size": 3})))
        .send()
        .await
        .failure(400, "BadRequest");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("strict decoding error: unknown field \"spec.Size\""),
        "{message}"
    );
    let answer = Call::new(Method::POST, &path)
        .body("application/json", DUPLICATE)
        .send()
        .await;
    let message = answer.failure(400, "BadRequest")["message"].to_string();
    assert!(message.contains("duplicate field \\\"spec.size\\\""), "{message}");
    let mut unknown = widget("a", json!({}));
    unknown["metadata"]["colour"] = json!("red");
    let message = post(&path, unknown).send().await.failure(400, "BadRequest")["message"].to_string();
    assert!(message.contains("metadata.colour"), "{message}");

    let mut object = create("c217", "a").await;
    object["extra"] = json!(true);
    let item = format!("{}/a?fieldValidation=Strict", widgets("c217"));
    put(&item, object).send().await.failure(400, "BadRequest");
    let status = merge_patch(&item, json!({"spec": {"x": 1}}))
        .send()
        .await
        .failure(422, "Invalid");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("unknown field \"spec.x\""),
        "{status}"
    );
}

#[tokio::test]
async fn c217_warn_is_the_default_and_ignore_is_silent() {
    let path = widgets("c217b");
    let warned = post(&path, widget("a", json!({"x": 1, "y": {"z": 2}})))
        .send()
        .await;
    assert_eq!(
        warned.warnings(),
        [r#"unknown field "spec.x""#, r#"unknown field "spec.y""#]
    );
    assert!(warned.object(201)["spec"].get("x").is_none(), "dropped");
    let duplicate = Call::new(Method::POST, &path)
        .body("application/json", DUPLICATE)
        .send()
        .await;
    assert_eq!(duplicate.warnings(), [r#"duplicate field "spec.size""#]);
    assert_eq!(duplicate.object(201)["spec"]["size"], 2, "the last one counts");

    let patched = merge_patch(format!("{path}/a"), json!({"spec": {"x": 1}}))
        .send()
        .await;
    assert_eq!((patched.code, patched.warnings().len()), (200, 1));
    let ignored = post(
        format!("{path}?fieldValidation=Ignore"),
        widget("b", json!({"x": 1})),
    )
    .send()
    .await;
    assert_eq!((ignored.code, ignored.warnings().len()), (201, 0));
    let status = post(format!("{path}?fieldValidation=Hard"), widget("c", json!({})))
        .send()
        .await;
    assert_eq!(
        status.failure(422, "Invalid")["details"]["causes"][0]["reason"],
        "FieldValueNotSupported"
    );
}

#[tokio::test]
async fn field_managers_are_bounded() {
    let manager = "m".repeat(129);
    let path = format!("{}?fieldManager={manager}", widgets("managers"));
    post(path, widget("a", json!({})))
        .send()
        .await
        .failure(422, "Invalid");
    create("managers", "a").await;
    let forced = merge_patch(format!("{}/a?force=true", widgets("managers")), json!({}))
        .send()
        .await;
    assert_eq!(forced.failure(422, "Invalid")["details"]["kind"], "PatchOptions");
    get(format!("{}/a", widgets("managers"))).send().await.object(200);
}
