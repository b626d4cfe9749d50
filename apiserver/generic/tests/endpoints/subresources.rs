//! Subresources that take a request, and admission.

use serde_json::json;

use crate::client::{TABLE, create, get, post, widget, widgets};

#[tokio::test]
async fn c231_posted_request_is_answered_with_its_kind() {
    create("c231", "a").await;
    let path = format!("{}/a/claim", widgets("c231"));
    let body = json!({"spec": {"holder": "me"}});
    let claim = post(&path, body).send().await.object(201);
    assert_eq!(
        (&claim["kind"], &claim["apiVersion"]),
        (&json!("WidgetClaim"), &json!("test.example.com/v1"))
    );
    assert_eq!(
        (&claim["metadata"]["name"], &claim["status"]["fence"]),
        (&json!("a"), &json!(7))
    );

    let named = json!({"metadata": {"name": "a", "namespace": "c231"}});
    post(&path, named).send().await.object(201);
    for metadata in [json!({"name": "b"}), json!({"namespace": "other"})] {
        post(&path, json!({ "metadata": metadata }))
            .send()
            .await
            .failure(400, "BadRequest");
    }
    post(&path, json!({"kind": "Widget"}))
        .send()
        .await
        .failure(400, "BadRequest");
    let strict = post(
        format!("{path}?fieldValidation=Strict"),
        json!({"spec": {"x": 1}}),
    )
    .send()
    .await;
    strict.failure(400, "BadRequest");
    let lost = post(&path, json!({"spec": {"holder": "nobody"}}))
        .send()
        .await
        .failure(409, "Conflict");
    assert_eq!(lost["message"], "widget \"a\" is held by somebody until noon");
    assert_eq!(lost["details"]["causes"][0]["reason"], "Held");
    let dry = post(format!("{path}?dryRun=All"), json!({}))
        .send()
        .await
        .object(201);
    assert_eq!(dry["status"]["fence"], 0);
}

#[tokio::test]
async fn c234_no_table_of_a_request_and_no_scale() {
    create("c234", "a").await;
    let item = format!("{}/a", widgets("c234"));
    let table_only = "application/json;as=Table;v=v1;g=meta.k8s.io";
    post(format!("{item}/claim"), json!({}))
        .accept(table_only)
        .send()
        .await
        .failure(406, "NotAcceptable");
    let list = get(format!("{item}/siblings"))
        .accept(TABLE)
        .send()
        .await
        .object(200);
    assert_eq!(list["kind"], "WidgetList");
    get(format!("{item}/scale")).send().await.failure(404, "NotFound");
}

#[tokio::test]
async fn c233_creates_and_claims_are_admitted() {
    let absent = post(widgets("absent"), widget("a", json!({})))
        .send()
        .await
        .failure(404, "NotFound");
    assert_eq!(absent["details"], json!({"name": "absent", "kind": "namespaces"}));
    let item = format!("{}/a", widgets("terminating"));
    for path in [widgets("terminating"), format!("{item}/claim")] {
        let status = post(&path, json!({"metadata": {"name": "a"}}))
            .send()
            .await
            .failure(403, "Forbidden");
        let cause = &status["details"]["causes"][0];
        assert_eq!(
            (&cause["reason"], &cause["field"]),
            (&json!("NamespaceTerminating"), &json!("metadata.namespace"))
        );
        assert_eq!(
            (&status["details"]["kind"], &status["details"]["name"]),
            (&json!("widgets"), &json!("a"))
        );
    }
    post(format!("{item}/release"), json!({}))
        .send()
        .await
        .object(201);
}

#[tokio::test]
async fn c233_admission_sees_what_is_posted_to_which_subresource() {
    let path = format!("{}/a/claim", widgets("c233-sees"));
    let status = post(&path, json!({"spec": {"holder": "Noone"}}))
        .send()
        .await
        .failure(403, "Forbidden");
    let message = status["message"].as_str().unwrap();
    let seen = "widgets.test.example.com claim c233-sees a: Noone is not known";
    assert!(message.ends_with(seen), "{message}");
}
