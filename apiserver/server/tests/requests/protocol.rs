//! Malformed bodies of the claim protocol: 422 with every field.

use serde_json::{Value, json};

use crate::claims::{claim, granted, report};
use crate::client::Call;
use crate::refusal::{INVALID, NOT_SUPPORTED, REQUIRED, TOO_LONG, TOO_MANY, all_refused, row};
use crate::server::{AGENTS, Server, order_path, request};

#[tokio::test]
async fn malformed_requests_of_the_protocol_are_refused_by_their_fields() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let east = server.agent("east").await;
    let long = "x".repeat(254);
    let claims = |name: &str, spec: Value| {
        row(
            name,
            Call::post(order_path("a/claim"), &request("WorkOrderClaim", spec)),
        )
    };
    let batch = |name: &str, spec: Value| {
        row(
            name,
            Call::post(format!("{AGENTS}/east/claim"), &request("AgentClaim", spec)),
        )
    };
    let rows = vec![
        claims("nothing", json!({}))
            .invalid("spec.agent", REQUIRED)
            .invalid("spec.holder", REQUIRED)
            .says("WorkOrderClaim.work.brokkr.io \"a\" is invalid"),
        claims("an agent that is no name", json!({"agent": "A b", "holder": "p"}))
            .invalid("spec.agent", INVALID),
        claims("no holder", json!({"agent": "east"}))
            .invalid("spec.holder", REQUIRED)
            .says("must be the random id of the agent process"),
        claims("a long holder", json!({"agent": "east", "holder": long}))
            .invalid("spec.holder", TOO_LONG)
            .says("may not be more than 253 bytes, it has 254"),
        claims(
            "a long request id",
            json!({"agent": "east", "holder": "p", "requestID": long}),
        )
        .invalid("spec.requestID", TOO_LONG)
        .says("it has 254"),
        claims(
            "a takeover that is a text",
            json!({"agent": "east", "holder": "p", "takeover": "yes"}),
        )
        .says("spec.takeover: invalid type: string \"yes\", expected a boolean"),
        row(
            "another name in the body",
            Call::post(
                order_path("a/claim"),
                &json!({"metadata": {"name": "b"}, "spec": {"agent": "east", "holder": "p"}}),
            ),
        )
        .says("the name of the object (b) does not match the name on the URL (a)"),
        batch("no holder", json!({})).invalid("spec.holder", REQUIRED),
        batch("none", json!({"holder": "p", "max": 0}))
            .invalid("spec.max", INVALID)
            .says("must be between 1 and 100, inclusive"),
        batch("fewer than none", json!({"holder": "p", "max": -1})).invalid("spec.max", INVALID),
        batch("too many", json!({"holder": "p", "max": 101}))
            .invalid("spec.max", INVALID)
            .says("101"),
        batch("all there are", json!({"holder": "p", "max": 1e30})).says("spec.max: invalid type"),
        batch("a long wait", json!({"holder": "p", "waitSeconds": 61}))
            .invalid("spec.waitSeconds", INVALID)
            .says("between 0 and 60"),
        batch("a long request id", json!({"holder": "p", "requestID": long}))
            .invalid("spec.requestID", TOO_LONG),
        batch(
            "a work type that is none",
            json!({"holder": "p", "workTypes": ["build", "lunch"]}),
        )
        .invalid("spec.workTypes[1]", NOT_SUPPORTED)
        .says("lunch"),
    ];
    all_refused(&server, &east, rows).await;
}

#[tokio::test]
async fn malformed_reports_are_refused_by_their_fields() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let east = server.agent("east").await;
    let (uid, fence) = granted(&east, claim("a", "east", "p1")).await;
    let with = |spec: Value| {
        let mut all = json!({"uid": uid, "fence": fence, "outcome": "Succeeded"});
        all.as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        all
    };
    let complete =
        |name: &str, spec: Value| row(name, report("a", "complete", "WorkOrderCompletion", with(spec)));
    let renew = |name: &str, progress: Value| {
        let spec = json!({"uid": uid, "fence": fence, "progress": progress});
        row(name, report("a", "renew", "WorkOrderRenewal", spec))
    };
    let results = json!({"a": "x".repeat(64 << 10)});
    let bytes = serde_json::to_vec(&results).unwrap().len();
    let items = vec![
        json!({"namespace": "team-a", "name": "a", "uid": uid, "fence": fence, "outcome": "Succeeded"});
        101
    ];
    let rows = vec![
        complete("no uid", json!({"uid": ""})).invalid("spec.uid", REQUIRED),
        complete("no uid but a text", json!({"uid": "a"}))
            .invalid("spec.uid", INVALID)
            .says("must be the uid of the order"),
        complete("no fence", json!({"fence": null})).invalid("spec.fence", REQUIRED),
        complete("a fence below all", json!({"fence": -1})).invalid("spec.fence", REQUIRED),
        complete("a fence that is a text", json!({"fence": "new"})).says("spec.fence: "),
        complete("an unknown outcome", json!({"outcome": "Mostly"}))
            .says("spec.outcome: ")
            .says("Mostly")
            .says("Succeeded")
            .says("Failed"),
        complete("a failure without a reason", json!({"outcome": "Failed"}))
            .invalid("spec.reason", REQUIRED)
            .says("must be set when outcome is Failed"),
        complete(
            "a long reason",
            json!({"outcome": "Failed", "reason": "x".repeat(129)}),
        )
        .invalid("spec.reason", TOO_LONG)
        .says("may not be more than 128 bytes, it has 129"),
        complete("a long message", json!({"message": "x".repeat(4097)}))
            .invalid("spec.message", TOO_LONG)
            .says("it has 4097"),
        complete("large results", json!({"results": results}))
            .invalid("spec.results", TOO_LONG)
            .says(format!("may not be more than 65536 bytes, it has {bytes}")),
        complete("results that are a list", json!({"results": []}))
            .says("spec.results: invalid type: sequence"),
        complete("an exit code beyond all", json!({"exitCode": 99_999_999_999_i64})).says("spec.exitCode: "),
        renew("a long message", json!({"message": "x".repeat(4097)}))
            .invalid("spec.progress.message", TOO_LONG),
        renew(
            "too many actions",
            json!({"actions": vec![json!({"step": "a", "state": "Running"}); 257]}),
        )
        .invalid("spec.progress.actions", TOO_MANY)
        .says("Too many: 257: must have at most 256 items"),
        renew(
            "a child of no name",
            json!({"childRef": {"apiVersion": "v1", "kind": "Pod", "name": ""}}),
        )
        .invalid("spec.progress.childRef.name", REQUIRED),
        row(
            "a batch that is too large",
            Call::post(
                format!("{AGENTS}/east/complete"),
                &request("AgentCompletion", json!({"holder": "p1", "items": items})),
            ),
        )
        .invalid("spec.items", TOO_MANY)
        .says("Too many: 101: must have at most 100 items"),
        row(
            "a release of nothing",
            report("a", "release", "WorkOrderRelease", json!({})),
        )
        .invalid("spec.uid", REQUIRED)
        .invalid("spec.fence", REQUIRED),
        row("GET of a claim", Call::get(order_path("a/claim"))).is(405, "MethodNotAllowed"),
        row(
            "a subresource that is none",
            Call::post(order_path("a/finish"), &json!({})),
        )
        .is(404, "NotFound"),
    ];
    all_refused(&server, &east, rows).await;
    // After all of that the claim is as good as before.
    let done = report("a", "complete", "WorkOrderCompletion", with(json!({})));
    assert_eq!(east.send(&done).await.expect(201)["status"]["phase"], "Succeeded");
}
