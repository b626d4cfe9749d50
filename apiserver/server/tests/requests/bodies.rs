//! What may be wrong with a body before anybody asks what it means: size, media type, and fields nobody
//! knows.

use http::Method;
use serde_json::{Value, json};

use crate::client::Call;
use crate::refusal::{Row, all_refused, row};
use crate::server::{AGENTS, ORDERS, Server, order, order_path};

pub(crate) const JSON: &str = "application/json";
pub(crate) const YAML: &str = "application/yaml";
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

pub(crate) fn create(name: &str, content_type: &str, body: impl Into<bytes::Bytes>) -> Row {
    row(name, Call::new(Method::POST, ORDERS).typed(content_type, body))
}

/// The text of an order with this spec.
pub(crate) fn with_spec(spec: &str) -> String {
    format!(r#"{{"metadata":{{"name":"a"}},"spec":{spec}}}"#)
}

#[tokio::test]
async fn c142_c143_media_types_that_nobody_reads_are_415_with_those_that_are_read() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let body = order("b", json!({})).to_string();
    let patch_types =
        "accepted media types include: application/json-patch+json, application/merge-patch+json";
    let mut rows = Vec::new();
    for media_type in [
        "text/plain",
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "application/xml",
        "json",
        "*/*",
    ] {
        let bad = create(media_type, media_type, body.clone()).is(415, "UnsupportedMediaType");
        rows.push(bad.says("accepted media types include: application/json, application/yaml"));
        let put = Call::new(Method::PUT, order_path("a")).typed(media_type, body.clone());
        rows.push(
            row(format!("PUT of {media_type}"), put)
                .is(415, "UnsupportedMediaType")
                .says("application/json"),
        );
    }
    for media_type in [
        "",
        JSON,
        YAML,
        "application/apply-patch+yaml",
        "application/strategic-merge-patch+json",
        "text/plain",
    ] {
        let patch = Call::new(Method::PATCH, order_path("a")).typed(media_type, "{}");
        rows.push(
            row(format!("PATCH of {media_type}"), patch)
                .is(415, "UnsupportedMediaType")
                .says(patch_types),
        );
    }
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn c140_forms_that_cannot_be_answered_are_406_before_anything_is_written() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let mut rows = Vec::new();
    let table_of_the_future = "application/json;as=Table;g=meta.k8s.io;v=v9";
    let list_of_metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    for accept in [
        "text/html",
        "application/vnd.kubernetes.protobuf",
        "application/json;q=0",
        table_of_the_future,
        list_of_metadata,
    ] {
        for call in [
            Call::post(ORDERS, &order("b", json!({}))),
            Call::merge(order_path("a"), &json!({"spec": {"priority": 7}})),
            Call::json_patch(
                order_path("a"),
                &json!([{"op": "add", "path": "/spec/priority", "value": 7}]),
            ),
            Call::put(order_path("a"), &order("a", json!({"priority": 7}))),
            Call::delete(order_path("a")),
            Call::get(order_path("a")),
        ] {
            let name = format!("{} as {accept}", call.method);
            let refused = row(name, call.header("accept", accept)).is(406, "NotAcceptable");
            rows.push(refused.says("only the following media types are accepted: application/json"));
        }
    }
    let one = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    for call in [Call::delete(ORDERS), Call::get(ORDERS)] {
        let name = format!("{} of a collection as one object", call.method);
        rows.push(
            row(name, call.header("accept", one))
                .is(406, "NotAcceptable")
                .says("as=PartialObjectMetadataList"),
        );
    }
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    let post = Call::post(format!("{ORDERS}?includeObject=Some"), &order("b", json!({})));
    rows.push(row("an unknown includeObject", post.header("accept", table)).says("includeObject"));
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn c067_bodies_that_are_too_large_are_413_with_both_numbers() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let large = " ".repeat(BODY_BYTES_MAX + 1);
    let limit = format!("{} bytes, the limit is {BODY_BYTES_MAX}", BODY_BYTES_MAX + 1);
    let rows = [
        create("POST", JSON, large.clone()),
        create("POST of YAML", YAML, large.clone()),
        row(
            "PUT",
            Call::new(Method::PUT, order_path("a")).typed(JSON, large.clone()),
        ),
        row(
            "PATCH",
            Call::new(Method::PATCH, order_path("a")).typed("application/merge-patch+json", large.clone()),
        ),
        row("DELETE", Call::delete(order_path("a")).typed(JSON, large.clone())),
        row(
            "claim",
            Call::new(Method::POST, order_path("a/claim")).typed(JSON, large.clone()),
        ),
        row(
            "claims",
            Call::new(Method::POST, format!("{AGENTS}/east/claim")).typed(JSON, large),
        ),
    ];
    let too_large = |row: Row| row.is(413, "RequestEntityTooLarge").says(limit.clone());
    let mut rows: Vec<Row> = rows.into_iter().map(too_large).collect();

    let operations = vec![json!({"op": "test", "path": "/kind", "value": "WorkOrder"}); 10_001];
    rows.push(
        row(
            "operations of a JSON patch",
            Call::json_patch(order_path("a"), &Value::Array(operations)),
        )
        .is(413, "RequestEntityTooLarge")
        .says("may have 10000 operations, this one has 10001"),
    );
    let text = "x".repeat(100_000);
    let mut copies = vec![json!({"op": "add", "path": "/metadata/annotations", "value": {"a": text}})];
    copies.extend((0..40).map(|n| json!({"op": "copy", "from": "/metadata/annotations/a", "path": format!("/metadata/annotations/b{n}")})));
    rows.push(
        row(
            "growth of a JSON patch by copies",
            Call::json_patch(order_path("a"), &Value::Array(copies)),
        )
        .invalid("patch", "FieldValueInvalid")
        .says(format!("copies and moves more than {BODY_BYTES_MAX} bytes")),
    );
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn c217_unknown_and_repeated_fields_are_refused_when_strictness_is_asked_for() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let strict = |path: String| format!("{path}?fieldValidation=Strict");
    let text = r#"{"metadata":{"name":"NAME","resourceVersion":"VERSION"},
        "spec":{"workType":"build","priority":1,"priority":2,"buildRef":{"name":"app","Name":"odd"},"x":1,"targets":[{"y":2}]},"z":0}"#;
    let create = text
        .replace("NAME", "b")
        .replace(r#","resourceVersion":"VERSION""#, "");
    let all = [
        "strict decoding error: duplicate field \"spec.priority\"",
        "unknown field \"spec.x\"",
        "unknown field \"spec.buildRef.Name\"",
        "unknown field \"spec.targets[0].y\"",
        "unknown field \"z\"",
    ];
    let says = |row: Row| all.into_iter().fold(row, Row::says);
    let version =
        server.ada.send(&Call::get(order_path("a"))).await.expect(200)["metadata"]["resourceVersion"].clone();
    let put = text
        .replace("NAME", "a")
        .replace("VERSION", version.as_str().unwrap());
    let patch = |media_type: &str, body: &str| {
        Call::new(Method::PATCH, strict(order_path("a"))).typed(media_type, body.to_owned())
    };
    let rows = vec![
        says(row(
            "create",
            Call::new(Method::POST, strict(ORDERS.to_owned())).typed(JSON, create.clone()),
        )),
        says(row(
            "update",
            Call::new(Method::PUT, strict(order_path("a"))).typed(JSON, put),
        )),
        says(row(
            "create of YAML",
            Call::new(Method::POST, strict(ORDERS.to_owned())).typed(YAML, create.clone()),
        )),
        row(
            "merge patch",
            patch(
                "application/merge-patch+json",
                r#"{"spec":{"priority":1,"priority":2,"x":1}}"#,
            ),
        )
        .invalid("patch", "FieldValueInvalid")
        .says("strict decoding error: duplicate field \"spec.priority\", unknown field \"spec.x\""),
        row(
            "JSON patch",
            patch(
                "application/json-patch+json",
                r#"[{"op":"add","path":"/spec/x","value":1}]"#,
            ),
        )
        .invalid("patch", "FieldValueInvalid")
        .says("strict decoding error: unknown field \"spec.x\""),
        row(
            "claim",
            Call::post(
                strict(order_path("a/claim")),
                &json!({"spec": {"agent": "east", "holder": "p", "x": 1}}),
            ),
        )
        .says("strict decoding error: unknown field \"spec.x\""),
        row(
            "another word",
            Call::post(format!("{ORDERS}?fieldValidation=strict"), &order("b", json!({}))),
        )
        .invalid("fieldValidation", "FieldValueNotSupported")
        .says("supported values: \"Ignore\", \"Strict\", \"Warn\""),
    ];
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn c217_unknown_and_repeated_fields_are_warned_of_one_by_one_or_ignored() {
    let server = Server::start().await;
    let text = |name: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"workType":"build","priority":1,"priority":2,"buildRef":{{"name":"app"}},"x":1,"y":2}}}}"#
        )
    };
    let expected = [
        "299 - \"duplicate field \\\"spec.priority\\\"\"",
        "299 - \"unknown field \\\"spec.x\\\"\"",
        "299 - \"unknown field \\\"spec.y\\\"\"",
    ];
    for (name, query, warned) in [
        ("default", "", true),
        ("warn", "?fieldValidation=Warn", true),
        ("ignore", "?fieldValidation=Ignore", false),
    ] {
        let call = Call::new(Method::POST, format!("{ORDERS}{query}")).typed(JSON, text(name));
        let answer = server.ada.send(&call).await;
        assert_eq!(
            answer.warnings(),
            if warned { expected.to_vec() } else { Vec::new() },
            "{name}"
        );
        let created = answer.expect(201);
        assert_eq!(created["spec"]["priority"], 2, "the last one counts");
        assert_eq!(created["spec"].get("x"), None, "what is unknown is dropped");

        let patch = r#"{"spec":{"priority":3,"priority":4,"x":1}}"#;
        let call = Call::new(Method::PATCH, format!("{}{query}", order_path(name)));
        let answer = server
            .ada
            .send(&call.typed("application/merge-patch+json", patch))
            .await;
        assert_eq!(
            answer.warnings(),
            if warned {
                expected[..2].to_vec()
            } else {
                Vec::new()
            },
            "{name}"
        );
        assert_eq!(answer.expect(200)["spec"]["priority"], 4);
    }
}
