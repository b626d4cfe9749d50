//! One kind in two versions: every verb answers in the version asked, of the same objects.

use http::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{ALPHA, BETA, Server};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// The kind, version and spec of an object.
fn form(object: &Value) -> (&str, &str, &Value) {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    (text("kind"), text("apiVersion"), &object["spec"])
}

async fn get_as(client: &Client, path: &str, accept: &str) -> Value {
    let call = client.call(Method::GET, path).header("accept", accept);
    call.send().await.expect(200)
}

#[tokio::test]
async fn c111_object_is_read_in_the_version_asked() {
    let server = Server::start().await;
    let alpha = json!({"reference": "f", "referenceType": "Fischer"});
    let beta = json!({"fischerReference": "f", "referenceType": "Fischer"});
    let body = json!({"metadata": {"name": "a"}, "spec": alpha});
    let created = server.client.post(ALPHA, &body).await.expect(201);
    assert_eq!(form(&created), ("Flunder", "wardle.example.com/v1alpha1", &alpha));

    for (collection, version, spec) in [(ALPHA, "v1alpha1", &alpha), (BETA, "v1beta1", &beta)] {
        let api_version = format!("wardle.example.com/{version}");
        let got = server.client.get(&format!("{collection}/a")).await.expect(200);
        assert_eq!(form(&got), ("Flunder", api_version.as_str(), spec));
        assert_eq!(got["metadata"], created["metadata"]);
        let list = server.client.get(collection).await.expect(200);
        assert_eq!(
            (&list["kind"], &list["apiVersion"]),
            (&json!("FlunderList"), &json!(api_version))
        );
        assert_eq!(list["items"], json!([got]));
    }
}

#[tokio::test]
async fn c111_body_is_of_the_version_of_its_path() {
    let server = Server::start().await;
    let body =
        json!({"apiVersion": "wardle.example.com/v1beta1", "kind": "Flunder", "metadata": {"name": "a"}});
    let status = server.client.post(ALPHA, &body).await.refused(400, "BadRequest");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("(wardle.example.com/v1beta1)"), "{message}");
    assert!(message.contains("(wardle.example.com/v1alpha1)"), "{message}");

    let other = json!({"metadata": {"name": "a"}, "spec": {"flunderReference": "b"}});
    let strict = format!("{ALPHA}?fieldValidation=Strict");
    let status = server
        .client
        .post(&strict, &other)
        .await
        .refused(400, "BadRequest");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("unknown field \"spec.flunderReference\""),
        "{message}"
    );
    let warned = server.client.post(ALPHA, &other).await;
    warned.expect(201);
    assert_eq!(warned.warnings().len(), 1, "{warned:?}");
}

#[tokio::test]
async fn c111_default_of_one_version_is_not_that_of_the_other() {
    let server = Server::start().await;
    let body = json!({"metadata": {"name": "a"}, "spec": {"reference": "b"}});
    let created = server.client.post(ALPHA, &body).await.expect(201);
    assert_eq!(
        created["spec"],
        json!({"reference": "b", "referenceType": "Flunder"})
    );

    let body = json!({"metadata": {"name": "c"}, "spec": {"flunderReference": "b"}});
    let status = server.client.post(BETA, &body).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.flunderReference");
}

#[tokio::test]
async fn c111_update_in_one_version_is_seen_in_the_other() {
    let server = Server::start().await;
    let path = format!("{ALPHA}/a");
    server
        .create("a", json!({"flunderReference": "b", "referenceType": "Flunder"}))
        .await;
    let mut alpha = server.client.get(&path).await.expect(200);
    let unchanged = server.client.put(&path, &alpha).await.expect(200);
    assert_eq!(unchanged, alpha, "nothing is written");

    alpha["spec"] = json!({"reference": "f", "referenceType": "Fischer"});
    let updated = server.client.put(&path, &alpha).await.expect(200);
    assert_eq!(
        form(&updated),
        ("Flunder", "wardle.example.com/v1alpha1", &alpha["spec"])
    );
    let beta = server.client.get(&format!("{BETA}/a")).await.expect(200);
    assert_eq!(
        beta["spec"],
        json!({"fischerReference": "f", "referenceType": "Fischer"})
    );
    assert_eq!(beta["metadata"]["generation"], 2);
    assert_eq!(
        beta["metadata"]["resourceVersion"],
        updated["metadata"]["resourceVersion"]
    );

    let stale = server
        .client
        .put(&path, &unchanged)
        .await
        .refused(409, "Conflict");
    assert_eq!(stale["details"]["name"], "a");
}

