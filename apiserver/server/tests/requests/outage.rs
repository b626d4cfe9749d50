//! Requests while PostgreSQL is away: 503 with Retry-After, never 404; what needs no database is answered.

use std::time::Duration;

use serde_json::json;
use test_postgres::{Durability, TestPostgres};

use crate::client::{Call, SOON};
use crate::refusal::{all_answered, row};
use crate::server::{AGENTS, GROUP, LOGS, ORDERS, Server, order, order_path, request};

#[tokio::test]
async fn everything_that_needs_the_database_is_503_and_the_rest_is_answered() {
    let mut postgres = TestPostgres::start(Durability::None).unwrap();
    let server = Server::on(&postgres).await;
    let east = server.agent("east").await;
    server.create("a", json!({})).await;
    server.create("b", json!({})).await;
    let claim = request("WorkOrderClaim", json!({"agent": "east", "holder": "p"}));
    let held = east
        .send(&Call::post(order_path("a/claim"), &claim))
        .await
        .expect(201);
    let spec = json!({"uid": held["status"]["order"]["metadata"]["uid"], "fence": held["status"]["fence"], "outcome": "Succeeded"});
    let mut item = spec.clone();
    item["namespace"] = json!("team-a");
    item["name"] = json!("a");
    let batch = json!({"holder": "p", "items": [item]});
    // What was written has reached the cache, so that it can be read from there.
    server.ada.send(&Call::get(order_path("b"))).await.expect(200);
    postgres.stop().unwrap();

    let own =
        |verb: &str, kind: &str| Call::post(order_path(&format!("a/{verb}")), &request(kind, spec.clone()));
    let many =
        |verb: &str, kind: &str, spec| Call::post(format!("{AGENTS}/east/{verb}"), &request(kind, spec));
    let calls = vec![
        Call::get(order_path("b")),
        Call::get(order_path("none")),
        Call::get(ORDERS),
        Call::get(format!("{ORDERS}?limit=1")),
        Call::get(format!(
            "{ORDERS}?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        )),
        Call::get(LOGS),
        Call::get(format!("{GROUP}/workorders")),
        Call::get(AGENTS),
        Call::post(ORDERS, &order("c", json!({}))),
        Call::post(format!("{ORDERS}?dryRun=All"), &order("c", json!({}))),
        Call::put(order_path("b"), &order("b", json!({}))),
        Call::merge(order_path("b"), &json!({"spec": {"priority": 1}})),
        Call::merge(order_path("b/status"), &json!({})),
        Call::delete(order_path("b")),
        Call::delete(ORDERS),
        Call::post(order_path("b/claim"), &claim),
        own("renew", "WorkOrderRenewal"),
        own("complete", "WorkOrderCompletion"),
        own("release", "WorkOrderRelease"),
        many("claim", "AgentClaim", json!({"holder": "p"})),
        many("renew", "AgentRenewal", batch.clone()),
        many("complete", "AgentCompletion", batch),
        Call::get(format!("{AGENTS}/east/pending")),
    ];
    let unavailable = |call: Call| {
        let refused = row(format!("{} {}", call.method, call.path), call).is(503, "ServiceUnavailable");
        refused.says("the database cannot be reached: try again later")
    };
    all_answered(&east, calls.into_iter().map(unavailable).collect()).await;

    for path in [
        "/apis",
        "/apis/work.brokkr.io",
        GROUP,
        "/openapi/v2",
        "/openapi/v3",
        "/version",
        "/livez",
        "/readyz",
        "/healthz",
    ] {
        assert_eq!(east.send(&Call::get(path)).await.status, 200, "{path}");
    }
    for path in [
        order_path("b?resourceVersion=0"),
        format!("{ORDERS}?resourceVersion=0"),
        format!("{AGENTS}?resourceVersion=0"),
    ] {
        east.send(&Call::get(path)).await.expect(200);
    }

    postgres.restart().unwrap();
    let deadline = tokio::time::Instant::now() + SOON;
    while east
        .send(&Call::post(ORDERS, &order("c", json!({}))))
        .await
        .status
        != 201
    {
        assert!(tokio::time::Instant::now() < deadline, "writes come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let done = east
        .send(&own("complete", "WorkOrderCompletion"))
        .await
        .expect(201);
    assert_eq!(
        done["status"]["phase"], "Succeeded",
        "the claim has outlived the outage"
    );
}

/// The deepest body that is taken can be sent on inside of all that it is sent in: a reader that gave up
/// on one order would give up on everything that holds it.
#[tokio::test]
async fn an_order_nested_as_deep_as_may_be_can_be_read_everywhere() {
    let server = Server::start().await;
    let east = server.agent("east").await;
    // The order, its spec, the job and its template are four levels.
    let deep = (0..95).fold(json!(1), |inner, _| json!([inner]));
    let job = json!({"workType": "job", "buildRef": null, "job": {"template": {"a": deep}}, "ttlSecondsAfterFinished": -1});
    server.create("deep", job).await;
    let list = server.ada.send(&Call::get(ORDERS)).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let batch = request("AgentClaim", json!({"holder": "p"}));
    let claimed = east
        .send(&Call::post(format!("{AGENTS}/east/claim"), &batch))
        .await
        .expect(201);
    let item = &claimed["status"]["items"][0];
    let spec =
        json!({"uid": item["order"]["metadata"]["uid"], "fence": item["fence"], "outcome": "Succeeded"});
    let complete = Call::post(order_path("deep/complete"), &request("WorkOrderCompletion", spec));
    assert_eq!(
        east.send(&complete).await.expect(201)["status"]["phase"],
        "Succeeded"
    );
    let entries = server.ada.send(&Call::get(LOGS)).await.expect(200);
    assert_eq!(entries["items"].as_array().unwrap().len(), 1);
    let watch = Call::get(format!("{ORDERS}?watch=true&timeoutSeconds=1"));
    let events = server.ada.send(&watch).await;
    let event: serde_json::Value =
        serde_json::from_slice(events.body.split(|&byte| byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(event["object"]["metadata"]["name"], "deep");
}
