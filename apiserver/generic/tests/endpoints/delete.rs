//! Deletes of one object and of collections.

use serde_json::{Value, json};

use crate::client::{create, delete, get, merge_patch, post, version, widget, widgets};

async fn held(namespace: &str, name: &str) -> Value {
    let mut body = widget(name, json!({}));
    body["metadata"]["finalizers"] = json!(["test.example.com/hold"]);
    post(widgets(namespace), body).send().await.object(201)
}

#[tokio::test]
async fn c169_delete_answers_with_a_status() {
    let object = create("c169", "a").await;
    let path = format!("{}/a", widgets("c169"));
    let status = delete(&path).send().await.object(200);
    assert_eq!(
        (&status["kind"], &status["status"]),
        (&json!("Status"), &json!("Success"))
    );
    let details = json!({
        "name": "a", "group": "test.example.com", "kind": "widgets", "uid": object["metadata"]["uid"],
    });
    assert_eq!(status["details"], details);
    get(&path).send().await.failure(404, "NotFound");
    delete(&path).send().await.failure(404, "NotFound");
}

#[tokio::test]
async fn c169_delete_of_a_held_object_answers_with_the_object() {
    held("c169b", "a").await;
    let path = format!("{}/a", widgets("c169b"));
    let object = delete(&path).send().await.object(200);
    assert_eq!(object["kind"], "Widget");
    assert!(object["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(object["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = delete(format!("{path}?orphanDependents=false")).send().await;
    assert_eq!(again.code, 202);
}

#[tokio::test]
async fn c169_delete_options_in_body_or_query() {
    let path = widgets("c169c");
    for api_version in ["v1", "meta.k8s.io/v1", "test.example.com/v1"] {
        held("c169c", "a").await;
        let options =
            json!({"kind": "DeleteOptions", "apiVersion": api_version, "propagationPolicy": "Foreground"});
        let object = delete(format!("{path}/a")).json(options).send().await.object(200);
        let finalizers = object["metadata"]["finalizers"].as_array().unwrap();
        assert!(finalizers.contains(&json!("foregroundDeletion")), "{object}");
        let released = merge_patch(format!("{path}/a"), json!({"metadata": {"finalizers": null}}));
        released.send().await.object(200);
        get(format!("{path}/a")).send().await.failure(404, "NotFound");
    }
    held("c169c", "a").await;
    let object = delete(format!("{path}/a?propagationPolicy=Orphan"))
        .send()
        .await
        .object(200);
    assert!(
        object["metadata"]["finalizers"]
            .as_array()
            .unwrap()
            .contains(&json!("orphan"))
    );
}

#[tokio::test]
async fn c169_invalid_delete_options() {
    create("c169d", "a").await;
    let path = format!("{}/a", widgets("c169d"));
    for query in [
        "propagationPolicy=Sideways",
        "dryRun=Some",
        "orphanDependents=true&propagationPolicy=Orphan",
    ] {
        let status = delete(format!("{path}?{query}"))
            .send()
            .await
            .failure(422, "Invalid");
        assert_eq!(status["details"]["kind"], "DeleteOptions", "{query}");
    }
    for body in [
        json!({"kind": "Widget"}),
        json!({"apiVersion": "v9"}),
        json!({"dryRun": 3}),
        json!([]),
    ] {
        delete(&path).json(body).send().await.failure(400, "BadRequest");
    }
    delete(format!("{path}?gracePeriodSeconds=soon"))
        .send()
        .await
        .failure(400, "BadRequest");
    get(&path).send().await.object(200);
}

#[tokio::test]
async fn c170_preconditions() {
    let object = create("c170", "a").await;
    let path = format!("{}/a", widgets("c170"));
    for (name, value) in [
        ("uid", "00000000-0000-0000-0000-000000000000"),
        ("resourceVersion", "7"),
    ] {
        let options = json!({"preconditions": {name: value}});
        delete(&path).json(options).send().await.failure(409, "Conflict");
    }
    let options =
        json!({"preconditions": {"uid": object["metadata"]["uid"], "resourceVersion": version(&object)}});
    delete(&path).json(options).send().await.object(200);
}

#[tokio::test]
async fn c174_delete_collection_by_selector() {
    for name in ["a", "b", "c"] {
        create("c174", name).await;
    }
    held("c174", "d").await;
    let path = widgets("c174");
    let deleted = delete(format!(
        "{path}?labelSelector=name%20in%20(a,b)&propagationPolicy=Background"
    ));
    let list = deleted.send().await.object(200);
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("WidgetList"), &json!("test.example.com/v1"))
    );
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let left = get(&path).send().await.object(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 2);

    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    let list = delete(&path)
        .json(options)
        .accept(metadata)
        .send()
        .await
        .object(200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    let left = get(&path).send().await.object(200);
    assert_eq!(
        left["items"][0]["metadata"]["name"], "d",
        "its finalizer holds it"
    );
    assert!(left["items"][0]["metadata"]["deletionTimestamp"].is_string());
    delete(widgets("c174-empty")).send().await.object(200);
}
