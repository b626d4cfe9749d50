//! The claim protocol refused: who may not, what is held, what is spent.

use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::refusal::{NOT_SUPPORTED, Row, all_refused, row};
use crate::server::{AGENTS, LOGS, Server, order_path, request};

fn claim_body(agent: &str, holder: &str) -> Value {
    request("WorkOrderClaim", json!({"agent": agent, "holder": holder}))
}

pub(crate) fn claim(order: &str, agent: &str, holder: &str) -> Call {
    Call::post(order_path(&format!("{order}/claim")), &claim_body(agent, holder))
}

/// A request of a holder about its claim.
pub(crate) fn report(order: &str, verb: &str, kind: &str, spec: Value) -> Call {
    Call::post(order_path(&format!("{order}/{verb}")), &request(kind, spec))
}

/// Uid and fence of a claim.
fn held(answer: &Value) -> (Value, Value) {
    (
        answer["status"]["order"]["metadata"]["uid"].clone(),
        answer["status"]["fence"].clone(),
    )
}

pub(crate) async fn granted(client: &Client, call: Call) -> (Value, Value) {
    held(&client.send(&call).await.expect(201))
}

#[tokio::test]
async fn c048_nobody_claims_in_the_name_of_another() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let east = server.agent("east").await;
    server.agent("west").await;
    let forbidden = |name: &str, call: Call| row(name, call).is(403, "Forbidden").cause("NotAgentIdentity");
    let other = "user \"east\" is not the identity of agent \"west\"; call with the account that spec.identity of the agent names";
    let batch = |verb: &str, kind: &str, spec: Value| {
        Call::post(format!("{AGENTS}/west/{verb}"), &request(kind, spec))
    };
    let rows = vec![
        forbidden("claim by name", claim("a", "west", "p1")).says(other),
        forbidden(
            "claim in a batch",
            batch("claim", "AgentClaim", json!({"holder": "p1"})),
        )
        .says(other),
        forbidden(
            "renew in a batch",
            batch("renew", "AgentRenewal", json!({"holder": "p1"})),
        )
        .says(other),
        forbidden(
            "complete in a batch",
            batch("complete", "AgentCompletion", json!({"holder": "p1"})),
        )
        .says(other),
        forbidden("what it could claim", Call::get(format!("{AGENTS}/west/pending"))).says(other),
        row("an agent that is none", claim("a", "north", "p1"))
            .is(404, "NotFound")
            .says("agents.work.brokkr.io \"north\" not found"),
        row("an order that is none", claim("none", "east", "p1"))
            .is(404, "NotFound")
            .says("workorders.work.brokkr.io \"none\" not found"),
    ];
    all_refused(&server, &east, rows).await;
    let status = Call::merge(
        format!("{AGENTS}/west/status"),
        &json!({"status": {"version": "forged"}}),
    );
    let refused = row("the status of another", status).is(403, "Forbidden");
    let refused = refused
        .at("spec.identity", "IdentityMismatch")
        .says("user \"east\" is not agent \"west\"");
    all_refused(&server, &east, vec![refused]).await;

    // Whoever is no agent at all reports for nobody.
    let spec = json!({"uid": "00000000-0000-4000-8000-000000000000", "fence": 7, "outcome": "Succeeded"});
    let complete = report("a", "complete", "WorkOrderCompletion", spec.clone());
    let renew = report(
        "a",
        "renew",
        "WorkOrderRenewal",
        json!({"uid": spec["uid"], "fence": 7}),
    );
    let none = "user \"ada\" is the identity of no agent";
    let rows = vec![
        forbidden("complete", complete).says(none),
        forbidden("renew", renew).says(none),
    ];
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn what_is_held_names_its_holder_and_until_when() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let (east, west) = (server.agent("east").await, server.agent("west").await);
    let answer = east.send(&claim("a", "east", "process-1")).await.expect(201);
    let expires = answer["status"]["expiresAt"].as_str().unwrap().to_owned();

    let second = Call::post(order_path("a/claim"), &claim_body("west", "process-2"));
    let refused = west.send(&second).await.expect(409);
    let causes = refused["details"]["causes"].as_array().unwrap();
    let value =
        |reason: &str| causes.iter().find(|cause| cause["reason"] == reason).unwrap()["message"].clone();
    assert_eq!(
        (value("Agent"), value("Holder")),
        (json!("east"), json!("process-1"))
    );
    assert_eq!(
        value("Fence").as_str().unwrap(),
        answer["status"]["fence"].to_string().trim_matches('"')
    );
    let until: jiff::Timestamp = value("ExpiresAt").as_str().unwrap().parse().unwrap();
    assert_eq!(
        until,
        expires.parse().unwrap(),
        "the expiry that the holder was told"
    );

    let conflict = |name: &str, call: Call| row(name, call).is(409, "Conflict");
    let held = ["Agent", "Holder", "Fence", "ExpiresAt"];
    let all = |row: Row, first| held.into_iter().fold(row.cause(first), Row::cause);
    let message = "workorder \"a\" in namespace \"team-a\" cannot be claimed by agent \"west\": the order is held by agent east until 20";
    let rows = vec![all(conflict("another agent", second).says(message), "Held")];
    all_refused(&server, &west, rows).await;
    let rows = vec![all(
        conflict("another process", claim("a", "east", "process-2")).says("set takeover to take it over"),
        "HeldByOtherProcess",
    )];
    all_refused(&server, &east, rows).await;
}