#[tokio::test]
async fn c111_patch_applies_to_the_version_of_its_path() {
    let server = Server::start().await;
    let (alpha, beta) = (format!("{ALPHA}/a"), format!("{BETA}/a"));
    server
        .create("a", json!({"flunderReference": "b", "referenceType": "Flunder"}))
        .await;
    let patched = server
        .client
        .merge(&alpha, json!({"spec": {"reference": "c"}}))
        .await;
    assert_eq!(
        patched.expect(200)["spec"],
        json!({"reference": "c", "referenceType": "Flunder"})
    );

    // The operations of a JSON patch are about fields that only this version has.
    let operations = json!([
        {"op": "test", "path": "/apiVersion", "value": "wardle.example.com/v1alpha1"},
        {"op": "test", "path": "/spec/reference", "value": "c"},
        {"op": "replace", "path": "/spec/referenceType", "value": "Fischer"},
    ]);
    let call = server.client.call(Method::PATCH, &alpha);
    let call = call.typed("application/json-patch+json", operations.to_string());
    call.send().await.expect(200);
    let got = server.client.get(&beta).await.expect(200);
    assert_eq!(
        got["spec"],
        json!({"fischerReference": "c", "referenceType": "Fischer"})
    );

    let both = json!({"spec": {"flunderReference": "d"}});
    server.client.merge(&beta, both).await.refused(422, "Invalid");
    let other = json!({"apiVersion": "wardle.example.com/v1beta1"});
    server.client.merge(&alpha, other).await.refused(422, "Invalid");
    let unknown = format!("{alpha}?fieldValidation=Strict");
    let unknown = server
        .client
        .merge(&unknown, json!({"spec": {"flunderReference": "d"}}))
        .await;
    unknown.refused(422, "Invalid");
}

#[tokio::test]
async fn c111_tables_and_metadata_are_of_the_version_asked() {
    let server = Server::start().await;
    server
        .create("a", json!({"flunderReference": "b", "referenceType": "Flunder"}))
        .await;
    let table = get_as(&server.client, &format!("{ALPHA}?includeObject=Object"), TABLE).await;
    assert_eq!(table["rows"][0]["cells"][0], "a");
    let object = &table["rows"][0]["object"];
    let alpha = json!({"reference": "b", "referenceType": "Flunder"});
    assert_eq!(form(object), ("Flunder", "wardle.example.com/v1alpha1", &alpha));

    let whole = server.client.get(&format!("{BETA}/a")).await.expect(200);
    for collection in [ALPHA, BETA] {
        let partial = get_as(&server.client, &format!("{collection}/a"), METADATA).await;
        assert_eq!(
            (&partial["kind"], &partial["metadata"]),
            (&json!("PartialObjectMetadata"), &whole["metadata"])
        );
    }
}

#[tokio::test]
async fn c111_what_is_deleted_is_shown_in_the_version_asked() {
    let server = Server::start().await;
    let body =
        json!({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}, "spec": {"reference": "b"}});
    server.client.post(ALPHA, &body).await.expect(201);
    let marked = server.client.delete(&format!("{ALPHA}/a")).await.expect(200);
    let alpha = json!({"reference": "b", "referenceType": "Flunder"});
    assert_eq!(form(&marked), ("Flunder", "wardle.example.com/v1alpha1", &alpha));
    server
        .client
        .merge(&format!("{BETA}/a"), json!({"metadata": {"finalizers": null}}))
        .await
        .expect(200);

    server.create("c", json!({})).await;
    let deleted = server.client.delete(ALPHA).await.expect(200);
    assert_eq!(deleted["kind"], "FlunderList");
    assert_eq!(
        form(&deleted["items"][0]),
        ("Flunder", "wardle.example.com/v1alpha1", &json!({}))
    );
    assert!(server.client.get(BETA).await.names().is_empty());
}

#[tokio::test]
async fn c111_errors_are_about_the_resource_of_every_version() {
    let server = Server::start().await;
    let body = json!({"metadata": {"name": "a"}, "spec": {"reference": "b", "referenceType": "Other"}});
    let status = server.client.post(ALPHA, &body).await.refused(422, "Invalid");
    assert_eq!(
        (&status["details"]["kind"], &status["details"]["group"]),
        (&json!("Flunder"), &json!("wardle.example.com"))
    );
    server
        .client
        .get(&format!("{ALPHA}/a"))
        .await
        .refused(404, "NotFound");
    // Fischers are of v1alpha1 alone.
    let beta = "/apis/wardle.example.com/v1beta1/fischers";
    server.client.get(beta).await.refused(404, "NotFound");
}
