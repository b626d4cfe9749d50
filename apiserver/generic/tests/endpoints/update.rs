//! PUT of objects.

use serde_json::json;

use crate::client::{create, delete, get, put, version, widgets};

#[tokio::test]
async fn c166_update_needs_the_names_of_the_url_and_the_present_version() {
    let path = format!("{}/a", widgets("c166"));
    let first = create("c166", "a").await;
    let mut second = first.clone();
    second["spec"]["size"] = json!(2);
    let updated = put(&path, second.clone()).send().await.object(200);
    assert_eq!(updated["spec"]["size"], 2);
    assert_ne!(version(&updated), version(&first));

    let status = put(&path, second).send().await.failure(409, "Conflict");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .starts_with("Operation cannot be fulfilled on"),
        "{status}"
    );
    let mut other = updated.clone();
    other["metadata"]["name"] = json!("b");
    put(&path, other).send().await.failure(400, "BadRequest");
    let mut other = updated.clone();
    other["metadata"]["namespace"] = json!("b");
    put(&path, other).send().await.failure(400, "BadRequest");
    let mut other = updated.clone();
    other["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    put(&path, other).send().await.failure(409, "Conflict");
    let mut unversioned = updated.clone();
    unversioned["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    let status = put(&path, unversioned).send().await.failure(422, "Invalid");
    assert_eq!(
        status["details"]["causes"][0]["field"],
        "metadata.resourceVersion"
    );
    let mut absent = updated;
    absent["metadata"]["name"] = json!("absent");
    put(format!("{}/absent", widgets("c166")), absent)
        .send()
        .await
        .failure(404, "NotFound");
}

#[tokio::test]
async fn c167_update_keeps_what_the_server_owns() {
    let path = format!("{}/a", widgets("c167"));
    let first = create("c167", "a").await;
    let mut changed = first.clone();
    changed["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    changed["metadata"]["generation"] = json!(77);
    changed["metadata"]["labels"] = json!({"new": "label"});
    changed["status"] = json!({"phase": "Done"});
    let relabelled = put(&path, changed).send().await.object(200);
    let metadata = &relabelled["metadata"];
    assert_eq!(
        metadata["creationTimestamp"],
        first["metadata"]["creationTimestamp"]
    );
    assert_eq!(
        (&metadata["generation"], &metadata["labels"]),
        (&json!(1), &json!({"new": "label"}))
    );
    assert!(
        relabelled.get("status").is_none(),
        "the status is not written here"
    );
    let mut changed = relabelled;
    changed["spec"]["size"] = json!(3);
    let changed = put(&path, changed).send().await.object(200);
    assert_eq!(changed["metadata"]["generation"], 2, "the spec changed");
}

#[tokio::test]
async fn c167_deleted_object_takes_no_new_finalizers() {
    let path = format!("{}/a", widgets("c167b"));
    let mut object = create("c167b", "a").await;
    object["metadata"]["finalizers"] = json!(["test.example.com/hold"]);
    put(&path, object).send().await.object(200);
    let mut held = delete(&path).send().await.object(200);
    held["metadata"]["finalizers"] = json!(["test.example.com/hold", "test.example.com/more"]);
    let status = put(&path, held).send().await.failure(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueForbidden");
}

#[tokio::test]
async fn c168_update_without_change_writes_nothing() {
    let path = format!("{}/a", widgets("c168"));
    let object = create("c168", "a").await;
    assert_eq!(put(&path, object.clone()).send().await.object(200), object);
    assert_eq!(get(&path).send().await.object(200), object);
}

#[tokio::test]
async fn c230_status_is_written_apart_from_the_spec() {
    let path = format!("{}/a", widgets("c230"));
    let status_path = format!("{path}/status");
    let mut object = create("c230", "a").await;
    object["status"] = json!({"phase": "Ready"});
    object["spec"]["size"] = json!(50);
    object["metadata"]["labels"] = json!({"not": "written"});
    let written = put(&status_path, object).send().await.object(200);
    assert_eq!(written["status"]["phase"], "Ready");
    assert_eq!(
        (&written["spec"]["size"], &written["metadata"]["generation"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(written["metadata"]["labels"], json!({"name": "a"}));
    assert_eq!(get(&status_path).send().await.object(200), written);

    let patched = crate::client::merge_patch(
        &status_path,
        json!({"status": {"phase": "Done"}, "spec": {"size": 9}}),
    );
    let patched = patched.send().await.object(200);
    assert_eq!(
        (&patched["status"]["phase"], &patched["spec"]["size"]),
        (&json!("Done"), &json!(1))
    );
    assert!(version(&patched).parse::<u64>().unwrap() > version(&written).parse().unwrap());
    let mut main = patched.clone();
    main["status"] = json!({"phase": "Forged"});
    assert_eq!(
        put(&path, main).send().await.object(200)["status"]["phase"],
        "Done"
    );
}
