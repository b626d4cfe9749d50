//! Bodies that are no objects: malformed JSON and YAML, bombs, fields of another type.

use serde_json::json;

use crate::bodies::{JSON, YAML, create, with_spec};
use crate::client::Call;
use crate::refusal::{all_refused, row};
use crate::server::{Server, order_path};

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
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
