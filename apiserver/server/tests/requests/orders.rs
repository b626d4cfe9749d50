//! Orders and agents that decode well and mean nothing that can be stored: 422 with every field.

use serde_json::{Value, json};

use crate::client::Call;
use crate::refusal::{
    DUPLICATE, FORBIDDEN, INVALID, NOT_SUPPORTED, REQUIRED, Row, TOO_LONG, all_refused, row,
};
use crate::server::{AGENTS, ORDERS, Server, order};

/// An order with this spec, refused by its fields.
pub(crate) fn create(name: &str, spec: Value) -> Row {
    row(name, Call::post(ORDERS, &order("a", spec))).says("WorkOrder.work.brokkr.io \"a\" is invalid: ")
}

/// An order whose metadata has these fields.
fn with_metadata(name: &str, metadata: Value) -> Row {
    let mut body = order("a", json!({}));
    let fields = body["metadata"].as_object_mut().unwrap();
    fields.extend(metadata.as_object().unwrap().clone());
    row(name, Call::post(ORDERS, &body))
}

#[tokio::test]
async fn work_type_and_its_section_belong_together() {
    let server = Server::start().await;
    let sections = [
        ("build", "buildRef", json!({"name": "app"})),
        ("workflow", "workflow", json!({"pipelineRef": {"name": "p"}})),
        ("code-task", "codeTask", json!({"prompt": "write"})),
        ("job", "job", json!({"template": {}})),
    ];
    let mut rows = vec![
        create("no work type", json!({"workType": null}))
            .invalid("spec.workType", REQUIRED)
            .says("spec.workType: Required value: must be one of build, shipwright-build, workflow, code-task, job"),
        create("an unknown work type", json!({"workType": "Build"}))
            .invalid("spec.workType", NOT_SUPPORTED)
            .says("Unsupported value: \"Build\": supported values: \"build\", \"shipwright-build\""),
        create("the alias without its section", json!({"workType": "shipwright-build", "buildRef": null})).invalid("spec.buildRef", REQUIRED),
        create("a build of nothing", json!({"buildRef": {"name": ""}})).invalid("spec.buildRef.name", REQUIRED),
        create("a build of no name", json!({"buildRef": {"name": "A_b"}})).invalid("spec.buildRef.name", INVALID),
        create("a workflow of nothing", json!({"workType": "workflow", "buildRef": null, "workflow": {}})).invalid("spec.workflow", REQUIRED),
        create("a task without a prompt", json!({"workType": "code-task", "buildRef": null, "codeTask": {}})).invalid("spec.codeTask.prompt", REQUIRED),
        create("a job without a template", json!({"workType": "job", "buildRef": null, "job": {}})).invalid("spec.job.template", REQUIRED),
    ];
    for (work_type, section, body) in &sections {
        for (other_type, other, other_body) in &sections {
            let mut spec = json!({"workType": work_type, "buildRef": null});
            spec[*other] = other_body.clone();
            if section == other {
                continue;
            }
            let (section, other) = (format!("spec.{section}"), format!("spec.{other}"));
            let without = create(
                &format!("{work_type} with the section of {other_type}"),
                spec.clone(),
            );
            // Causes come in the order of the sections.
            let place = |field: &str| {
                sections
                    .iter()
                    .position(|(_, name, _)| field == format!("spec.{name}"))
            };
            let mut causes = [(section.clone(), REQUIRED), (other.clone(), FORBIDDEN)];
            causes.sort_by_key(|(field, _)| place(field));
            let without = causes
                .into_iter()
                .fold(without, |row, (field, reason)| row.invalid(field, reason));
            rows.push(without.says(format!(
                "{section}: Required value: must be set when workType is {work_type}"
            )));
            spec[section.trim_start_matches("spec.")] = body.clone();
            let both =
                create(&format!("{work_type} and {other_type} at once"), spec).invalid(&other, FORBIDDEN);
            rows.push(both.says(format!(
                "{other}: Forbidden: may be set only when workType is {other_type}"
            )));
        }
    }
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn values_out_of_their_range_are_told_with_it() {
    let server = Server::start().await;
    let long = "x".repeat(300);
    let rows = vec![
        create("priority", json!({"priority": 1001}))
            .invalid("spec.priority", INVALID)
            .says("must be between -1000 and 1000, inclusive"),
        create("claimTimeoutSeconds", json!({"claimTimeoutSeconds": 59}))
            .invalid("spec.claimTimeoutSeconds", INVALID)
            .says("between 60 and 86400"),
        create("activeDeadlineSeconds", json!({"activeDeadlineSeconds": 0}))
            .invalid("spec.activeDeadlineSeconds", INVALID),
        create("ttlSecondsAfterFinished", json!({"ttlSecondsAfterFinished": -2}))
            .invalid("spec.ttlSecondsAfterFinished", INVALID),
        create("the largest number", json!({"ttlSecondsAfterFinished": i64::MAX}))
            .invalid("spec.ttlSecondsAfterFinished", INVALID),
        create("timeout that is none", json!({"timeout": "soon"})).invalid("spec.timeout", INVALID),
        create("timeout of nothing", json!({"timeout": "0s"})).invalid("spec.timeout", INVALID),
        create("timeout beyond the attempt", json!({"timeout": "2h"}))
            .invalid("spec.timeout", INVALID)
            .says("must not exceed claimTimeoutSeconds (3600)"),
        create("timeout of ages", json!({"timeout": "99999999999999999999h"}))
            .invalid("spec.timeout", INVALID),
        create("sideEffects", json!({"sideEffects": "Some"}))
            .invalid("spec.sideEffects", NOT_SUPPORTED)
            .says("supported values: \"None\", \"Idempotent\", \"NonIdempotent\""),
        create("serviceAccount", json!({"serviceAccount": "a/b"})).invalid("spec.serviceAccount", INVALID),
        create("idempotencyKey", json!({"idempotencyKey": long}))
            .invalid("spec.idempotencyKey", TOO_LONG)
            .says("may not be more than 253 bytes, it has 300"),
        create("control characters", json!({"idempotencyKey": "a\u{7}"}))
            .invalid("spec.idempotencyKey", INVALID),
        create("created cancelled", json!({"cancel": {"reason": "x"}})).invalid("spec.cancel", FORBIDDEN),
        create("maxRetries", json!({"retryPolicy": {"maxRetries": -1}}))
            .invalid("spec.retryPolicy.maxRetries", INVALID),
        create("no address", json!({"callback": {"url": "ftp://x"}})).invalid("spec.callback.url", INVALID),
        create(
            "an address with a password",
            json!({"callback": {"url": "https://u:geheim@x/"}}),
        )
        .invalid("spec.callback.url", FORBIDDEN),
        create(
            "an agent name that is none",
            json!({"targets": [{"agentNames": ["A_b"]}]}),
        )
        .invalid("spec.targets[0].agentNames[0]", INVALID),
        create(
            "an operator that is none",
            json!({"targets": [{"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}]}),
        )
        .invalid("spec.targets[0].matchExpressions[0].operator", NOT_SUPPORTED),
        create(
            "several at once",
            json!({"priority": 5000, "timeout": "x", "buildRef": null}),
        )
        .invalid("spec.buildRef", REQUIRED)
        .invalid("spec.timeout", INVALID)
        .invalid("spec.priority", INVALID)
        .says("[spec.buildRef: Required value: must be set when workType is build, spec.timeout: "),
    ];
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn c163_names_labels_and_annotations_follow_the_rules_of_kubernetes() {
    let server = Server::start().await;
    let mut rows = Vec::new();
    for name in [
        "A",
        "a_b",
        "-a",
        "a-",
        "a..b",
        ".",
        "..",
        "a/b",
        "a%2fb",
        "a b",
        "ä",
        "a\n",
        &"a".repeat(254),
    ] {
        let body = order(name, json!({}));
        let refused =
            row(format!("name {name:?}"), Call::post(ORDERS, &body)).invalid("metadata.name", INVALID);
        rows.push(refused.says("RFC 1123 subdomain"));
    }
    let mut nameless = order("a", json!({}));
    nameless["metadata"] = json!({});
    rows.push(
        row("no name", Call::post(ORDERS, &nameless))
            .invalid("metadata.name", REQUIRED)
            .says("name or generateName is required"),
    );
    nameless["metadata"] = json!({"generateName": "A_"});
    rows.push(row("a bad generateName", Call::post(ORDERS, &nameless)).invalid("metadata.name", INVALID));

    for key in ["", "a b", "/a", "A.B/c", "a/b/c", "-a", &"k".repeat(64)] {
        for (place, field) in [
            ("labels", "metadata.labels"),
            ("annotations", "metadata.annotations"),
        ] {
            // Prefixes of annotations are compared without regard to case, as upstream does.
            if (place, key) == ("annotations", "A.B/c") {
                continue;
            }
            let refused = with_metadata(&format!("{place} key {key:?}"), json!({place: {key: "v"}}));
            rows.push(refused.invalid(field, INVALID).says(format!("{key:?}")));
        }
    }
    for value in ["a b", "-a", "a/b", "a-", &"v".repeat(64)] {
        let refused = with_metadata(&format!("label value {value:?}"), json!({"labels": {"a": value}}));
        rows.push(
            refused
                .invalid("metadata.labels", INVALID)
                .says(format!("{value:?}"))
                .says("a valid label must be"),
        );
    }
    let annotation = "x".repeat(256 * 1024);
    rows.push(
        with_metadata("annotations", json!({"annotations": {"a": annotation}}))
            .invalid("metadata.annotations", TOO_LONG)
            .says("may not be more than 262144 bytes, they have 262145"),
    );
    rows.push(
        with_metadata(
            "the server's label",
            json!({"labels": {"work.brokkr.io/completed-at": "1"}}),
        )
        .invalid("metadata.labels[work.brokkr.io/completed-at]", FORBIDDEN),
    );
    rows.push(
        with_metadata("an unqualified finalizer", json!({"finalizers": ["mine"]}))
            .invalid("metadata.finalizers[0]", INVALID),
    );
    let owner =
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "", "uid": ""}]});
    rows.push(
        with_metadata("an owner of no name", owner)
            .invalid("metadata.ownerReferences[0].name", INVALID)
            .invalid("metadata.ownerReferences[0].uid", INVALID),
    );
    rows.push(
        with_metadata("another namespace", json!({"namespace": "team-b"}))
            .says("the namespace of the object (team-b) does not match the namespace on the URL (team-a)"),
    );
    rows.push(
        with_metadata("a version of its own", json!({"resourceVersion": "7"}))
            .says("resourceVersion should not be set on objects to be created"),
    );
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn idempotency_keys_are_refused_for_other_work() {
    let server = Server::start().await;
    server.create("a", json!({"idempotencyKey": "k"})).await;
    let rows = vec![
        row(
            "another order",
            Call::post(ORDERS, &order("b", json!({"idempotencyKey": "k"}))),
        )
        .is(409, "Conflict")
        .at("spec.idempotencyKey", "IdempotencyKeyHeld")
        .says("is held by order \"a\" (uid ")
        .says("wait for it, or use another key for other work"),
    ];
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn agents_are_refused_by_their_fields() {
    let server = Server::start().await;
    let agent = |name: &str, spec: Value| {
        let body = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent", "metadata": {"name": "west"}, "spec": spec});
        row(name, Call::post(AGENTS, &body))
    };
    server.agent("east").await;
    let rows = vec![
        agent("no identity", json!({}))
            .invalid("spec.identity", REQUIRED)
            .says("system:serviceaccount:<namespace>:<name>"),
        agent("half an account", json!({"identity": "system:serviceaccount:a"}))
            .invalid("spec.identity", INVALID),
        agent("an identity with a line end", json!({"identity": "a\nb"})).invalid("spec.identity", INVALID),
        agent(
            "an unknown work type",
            json!({"identity": "w", "workTypes": ["lunch"]}),
        )
        .invalid("spec.workTypes[0]", NOT_SUPPORTED),
        agent(
            "a work type twice",
            json!({"identity": "w", "workTypes": ["build", "build"]}),
        )
        .invalid("spec.workTypes[1]", DUPLICATE),
        agent(
            "no place for work",
            json!({"identity": "w", "concurrency": {"total": 0}}),
        )
        .invalid("spec.concurrency.total", INVALID),
        agent(
            "a lease of no length",
            json!({"identity": "w", "leaseSeconds": 1}),
        )
        .invalid("spec.leaseSeconds", INVALID)
        .says("between 15 and 600"),
        agent("an identity that is taken", json!({"identity": "east"}))
            .invalid("spec.identity", DUPLICATE)
            .says("another agent has this identity; list agents -o wide to find it"),
    ];
    all_refused(&server, &server.ada, rows).await;
}
