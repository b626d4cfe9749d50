//! Valid requests, mutated at random: none is answered with a defect, and what was stored is valid.
//!
//! The mutations follow from the seed alone, so that a failure can be sent again; see [`size`].

use brokkr_apis::work::v1alpha1::{Agent, WorkOrder};
use brokkr_apis::work::validation::{validate_agent, validate_work_order};
use http::Method;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::server::{AGENTS, LOGS, ORDERS, Server, order, order_path, request};
use crate::size;

/// After so many requests the stored objects are looked at, and taken away.
const BETWEEN_LOOKS: usize = 50;

/// Texts that something may stumble over.
const ODD_TEXTS: [&str; 16] = [
    "",
    " ",
    "\0",
    "..",
    "a/b",
    "%00",
    "null",
    "Secret",
    "build",
    "v1",
    "\u{202e}",
    "\u{feff}x",
    "9223372036854775808",
    "1e999",
    "2026-02-30T00:00:00Z",
    "00000000-0000-4000-8000-000000000000",
];

/// Names that mean something somewhere.
const NAMES: [&str; 16] = [
    "metadata",
    "spec",
    "status",
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "finalizers",
    "labels",
    "workType",
    "manifests",
    "targets",
    "items",
    "kind",
    "fence",
    "deletionTimestamp",
];

/// One change of a body.
#[derive(Clone, Debug)]
enum Mutation {
    Remove(Index),
    Replace(Index, Value),
    Add(Index, String, Value),
    /// The value at one place is put to another.
    Copy(Index, Index),
    /// Bytes of the text, after all else.
    Text(Index, Vec<u8>),
}

fn odd_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(vec![0, 1, -1, i64::MAX, i64::MIN, 1 << 53]).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(ODD_TEXTS.to_vec()).prop_map(Value::from),
        (0..6000_usize).prop_map(|length| Value::from("x".repeat(length))),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let names = prop_oneof![select(NAMES.to_vec()).prop_map(str::to_owned), any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(names, inner, 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let names = select(NAMES.to_vec()).prop_map(str::to_owned);
    prop_oneof![
        2 => any::<Index>().prop_map(Mutation::Remove),
        6 => (any::<Index>(), odd_value()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        3 => (any::<Index>(), names, odd_value()).prop_map(|(at, name, value)| Mutation::Add(at, name, value)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Copy(from, to)),
        1 => (any::<Index>(), vec(any::<u8>(), 0..4)).prop_map(|(at, bytes)| Mutation::Text(at, bytes)),
    ]
}

/// The pointers to all values.
fn places(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, item)| places(item, &format!("{here}/{n}"), all)),
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            places(field, &format!("{here}/{name}"), all);
        }),
        _ => {}
    }
}

fn place(body: &Value, at: &Index) -> String {
    let mut all = Vec::new();
    places(body, "", &mut all);
    at.get(&all).clone()
}

fn remove(body: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return;
    };
    match body.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Some(Value::Array(items)) => drop(name.parse().map(|index: usize| items.remove(index))),
        _ => {}
    }
}

/// The text of a body after its mutations.
fn mutated(mut body: Value, mutations: &[Mutation]) -> Vec<u8> {
    let mut text_changes = Vec::new();
    for mutation in mutations {
        match mutation {
            Mutation::Remove(at) => {
                let pointer = place(&body, at);
                remove(&mut body, &pointer);
            }
            Mutation::Replace(at, value) => {
                let pointer = place(&body, at);
                *body.pointer_mut(&pointer).unwrap() = value.clone();
            }
            Mutation::Add(at, name, value) => {
                let pointer = place(&body, at);
                if let Some(Value::Object(fields)) = body.pointer_mut(&pointer) {
                    fields.insert(name.clone(), value.clone());
                }
            }
            Mutation::Copy(from, to) => {
                let value = body.pointer(&place(&body, from)).unwrap().clone();
                let pointer = place(&body, to);
                *body.pointer_mut(&pointer).unwrap() = value;
            }
            Mutation::Text(at, bytes) => text_changes.push((at, bytes)),
        }
    }
    let mut text = serde_json::to_vec(&body).unwrap();
    for (at, bytes) in text_changes {
        let index = at.index(text.len() + 1);
        let end = (index + bytes.len()).min(text.len());
        text.splice(index..end, bytes.iter().copied());
    }
    text
}

