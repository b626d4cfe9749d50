//! Paths, queries and headers that nobody should send.

use http::Method;
use serde_json::{Value, json};

use crate::client::Call;
use crate::refusal::{FORBIDDEN, INVALID, NOT_SUPPORTED, Row, all_refused, row};
use crate::server::{AGENTS, GROUP, LOGS, ORDERS, Server, order, order_path};

fn list(query: &str) -> Row {
    row(format!("list {query}"), Call::get(format!("{ORDERS}?{query}")))
}

fn watch(query: &str) -> Row {
    row(
        format!("watch {query}"),
        Call::get(format!("{ORDERS}?watch=true&timeoutSeconds=1&{query}")),
    )
}

#[tokio::test]
async fn options_that_are_malformed_are_400_and_those_that_are_not_allowed_422() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let post = |query: &str| {
        row(
            format!("create {query}"),
            Call::post(format!("{ORDERS}?{query}"), &order("b", json!({}))),
        )
    };
    let delete = |query: &str| {
        row(
            format!("delete {query}"),
            Call::delete(order_path(&format!("a?{query}"))),
        )
    };
    let delete_with = |body: Value| {
        row(
            format!("delete {body}"),
            Call::delete(order_path("a")).typed("application/json", body.to_string()),
        )
    };
    let rows = vec![
        list("limit=many").says("limit must be an integer, not \"many\""),
        list("limit=99999999999999999999").says("limit must be an integer"),
        list("resourceVersion=new").says("resourceVersion: Invalid value: \"new\""),
        list("resourceVersion=-1").says("Invalid value"),
        list("continue=nonsense").says("continue key is not valid"),
        list("continue=e30").says("continue key is not valid"),
        list("labelSelector=a%20b").says("unable to parse label selector \"a b\""),
        list("labelSelector=a%20in%20()").says("the set after in is empty"),
        list("labelSelector=%00").says("unable to parse label selector"),
        list("fieldSelector=spec.x%3Dy").says("field label not supported: spec.x; this resource can be selected by metadata.name, metadata.namespace, "),
        list("fieldSelector=metadata.name").says("is no comparison by =, == or !="),
        list("fieldSelector=metadata.name%3D%00").says("holds the character U+0000"),
        list("fieldSelector=metadata.name%3Da%3Db").says("unable to parse field selector"),
        list("resourceVersionMatch=Exact").invalid("resourceVersionMatch", FORBIDDEN).says("ListOptions.meta.k8s.io \"\" is invalid: "),
        list("sendInitialEvents=true").invalid("sendInitialEvents", FORBIDDEN),
        list("timeout=soon").says("invalid timeout specified in the request URL").says("such as 30s or 1m30s"),
        watch("resourceVersion=new").invalid("resourceVersion", INVALID),
        watch("sendInitialEvents=true").invalid("resourceVersionMatch", FORBIDDEN),
        watch("fieldSelector=spec.x%3Dy").says("field label not supported"),
        row("get at no version", Call::get(order_path("a?resourceVersion=new"))).says("Invalid value"),
        row("export", Call::get(order_path("a?export=true"))).says("export is no longer supported"),
        post("dryRun=Some").invalid("dryRun", NOT_SUPPORTED).says("CreateOptions.meta.k8s.io").says("supported values: \"All\""),
        post("dryRun=All&dryRun=Some").invalid("dryRun", NOT_SUPPORTED),
        post(&format!("fieldManager={}", "x".repeat(129))).invalid("fieldManager", "FieldValueTooLong"),
        post("fieldManager=%07").invalid("fieldManager", INVALID),
        post("timeout=1").says("invalid timeout"),
        delete("propagationPolicy=Some").invalid("propagationPolicy", NOT_SUPPORTED).says("\"Background\", \"Foreground\", \"Orphan\""),
        delete("gracePeriodSeconds=soon").says("gracePeriodSeconds must be an integer"),
        delete("dryRun=Some").invalid("dryRun", NOT_SUPPORTED),
        delete_with(json!({"kind": "Pod"})).says("the body of a delete must be DeleteOptions, not \"Pod\""),
        delete_with(json!({"gracePeriodSeconds": "soon"})).says("the body cannot be read as DeleteOptions"),
        delete_with(json!({"orphanDependents": true, "propagationPolicy": "Orphan"})).invalid("propagationPolicy", INVALID),
        delete_with(json!([])).says("the body cannot be read as DeleteOptions"),
        row("a patch by force", Call::merge(order_path("a?force=true"), &json!({}))).invalid("force", FORBIDDEN),
    ];
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn paths_that_climb_or_name_nothing_are_refused() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let nothing = |path: &str| row(format!("GET {path}"), Call::get(path)).is(404, "NotFound");
    let not_found = |name: &str| nothing(&order_path(name)).says("not found");
    let mut rows = vec![
        not_found("..%2e"),
        not_found("%252e%252e"),
        not_found("%ff%fe"),
        not_found("A"),
        nothing(&order_path("..")),
        nothing(&order_path("a%2fstatus%2fx")),
        nothing(&order_path("../agents")),
        nothing(&order_path("a/b/c/d")),
        nothing(&format!("{GROUP}/namespaces")),
        nothing(&format!("{GROUP}/pods")).says("nothing is served at"),
        nothing("/apis/work.brokkr.io/v9/workorders"),
        nothing("/apis/other.io/v1alpha1/workorders"),
        nothing("/api/v1/pods"),
        nothing(&format!("{GROUP}/namespaces/team-a/agents")),
        nothing(&format!("{GROUP}/workorders/a")),
    ];
    let null = "the path holds the character U+0000";
    for path in [
        order_path("a%00"),
        order_path("%00/claim"),
        format!("{GROUP}/namespaces/%00/workorders"),
        format!("{GROUP}/namespaces/%00/workorderlogs"),
        format!("{AGENTS}/%00/pending"),
    ] {
        rows.push(row(format!("GET {path}"), Call::get(&path)).says(null));
    }
    for (method, path) in [
        (Method::POST, order_path("a")),
        (Method::PUT, ORDERS.to_owned()),
        (Method::PATCH, ORDERS.to_owned()),
        (Method::POST, LOGS.to_owned()),
        (Method::DELETE, LOGS.to_owned()),
        (Method::OPTIONS, ORDERS.to_owned()),
        (Method::POST, format!("{GROUP}/workorders")),
        (Method::DELETE, format!("{GROUP}/workorders")),
    ] {
        let refused = row(
            format!("{method} {path}"),
            Call::new(method, path).typed("application/json", "{}"),
        );
        rows.push(
            refused
                .is(405, "MethodNotAllowed")
                .says("is not supported on resources of kind"),
        );
    }
    rows.push(
        row(
            "a method nobody knows",
            Call::new(Method::from_bytes(b"BREW").unwrap(), ORDERS),
        )
        .is(405, "MethodNotAllowed"),
    );
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn c060_headers_of_impersonation_are_refused_for_every_verb() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let mut rows = Vec::new();
    for name in [
        "Impersonate-User",
        "impersonate-group",
        "IMPERSONATE-UID",
        "Impersonate-Extra-Scopes",
    ] {
        for call in [
            Call::get(ORDERS),
            Call::get(order_path("a")),
            Call::post(ORDERS, &order("b", json!({}))),
            Call::merge(order_path("a"), &json!({"spec": {"priority": 1}})),
            Call::delete(order_path("a")),
            Call::get("/apis"),
        ] {
            let refused = row(
                format!("{} {} with {name}", call.method, call.path),
                call.header(name, "root"),
            );
            rows.push(
                refused
                    .is(403, "Forbidden")
                    .says(name.to_ascii_lowercase())
                    .says("kube-apiserver"),
            );
        }
    }
    all_refused(&server, &server.ada, rows).await;
}