#[tokio::test]
async fn what_cannot_be_claimed_says_why() {
    let server = Server::start().await;
    let east = server.agent("east").await;
    server.create("suspended", json!({"suspend": true})).await;
    server
        .create("elsewhere", json!({"targets": [{"agentNames": ["west"]}]}))
        .await;
    server.create("done", json!({})).await;
    let (uid, fence) = granted(&east, claim("done", "east", "p1")).await;
    let spec = json!({"uid": uid, "fence": fence, "outcome": "Succeeded"});
    east.send(&report("done", "complete", "WorkOrderCompletion", spec.clone()))
        .await
        .expect(201);
    server.create("once", json!({})).await;
    let mut body = claim_body("east", "p1");
    body["spec"]["requestID"] = json!("r1");
    east.send(&Call::post(order_path("once/claim"), &body))
        .await
        .expect(201);
    body["spec"]["holder"] = json!("p2");

    let conflict = |name: &str, call: Call| row(name, call).is(409, "Conflict");
    let mut otherwise = spec;
    otherwise["outcome"] = json!("Failed");
    otherwise["reason"] = json!("Forbidden");
    let rows = vec![
        conflict("suspended", claim("suspended", "east", "p1"))
            .cause("Suspended")
            .says("set spec.suspend to false"),
        conflict("finished", claim("done", "east", "p1"))
            .cause("Finished")
            .says("finished with phase Succeeded"),
        conflict(
            "a request id with another body",
            Call::post(order_path("once/claim"), &body),
        )
        .cause("RequestIDReused"),
        row("for another agent", claim("elsewhere", "east", "p1"))
            .is(403, "Forbidden")
            .cause("NotTargeted")
            .says("east"),
        conflict(
            "completed otherwise",
            report("done", "complete", "WorkOrderCompletion", otherwise),
        )
        .cause("AttemptEnded")
        .says("has ended as Succeeded already"),
    ];
    all_refused(&server, &east, rows).await;
}

