//! What may be wrong with a body before anybody asks what it means: size, media type, syntax, types, and
//! fields nobody knows.

use http::Method;
use serde_json::{Value, json};

use crate::client::Call;
use crate::refusal::{Row, all_refused, row};
use crate::server::{AGENTS, ORDERS, Server, order, order_path};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

fn create(name: &str, content_type: &str, body: impl Into<bytes::Bytes>) -> Row {
    row(name, Call::new(Method::POST, ORDERS).typed(content_type, body))
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// The text of an order with this spec.
fn with_spec(spec: &str) -> String {
    format!(r#"{{"metadata":{{"name":"a"}},"spec":{spec}}}"#)
}

#[tokio::test]
async fn malformed_json_is_told_where_it_goes_wrong() {
    let server = Server::start().await;
    let rows = vec![
        create("no body", JSON, "")
            .says("cannot be decoded")
            .says("line 1"),
        create("cut off", JSON, r#"{"spec": {"#)
            .says("EOF while parsing")
            .says("line 1 column 10"),
        create("a bare comma", JSON, "{\"a\": 1,\n}").says("line 2 column 1"),
        create("two documents", JSON, "{}{}").says("trailing characters at line 1 column 3"),
        create("a comment", JSON, "{} // none").says("trailing characters"),
        create(
            "bytes that are no UTF-8",
            JSON,
            &b"{\"metadata\":{\"name\":\"\xff\xfe\"}}"[..],
        )
        .says("invalid unicode code point"),
        create("half a surrogate pair", JSON, r#"{"metadata":{"name":"\ud800"}}"#).says("line 1 column"),
        create("a number beyond all", JSON, with_spec(r#"{"priority":1e999}"#)).says("number out of range"),
        create("a hundred thousand brackets", JSON, "[".repeat(100_000)).says("levels deep"),
        create(
            "nested deeper than can be sent on",
            JSON,
            with_spec(&format!(r#"{{"job":{{"a":{}}}}}"#, nested(98))),
        )
        .says("spec.job.a[0]")
        .says("nested 100 levels deep, this one is deeper"),
        create(
            "U+0000 in a value",
            JSON,
            with_spec(r#"{"manifests":[{"data":{"a":"x\u0000"}}]}"#),
        )
        .says("spec.manifests[0].data.a: the character U+0000 cannot be stored"),
        create("U+0000 in a name", JSON, with_spec(r#"{"job":{"a\u0000":1}}"#))
            .says("spec.job: the character U+0000"),
        row(
            "U+0000 in a merge patch",
            Call::merge(order_path("a"), &json!({"metadata": {"labels": {"a": "\0"}}})),
        )
        .says("metadata.labels.a: the character U+0000"),
    ];
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn malformed_yaml_is_told_where_it_goes_wrong_and_bombs_are_not_set_off() {
    let server = Server::start().await;
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        let of = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![of; 10].join(",")));
    }
    let many = format!("a: &a x\nb: [{}]\n", "*a,".repeat(200));
    let rows = vec![
        create("unclosed", YAML, "spec: [a, b\n")
            .says("cannot be decoded")
            .says("line"),
        create("tabs as indentation", YAML, "spec:\n\tworkType: build\n").says("line 2"),
        create("bytes that are no UTF-8", YAML, &b"a: \"\xff\"\n"[..]).says("cannot be decoded"),
        create("two documents", YAML, "a: 1\n---\nb: 2\n").says("cannot be decoded"),
        create("an alias bomb", YAML, bomb).says("cannot be decoded"),
        create("more aliases than anybody writes", YAML, many).says("cannot be decoded"),
        create("deep", YAML, format!("a: {}", nested(70))).says("cannot be decoded"),
        create("an alias of nothing", YAML, "a: *b\n").says("cannot be decoded"),
        create("U+0000", YAML, "spec:\n  timeout: \"x\\0\"\n").says("U+0000"),
        create(
            "a number that is none of JSON's",
            YAML,
            "spec: {priority: .inf}\n",
        )
        .says("cannot be decoded"),
    ];
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn wrong_types_are_told_by_their_field() {
    let server = Server::start().await;
    let wrong = |name: &str, text: String, field: &str| create(name, JSON, text).says(field);
    let rows = vec![
        wrong("a list", "[]".to_owned(), "must be an object of kind WorkOrder"),
        wrong(
            "a text",
            "\"x\"".to_owned(),
            "must be an object of kind WorkOrder",
        ),
        wrong("null", "null".to_owned(), "must be an object of kind WorkOrder"),
        wrong(
            "kind is a number",
            r#"{"kind":5}"#.to_owned(),
            "kind must be a text, not 5",
        ),
        wrong(
            "apiVersion is an object",
            r#"{"apiVersion":{}}"#.to_owned(),
            "apiVersion must be a text, not {}",
        ),
        wrong(
            "another kind",
            r#"{"kind":"Pod"}"#.to_owned(),
            "the kind in the data (Pod) does not match the expected kind (WorkOrder)",
        ),
        wrong(
            "another version",
            r#"{"apiVersion":"v1"}"#.to_owned(),
            "the API version in the data (v1) does not match the expected API version (work.brokkr.io/v1alpha1)",
        ),
        wrong(
            "a text for a number",
            with_spec(r#"{"priority":"high"}"#),
            "spec.priority: invalid type: string \"high\", expected i64",
        ),
        wrong(
            "a fraction for a number",
            with_spec(r#"{"priority":1.5}"#),
            "spec.priority: invalid type: floating point `1.5`, expected i64",
        ),
        wrong(
            "a number too large",
            with_spec(r#"{"priority":99999999999999999999}"#),
            "spec.priority: invalid",
        ),
        wrong(
            "a number for a text",
            with_spec(r#"{"workType":7}"#),
            "spec.workType: invalid type: integer `7`",
        ),
        wrong(
            "a text for a list",
            with_spec(r#"{"targets":"east"}"#),
            "spec.targets: invalid type: string \"east\", expected a sequence",
        ),
        wrong(
            "a text for an item",
            with_spec(r#"{"targets":[{},"east"]}"#),
            "spec.targets[1]: invalid type: string \"east\"",
        ),
        wrong(
            "a text for an object",
            with_spec(r#"{"buildRef":"app"}"#),
            "spec.buildRef: invalid type: string \"app\"",
        ),
        wrong(
            "a text for a boolean",
            with_spec(r#"{"suspend":"yes"}"#),
            "spec.suspend: invalid type: string \"yes\", expected a boolean",
        ),
        wrong(
            "text for a manifest",
            with_spec(r#"{"manifests":["kind: Secret"]}"#),
            "spec.manifests[0]: invalid type: string",
        ),
        wrong(
            "a label that is a number",
            r#"{"metadata":{"name":"a","labels":{"a":1}}}"#.to_owned(),
            "metadata.labels.a: invalid type: integer `1`, expected a string",
        ),
        wrong(
            "no time",
            r#"{"metadata":{"name":"a","creationTimestamp":"today"}}"#.to_owned(),
            "metadata.creationTimestamp: ",
        ),
        wrong(
            "metadata is a text",
            r#"{"metadata":"a"}"#.to_owned(),
            "metadata: invalid type: string \"a\"",
        ),
    ];
    all_refused(&server, &server.ada, rows).await;
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
