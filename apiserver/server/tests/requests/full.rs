//! Orders as large as they may be: nobody makes them larger, and they still go their whole way.

use serde_json::{Value, json};

use crate::claims::{claim, granted, report};
use crate::client::{Call, SOON};
use crate::refusal::{Row, all_refused, row};
use crate::server::{AGENTS, Server, order_path};

const OBJECT_BYTES_MAX: usize = 1536 * 1024;

/// A condition that is not the server's, with a message of this length.
fn condition(length: usize) -> Value {
    json!({"status": {"conditions": [{"type": "Filler", "status": "True", "reason": "Full",
        "message": "x".repeat(length), "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

/// Creates an order and makes it as large as it may be, but for a few bytes.
async fn full(server: &Server, name: &str, spec: Value) {
    server.create(name, spec).await;
    let fill = |length| Call::merge(order_path(&format!("{name}/status")), &condition(length));
    let small = server.ada.send(&fill(0)).await;
    let answer = server
        .ada
        .send(&fill(OBJECT_BYTES_MAX - 20 - small.body.len()))
        .await;
    assert_eq!(answer.status, 200, "{name}");
}

#[tokio::test]
async fn c067_order_is_not_grown_beyond_its_bound_by_anything_it_has() {
    let server = Server::start().await;
    full(&server, "a", json!({})).await;
    server.agent("east").await;
    let many = |count: usize, entry: &dyn Fn(usize) -> Value| Value::Array((0..count).map(entry).collect());
    let labels = |count: usize| {
        let label = |number: usize| (format!("label-{number}"), Value::from("x".repeat(63)));
        Value::Object((0..count).map(label).collect())
    };
    let owner = |number: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": format!("n{number}"), "uid": number.to_string()});
    let order = |patch: Value| Call::merge(order_path("a"), &patch);
    let rows = [
        row("a label", order(json!({"metadata": {"labels": labels(1)}}))),
        row(
            "an annotation",
            order(json!({"metadata": {"annotations": labels(1)}})),
        ),
        row(
            "a finalizer",
            order(json!({"metadata": {"finalizers": ["example.com/held"]}})),
        ),
        row(
            "an owner",
            order(json!({"metadata": {"ownerReferences": many(1, &owner)}})),
        ),
        row(
            "a field of the spec",
            order(json!({"spec": {"cancel": {"reason": "x".repeat(100)}}})),
        ),
        row(
            "a condition",
            Call::merge(order_path("a/status"), &condition(OBJECT_BYTES_MAX)),
        ),
        row(
            "owners of an agent",
            Call::merge(
                format!("{AGENTS}/east"),
                &json!({"metadata": {"ownerReferences": many(30_000, &owner)}}),
            ),
        ),
    ];
    let limit = format!("bytes, the limit is {OBJECT_BYTES_MAX}");
    let too_large = |row: Row| row.is(413, "RequestEntityTooLarge").says(limit.clone());
    all_refused(&server, &server.ada, rows.into_iter().map(too_large).collect()).await;
}

#[tokio::test]
async fn c067_full_order_is_claimed_completed_and_expires() {
    let server = Server::start().await;
    let east = server.agent("east").await;
    full(&server, "a", json!({"ttlSecondsAfterFinished": 1})).await;
    let (uid, fence) = granted(&east, claim("a", "east", "p1")).await;
    let progress = json!({"phase": "Running", "message": "x".repeat(4096)});
    let spec = json!({"uid": uid, "fence": fence, "progress": progress});
    east.send(&report("a", "renew", "WorkOrderRenewal", spec))
        .await
        .expect(201);
    let spec =
        json!({"uid": uid, "fence": fence, "outcome": "Succeeded", "results": {"a": "x".repeat(60_000)}});
    let completed = east
        .send(&report("a", "complete", "WorkOrderCompletion", spec))
        .await
        .expect(201);
    assert_eq!(completed["status"]["phase"], "Succeeded");
    let stored = server.ada.send(&Call::get(order_path("a"))).await;
    assert!(stored.body.len() > OBJECT_BYTES_MAX, "{}", stored.body.len());

    server.sweep();
    let gone = async {
        while server.ada.send(&Call::get(order_path("a"))).await.status != 404 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("it expires");
}

#[tokio::test]
async fn c067_full_order_that_is_held_can_be_deleted() {
    let server = Server::start().await;
    let east = server.agent("east").await;
    full(&server, "a", json!({})).await;
    let (uid, fence) = granted(&east, claim("a", "east", "p1")).await;
    let cancelled = server.ada.send(&Call::delete(order_path("a"))).await.expect(200);
    assert_eq!(cancelled["metadata"]["name"], "a");
    let spec = json!({"uid": uid, "fence": fence, "outcome": "Cancelled"});
    east.send(&report("a", "complete", "WorkOrderCompletion", spec))
        .await
        .expect(201);
    server.ada.send(&Call::get(order_path("a"))).await.expect(404);
}
