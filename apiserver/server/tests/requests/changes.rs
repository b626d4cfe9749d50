//! Changes of stored objects that are refused: immutable fields, stale versions, other uids, absent objects.

use serde_json::{Value, json};

use crate::client::Call;
use crate::manifests::config_map;
use crate::refusal::{FORBIDDEN, INVALID, Row, all_refused, row};
use crate::server::{AGENTS, ORDERS, Server, order, order_path};

#[tokio::test]
async fn immutable_fields_are_named_one_by_one() {
    let server = Server::start().await;
    server
        .create(
            "a",
            json!({"targets": [{"agentNames": ["east"]}], "idempotencyKey": "k"}),
        )
        .await;
    let changes = [
        ("buildRef", json!({"name": "other"})),
        ("serviceAccount", json!("other")),
        ("manifests", json!([config_map("c")])),
        ("targets", json!([{"agentNames": ["west"]}])),
        ("targets", json!(null)),
        ("sideEffects", json!("None")),
        ("timeout", json!("1m")),
        ("claimTimeoutSeconds", json!(7200)),
        ("idempotencyKey", json!("other")),
        ("callback", json!({"url": "https://example.com/"})),
    ];
    let mut rows: Vec<Row> = changes
        .into_iter()
        .map(|(field, value)| {
            let changed = row(
                field,
                Call::merge(order_path("a"), &json!({"spec": {field: value}})),
            );
            let changed = changed.invalid(format!("spec.{field}"), FORBIDDEN);
            changed
                .says(format!(
                    "spec.{field}: Forbidden: field is immutable; of spec only suspend, cancel, priority, "
                ))
                .says("delete the order and create another")
        })
        .collect();
    let other_type = json!({"spec": {"workType": "job", "buildRef": null, "job": {"template": {}}}});
    rows.push(
        row("the work type", Call::merge(order_path("a"), &other_type))
            .invalid("spec.workType", FORBIDDEN)
            .invalid("spec.buildRef", FORBIDDEN)
            .invalid("spec.job", FORBIDDEN),
    );
    let identity = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent", "metadata": {"name": "east"}, "spec": {"identity": "east"}});
    server.ada.send(&Call::post(AGENTS, &identity)).await.expect(201);
    rows.push(
        row(
            "the identity of an agent",
            Call::merge(format!("{AGENTS}/east"), &json!({"spec": {"identity": "other"}})),
        )
        .invalid("spec.identity", FORBIDDEN)
        .says("create another Agent for another identity"),
    );
    for (kind, path) in [("name", "/metadata/name"), ("namespace", "/metadata/namespace")] {
        let moved = json!([{"op": "replace", "path": path, "value": "other"}]);
        rows.push(
            row(kind, Call::json_patch(order_path("a"), &moved))
                .says(format!("does not match the {kind} on the URL")),
        );
    }
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn stale_versions_other_uids_and_absent_objects_are_told_apart() {
    let server = Server::start().await;
    let first = server.create("a", json!({})).await;
    let mut body = first.clone();
    body["spec"]["priority"] = json!(1);
    server
        .ada
        .send(&Call::put(order_path("a"), &body))
        .await
        .expect(200);
    let stale = first["metadata"]["resourceVersion"].clone();
    let modified = "Operation cannot be fulfilled on workorders.work.brokkr.io \"a\": the object has been modified; please apply your changes to the latest version";
    let mut unversioned = first.clone();
    unversioned["metadata"]["resourceVersion"] = json!("");
    let mut other_uid = first.clone();
    other_uid["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    let preconditions = |conditions: Value| {
        Call::delete(order_path("a")).typed(
            "application/json",
            json!({"preconditions": conditions}).to_string(),
        )
    };
    let conflict = |name: &str, call: Call| row(name, call).is(409, "Conflict");
    let rows = vec![
        conflict("PUT of a stale version", Call::put(order_path("a"), &first)).says(modified),
        conflict(
            "PATCH of a stale version",
            Call::merge(
                order_path("a"),
                &json!({"metadata": {"resourceVersion": stale}, "spec": {"priority": 2}}),
            ),
        )
        .says(modified),
        conflict("PUT of a stale status", Call::put(order_path("a/status"), &first)).says(modified),
        conflict("PUT of another uid", Call::put(order_path("a"), &other_uid))
            .says("UID in precondition: 00000000-0000-4000-8000-000000000000, UID in object meta: "),
        conflict(
            "DELETE of another uid",
            preconditions(json!({"uid": "00000000-0000-4000-8000-000000000000"})),
        )
        .says("00000000-0000-4000-8000-000000000000"),
        conflict(
            "DELETE of a stale version",
            preconditions(json!({"resourceVersion": stale})),
        )
        .says("ResourceVersion in precondition: "),
        row("PUT of no version", Call::put(order_path("a"), &unversioned))
            .invalid("metadata.resourceVersion", INVALID)
            .says("must be specified for an update"),
        row("the name is taken", Call::post(ORDERS, &order("a", json!({}))))
            .is(409, "AlreadyExists")
            .says("workorders.work.brokkr.io \"a\" already exists"),
        row(
            "PUT of nothing",
            Call::put(order_path("none"), &order("none", json!({}))),
        )
        .is(404, "NotFound")
        .says("workorders.work.brokkr.io \"none\" not found"),
        row("PATCH of nothing", Call::merge(order_path("none"), &json!({}))).is(404, "NotFound"),
        row("DELETE of nothing", Call::delete(order_path("none"))).is(404, "NotFound"),
        row("PUT under another name", Call::put(order_path("b"), &first))
            .says("the name of the object (a) does not match the name on the URL (b)"),
        row(
            "a JSON patch that does not fit",
            Call::json_patch(
                order_path("a"),
                &json!([{"op": "test", "path": "/spec/priority", "value": 9}]),
            ),
        )
        .invalid("patch", INVALID)
        .says("operation 0"),
        row(
            "a JSON patch of no path",
            Call::json_patch(order_path("a"), &json!([{"op": "remove", "path": "/spec/none"}])),
        )
        .invalid("patch", INVALID),
        row(
            "a patch into a wrong type",
            Call::merge(order_path("a"), &json!({"spec": {"priority": "high"}})),
        )
        .invalid("patch", INVALID)
        .says("spec.priority: invalid type"),
        row(
            "a patch of the kind",
            Call::merge(order_path("a"), &json!({"kind": "Pod"})),
        )
        .invalid("patch", INVALID)
        .says("kind and apiVersion cannot be changed"),
        row(
            "no patch at all",
            Call::json_patch(order_path("a"), &json!({"op": "remove"})),
        )
        .says("the body is no JSON patch"),
        row(
            "a merge patch that is a list",
            Call::merge(order_path("a"), &json!([])),
        )
        .says("a merge patch must be a JSON object"),
    ];
    all_refused(&server, &server.ada, rows).await;
}