/// Valid requests of every sort; `held` is a claim that is current.
fn valid_requests(held: &Value) -> Vec<Call> {
    let manifest = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}]});
    let full = json!({"manifests": [manifest], "serviceAccount": "builder", "timeout": "10m", "claimTimeoutSeconds": 3600,
        "targets": [{"agentNames": ["east"], "matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}],
        "retryPolicy": {"maxRetries": 2, "backoffSeconds": 1, "retryOn": ["AgentLost"]}, "sideEffects": "None", "priority": 3,
        "ttlSecondsAfterFinished": 60, "activeDeadlineSeconds": 100, "idempotencyKey": "k", "suspend": false,
        "callback": {"url": "https://example.com/", "secretRef": {"name": "s"}}});
    let mut labeled = order("fuzzed", full);
    labeled["metadata"]["labels"] = json!({"a": "b"});
    labeled["metadata"]["annotations"] = json!({"example.com/a": "b"});
    labeled["metadata"]["finalizers"] = json!(["example.com/hold"]);
    labeled["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]);
    let uid = &held["status"]["order"]["metadata"]["uid"];
    let fence = &held["status"]["fence"];
    let claim = json!({"uid": uid, "fence": fence});
    let with = |more: Value| {
        let mut spec = claim.clone();
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        spec
    };
    let progress = with(
        json!({"progress": {"phase": "Running", "message": "m", "childRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}, "actions": [{"name": "a"}]}}),
    );
    let failure = with(
        json!({"outcome": "Failed", "reason": "GitRemoteFailed", "sourceReason": "x", "scope": "Order", "executionStarted": true, "message": "m", "results": {"a": [1, {"b": "c"}]}}),
    );
    let batch = |spec: &Value| {
        let mut item = spec.clone();
        item["namespace"] = json!("team-a");
        item["name"] = json!("held");
        json!({"holder": "p", "items": [item]})
    };
    let own = |verb: &str, kind: &str, spec: &Value| {
        Call::post(order_path(&format!("held/{verb}")), &request(kind, spec.clone()))
    };
    let agents = |verb: &str, kind: &str, spec: Value| {
        Call::post(format!("{AGENTS}/east/{verb}"), &request(kind, spec))
    };
    vec![
        Call::post(ORDERS, &labeled),
        Call::post(ORDERS, &order("other", json!({}))),
        Call::put(order_path("fuzzed"), &labeled),
        Call::merge(order_path("fuzzed"), &json!({"metadata": {"labels": {"a": null, "b": "c"}}, "spec": {"priority": 1, "suspend": true}})),
        Call::json_patch(order_path("fuzzed"), &json!([{"op": "add", "path": "/metadata/labels/x", "value": "y"}, {"op": "copy", "from": "/spec", "path": "/status"}])),
        Call::merge(order_path("fuzzed/status"), &json!({"status": {"conditions": [{"type": "a/B", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})),
        Call::delete(order_path("fuzzed")).typed("application/json", json!({"kind": "DeleteOptions", "gracePeriodSeconds": 1, "propagationPolicy": "Background", "preconditions": {"uid": "u"}}).to_string()),
        Call::post(AGENTS, &json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent", "metadata": {"name": "fuzzed", "labels": {"a": "b"}}, "spec": {"identity": "fuzzed", "workTypes": ["build"], "concurrency": {"total": 2, "byType": {"build": 1}}, "leaseSeconds": 60}})),
        Call::merge(format!("{AGENTS}/east/status"), &json!({"status": {"version": "v1", "capabilities": {"a": "b"}, "conditions": []}})),
        own("claim", "WorkOrderClaim", &json!({"agent": "east", "holder": "p", "requestID": "r", "takeover": true})),
        own("renew", "WorkOrderRenewal", &progress),
        own("complete", "WorkOrderCompletion", &failure),
        own("release", "WorkOrderRelease", &with(json!({"reason": "r", "force": false}))),
        agents("claim", "AgentClaim", json!({"holder": "p", "requestID": "r", "max": 2, "workTypes": ["build"], "waitSeconds": 0})),
        agents("renew", "AgentRenewal", batch(&progress)),
        agents("complete", "AgentCompletion", batch(&failure)),
    ]
}

/// A query that is there one time in four.
fn query() -> impl Strategy<Value = String> {
    let keys = select(vec![
        "dryRun",
        "fieldValidation",
        "fieldManager",
        "timeout",
        "pretty",
        "force",
        "labelSelector",
        "fieldSelector",
        "limit",
        "continue",
        "resourceVersion",
    ]);
    let values = select(vec![
        "",
        "All",
        "Strict",
        "Ignore",
        "1s",
        "a%3Db",
        "%00",
        "%ff",
        "-1",
        "metadata.name%3D%00",
        "e30",
        "99999999999999999999",
    ]);
    prop_oneof![3 => Just(String::new()), 1 => (keys, values).prop_map(|(key, value)| format!("?{key}={value}"))]
}

/// What is stored is what validation would let in again, and can be listed in every way.
async fn check_stored(client: &Client) {
    let orders = client.send(&Call::get(ORDERS)).await.expect(200);
    for item in orders["items"].as_array().unwrap() {
        let mut order: WorkOrder =
            serde_json::from_value(item.clone()).unwrap_or_else(|error| panic!("{error}: {item:#}"));
        // It may be asked for later, not at the creation.
        order.spec.cancel = None;
        assert_eq!(validate_work_order(&order), [], "{item:#}");
    }
    let agents = client.send(&Call::get(AGENTS)).await.expect(200);
    for item in agents["items"].as_array().unwrap() {
        let agent: Agent =
            serde_json::from_value(item.clone()).unwrap_or_else(|error| panic!("{error}: {item:#}"));
        assert_eq!(validate_agent(&agent), [], "{item:#}");
    }
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    for path in [ORDERS, AGENTS, LOGS] {
        client
            .send(&Call::get(path).header("accept", table))
            .await
            .expect(200);
    }
}

/// Whether a request speaks of what may not be there: an order that is taken away, or a uid or an agent which
/// mutation has made from another.
fn may_be_missing(call: &Call, held: &Value) -> bool {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let other = |field: &str, own: &Value| body["spec"][field].is_string() && body["spec"][field] != *own;
    let another = other("uid", &held["status"]["order"]["metadata"]["uid"]) || other("agent", &json!("east"));
    call.method == Method::DELETE || call.path.contains("fuzzed") || another
}

async fn clean(client: &Client) {
    for item in client.send(&Call::get(ORDERS)).await.expect(200)["items"]
        .as_array()
        .unwrap()
    {
        let name = item["metadata"]["name"].as_str().unwrap();
        if name != "held" {
            client
                .send(&Call::merge(
                    order_path(name),
                    &json!({"metadata": {"finalizers": null}}),
                ))
                .await;
            client.send(&Call::delete(order_path(name))).await;
        }
    }
}

#[tokio::test]
async fn mutated_requests_meet_no_defect_and_leave_nothing_invalid() {
    let (total, seed) = (size::requests(), size::seed());
    let server = Server::start().await;
    let east = server.agent("east").await;
    server
        .create("held", json!({"ttlSecondsAfterFinished": -1}))
        .await;
    let body = request("WorkOrderClaim", json!({"agent": "east", "holder": "p"}));
    let held = east
        .send(&Call::post(order_path("held/claim"), &body))
        .await
        .expect(201);
    let requests = valid_requests(&held);

    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
    );
    let strategy = (any::<Index>(), vec(mutation(), 0..4), query());
    let mut codes = std::collections::BTreeMap::<u16, usize>::new();
    for number in 0..total {
        let (at, mutations, query) = strategy.new_tree(&mut runner).unwrap().current();
        let mut call = at.get(&requests).clone();
        call.body = mutated(serde_json::from_slice(&call.body).unwrap(), &mutations).into();
        call.path.push_str(&query);
        let answer = east.send(&call).await;
        let shown = || {
            format!(
                "seed {seed}, request {number}: {} {} {}\n{}",
                call.method,
                call.path,
                String::from_utf8_lossy(&call.body),
                String::from_utf8_lossy(&answer.body)
            )
        };
        assert!(!answer.status.is_server_error(), "{}", shown());
        assert!(
            answer.status != 404 || may_be_missing(&call, &held),
            "{}",
            shown()
        );
        *codes.entry(answer.status.as_u16()).or_default() += 1;
        if number % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 {
            check_stored(&server.ada).await;
            clean(&server.ada).await;
        }
    }
    check_stored(&server.ada).await;
    eprintln!("soak: seed={seed} requests={total} answers={codes:?}");
    // Chance that is answered in one way alone tests little.
    assert!(
        [201, 400, 422].iter().all(|code| codes.contains_key(code)),
        "{codes:?}"
    );
}