/// Requests that no client library would send, over HTTP/1.1.
#[tokio::test]
async fn absurd_requests_end_with_their_connection_and_the_server_goes_on() {
    let server = Server::start().await;
    let start = format!("GET {ORDERS} HTTP/1.1\r\nhost: api.brokkr.svc\r\n");
    let post =
        format!("POST {ORDERS} HTTP/1.1\r\nhost: api.brokkr.svc\r\ncontent-type: application/json\r\n");
    let before = server.traces().await;
    for (what, request) in [
        (
            "a header of two mebibytes",
            format!("{start}x-long: {}\r\n\r\n", "x".repeat(2 << 20)),
        ),
        (
            "ten thousand headers",
            format!("{start}{}\r\n", "x-many: 1\r\n".repeat(10_000)),
        ),
        (
            "a path of two mebibytes",
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(2 << 20)),
        ),
        ("a header without a name", format!("{start}: x\r\n\r\n")),
        (
            "a header with a blank in its name",
            format!("{start}a b: x\r\n\r\n"),
        ),
        ("a header with a null", format!("{start}x-null: a\0b\r\n\r\n")),
        (
            "a length that is no number",
            format!("{post}content-length: many\r\n\r\n{{}}"),
        ),
        (
            "two lengths",
            format!("{post}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"),
        ),
        (
            "a length below zero",
            format!("{post}content-length: -1\r\n\r\n{{}}"),
        ),
        (
            "a chunk of no size",
            format!("{post}transfer-encoding: chunked\r\n\r\nxyz\r\n"),
        ),
        (
            "no HTTP at all",
            "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\r\n\r\n".to_owned(),
        ),
    ] {
        let answer = server.ada.raw(request.as_bytes()).await;
        let code = answer.split(' ').nth(1).unwrap_or("none");
        // Not even a request: hyper answers it, or only closes. Never with a success and never with a defect.
        let refused = code == "none" || code.starts_with('4');
        assert!(
            refused,
            "{what}: {}",
            answer.chars().take(300).collect::<String>()
        );
        assert_eq!(server.traces().await, before, "{what}");
    }
    server.create("after", json!({})).await;
}