#[tokio::test]
async fn an_old_fence_is_spent_for_everything() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let (east, west) = (server.agent("east").await, server.agent("west").await);
    let (uid, old) = granted(&east, claim("a", "east", "p1")).await;
    let release = json!({"uid": uid, "fence": old, "reason": "handing over"});
    east.send(&report("a", "release", "WorkOrderRelease", release.clone()))
        .await
        .expect(201);
    let (_, fence) = granted(&west, claim("a", "west", "p2")).await;
    assert_ne!(fence, old);

    let spent = "the claim this request carries is no longer current; stop the work or detach from it";
    let conflict = |name: &str, call: Call| {
        let refused = row(name, call).is(409, "Conflict").says(spent).says("west");
        ["FenceSpent", "Phase", "Agent", "Holder", "Fence"]
            .into_iter()
            .fold(refused, Row::cause)
    };
    let spec = json!({"uid": uid, "fence": old});
    let mut completion = spec.clone();
    completion["outcome"] = json!("Succeeded");
    let rows = vec![
        conflict("renew", report("a", "renew", "WorkOrderRenewal", spec)),
        conflict("release", report("a", "release", "WorkOrderRelease", release)),
        conflict(
            "complete",
            report("a", "complete", "WorkOrderCompletion", completion),
        ),
    ];
    all_refused(&server, &east, rows).await;
    assert_eq!(
        server.ada.send(&Call::get(LOGS)).await.expect(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn items_of_a_batch_fail_alone_and_say_what_a_request_of_their_own_would() {
    let server = Server::start().await;
    let east = server.agent("east").await;
    for name in ["a", "b"] {
        server.create(name, json!({})).await;
    }
    let (uid, fence) = granted(&east, claim("a", "east", "p1")).await;
    let item = |name: &str, uid: &Value, fence: &Value, outcome: &str| json!({"namespace": "team-a", "name": name, "uid": uid, "fence": fence, "outcome": outcome});
    let items = [
        item("a", &json!("nonsense"), &fence, "Succeeded"),
        item("a", &uid, &json!(0), "Succeeded"),
        item("a", &uid, &fence, "Failed"),
        item("a", &uid, &json!(1), "Succeeded"),
        item("a", &uid, &fence, "Succeeded"),
    ];
    let batch = request("AgentCompletion", json!({"holder": "p1", "items": items}));
    let answer = east
        .send(&Call::post(format!("{AGENTS}/east/complete"), &batch))
        .await
        .expect(201);
    let items = answer["status"]["items"].as_array().unwrap();
    let told: Vec<_> = items
        .iter()
        .map(|item| {
            (
                item["code"].as_i64().unwrap(),
                item["reason"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(told[..3], [(422, "Invalid"); 3], "{answer:#}");
    let field = |index: usize| items[index]["details"]["causes"][0]["field"].as_str().unwrap();
    assert_eq!(
        [field(0), field(1), field(2)],
        ["spec.items[0].uid", "spec.items[1].fence", "spec.items[2].reason"]
    );
    assert_eq!(told[3], (409, "Conflict"), "{answer:#}");
    assert_eq!(items[4]["phase"], "Succeeded", "{answer:#}");
    let entries = server.ada.send(&Call::get(LOGS)).await.expect(200);
    assert_eq!(entries["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn c175_a_dry_run_claims_completes_and_releases_nothing() {
    let server = Server::start().await;
    let east = server.agent("east").await;
    server.create("held", json!({})).await;
    server.create("waiting", json!({})).await;
    let (uid, fence) = granted(&east, claim("held", "east", "p1")).await;
    let dry = |mut call: Call| {
        call.path.push_str("?dryRun=All");
        call
    };
    let before = server.traces().await;
    let spec = json!({"uid": uid, "fence": fence});
    let mut completion = spec.clone();
    completion["outcome"] = json!("Succeeded");
    let mut item = completion.clone();
    item["namespace"] = json!("team-a");
    item["name"] = json!("held");
    let batch = |verb: &str, kind: &str, spec: Value| {
        Call::post(format!("{AGENTS}/east/{verb}"), &request(kind, spec))
    };
    for call in [
        claim("waiting", "east", "p1"),
        batch(
            "claim",
            "AgentClaim",
            json!({"holder": "p1", "max": 10, "requestID": "r"}),
        ),
        report(
            "held",
            "renew",
            "WorkOrderRenewal",
            json!({"uid": uid, "fence": fence, "progress": {"phase": "Running", "message": "on its way"}}),
        ),
        report("held", "complete", "WorkOrderCompletion", completion.clone()),
        report("held", "release", "WorkOrderRelease", spec.clone()),
        batch("renew", "AgentRenewal", json!({"holder": "p1", "items": [item]})),
        batch(
            "complete",
            "AgentCompletion",
            json!({"holder": "p1", "items": [item]}),
        ),
        Call::post(crate::server::ORDERS, &crate::server::order("new", json!({}))),
        Call::delete(order_path("waiting")),
        Call::delete(crate::server::ORDERS),
        Call::merge(
            order_path("waiting"),
            &json!({"spec": {"cancel": {"reason": "x"}}}),
        ),
    ] {
        let path = call.path.clone();
        let answer = east.send(&dry(call)).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        assert_eq!(server.traces().await, before, "{path}");
    }
    // What a dry run answers is what the real one would.
    let refused = dry(report(
        "held",
        "complete",
        "WorkOrderCompletion",
        json!({"uid": uid, "fence": 1, "outcome": "Succeeded"}),
    ));
    let refused = east.send(&refused).await.expect(409);
    assert_eq!(
        refused["details"]["causes"][0]["reason"], "FenceSpent",
        "{refused:#}"
    );
    let unknown = Call::post(order_path("waiting/claim?dryRun=Some"), &claim_body("east", "p1"));
    all_refused(
        &server,
        &east,
        vec![
            row("another word", unknown)
                .invalid("dryRun", NOT_SUPPORTED)
                .says("supported values: \"All\""),
        ],
    )
    .await;
    // And the claim is as good as before.
    assert_eq!(
        east.send(&report("held", "complete", "WorkOrderCompletion", completion))
            .await
            .expect(201)["status"]["phase"],
        "Succeeded"
    );
}
