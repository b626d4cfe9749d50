//! Orders that decode well and mean nothing that can be stored: 422 with every field, or the conflict.

use serde_json::{Value, json};

use crate::client::Call;
use crate::refusal::{Row, all_refused, row};
use crate::server::{AGENTS, ORDERS, Server, order, order_path};

const REQUIRED: &str = "FieldValueRequired";
const INVALID: &str = "FieldValueInvalid";
const FORBIDDEN: &str = "FieldValueForbidden";
const NOT_SUPPORTED: &str = "FieldValueNotSupported";
const TOO_LONG: &str = "FieldValueTooLong";
const TOO_MANY: &str = "FieldValueTooMany";
const DUPLICATE: &str = "FieldValueDuplicate";

fn create(name: &str, spec: Value) -> Row {
    row(name, Call::post(ORDERS, &order("a", spec))).says("WorkOrder.work.brokkr.io \"a\" is invalid: ")
}

/// An order whose metadata has these fields.
fn with_metadata(name: &str, metadata: Value) -> Row {
    let mut body = order("a", json!({}));
    let fields = body["metadata"].as_object_mut().unwrap();
    fields.extend(metadata.as_object().unwrap().clone());
    row(name, Call::post(ORDERS, &body))
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
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

/// Secrets in every dress that applying would see through, and where each of them is.
fn secrets() -> Vec<(&'static str, Value, &'static str)> {
    let secret = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "s"}});
    let list = |kind: &str, items: Vec<Value>| json!({"apiVersion": "v1", "kind": kind, "items": items});
    let at = "spec.manifests[0]";
    vec![
        ("plain", secret("v1", "Secret"), at),
        ("lower case", secret("v1", "secret"), at),
        ("upper case", secret("V1", "SECRET"), at),
        ("blanks behind the kind", secret("v1", "Secret  "), at),
        ("blanks and line ends", secret(" v1\n", "\tSecret\n"), at),
        ("an empty group", secret("/v1", "Secret"), at),
        ("another version", secret("v1beta9", "Secret"), at),
        ("a list of Secrets", list("SecretList", vec![]), at),
        (
            "a list of Secrets in odd case",
            list("secretlist", vec![secret("v1", "Secret")]),
            at,
        ),
        (
            "in a list",
            list("List", vec![config_map("c"), secret("v1", "Secret")]),
            "spec.manifests[0].items[1]",
        ),
        (
            "in a list in odd case",
            list("lIST", vec![secret("V1", "sECRET")]),
            "spec.manifests[0].items[0]",
        ),
        (
            "in a list with blanks",
            list("List ", vec![secret("v1", "Secret")]),
            "spec.manifests[0].items[0]",
        ),
        (
            "in a list of another kind",
            list("ConfigMapList", vec![secret("v1", "Secret")]),
            "spec.manifests[0].items[0]",
        ),
        (
            "in a list in a list",
            list(
                "List",
                vec![list("List", vec![list("list", vec![secret("v1 ", "secret")])])],
            ),
            "spec.manifests[0].items[0].items[0].items[0]",
        ),
    ]
}

#[tokio::test]
async fn secrets_are_refused_in_every_dress_and_their_place_is_named() {
    let server = Server::start().await;
    server.create("stored", json!({})).await;
    let mut rows = Vec::new();
    for (name, manifest, place) in secrets() {
        let says = format!(
            "{place}: Forbidden: Secrets are not accepted; create the Secret in the agent's cluster and refer to it by name"
        );
        let spec = json!({"manifests": [manifest]});
        rows.push(create(name, spec.clone()).invalid(place, FORBIDDEN).says(&says));
        let yaml = serde_json::to_string(&order("a", spec)).unwrap();
        let yaml = Call::new(http::Method::POST, ORDERS).typed("application/yaml", yaml);
        rows.push(
            row(format!("{name}, as YAML"), yaml)
                .invalid(place, FORBIDDEN)
                .says(says),
        );
    }
    for text in ["kind: Secret\napiVersion: v1", "{\"kind\":\"Secret\"}"] {
        let refused = row(
            "as text",
            Call::post(ORDERS, &order("a", json!({"manifests": [text]}))),
        );
        rows.push(refused.says("spec.manifests[0]: invalid type: string"));
    }
    // Not by the back door either: manifests cannot be changed at all, nor through the status.
    let secret = json!([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]);
    rows.push(
        row(
            "by a patch",
            Call::merge(order_path("stored"), &json!({"spec": {"manifests": secret}})),
        )
        .invalid("spec.manifests[0]", FORBIDDEN)
        .invalid("spec.manifests", FORBIDDEN),
    );
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn manifests_are_counted_and_weighed() {
    let server = Server::start().await;
    let many = |count: usize| {
        (0..count)
            .map(|n| config_map(&format!("c{n}")))
            .collect::<Vec<_>>()
    };
    let mut large = config_map("c");
    large["data"] = json!({"a": "x".repeat(1 << 20)});
    let bytes = serde_json::to_vec(&json!([large])).unwrap().len();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let mut elsewhere = config_map("c");
    elsewhere["metadata"]["namespace"] = json!("team-b");
    let rows = vec![
        create("too many", json!({"manifests": many(65)}))
            .invalid("spec.manifests", TOO_MANY)
            .says("Too many: 65: must have at most 64 items"),
        create(
            "too many in a list",
            json!({"manifests": [{"apiVersion": "v1", "kind": "List", "items": many(65)}]}),
        )
        .invalid("spec.manifests", TOO_MANY)
        .says("Too many: 65: must have at most 64 items"),
        create("too large", json!({"manifests": [large]}))
            .invalid("spec.manifests", TOO_LONG)
            .says(format!("may not be more than 1048576 bytes, it has {bytes}")),
        create("of the cluster", json!({"manifests": [namespace]}))
            .invalid("spec.manifests[0]", FORBIDDEN)
            .says("Namespace is cluster-scoped"),
        create("of another namespace", json!({"manifests": [elsewhere]}))
            .invalid("spec.manifests[0].metadata.namespace", FORBIDDEN)
            .says("must be team-a, the namespace of the order, or left out"),
        create("of no kind", json!({"manifests": [{}]}))
            .invalid("spec.manifests[0].apiVersion", REQUIRED)
            .invalid("spec.manifests[0].kind", REQUIRED),
        create(
            "of no name",
            json!({"manifests": [{"apiVersion": "v1", "kind": "ConfigMap"}]}),
        )
        .invalid("spec.manifests[0].metadata.name", REQUIRED),
    ];
    all_refused(&server, &server.ada, rows).await;
    server.create("the-most", json!({"manifests": many(64)})).await;
}

#[tokio::test]
async fn immutable_fields_are_named_one_by_one() {
    let server = Server::start().await;
    server
        .create(
            "a",
            json!({"targets": [{"agentNames": ["east"]}], "idempotencyKey": "k"}),
        )
        .await;
    let changes = [
        ("buildRef", json!({"name": "other"})),
        ("serviceAccount", json!("other")),
        ("manifests", json!([config_map("c")])),
        ("targets", json!([{"agentNames": ["west"]}])),
        ("targets", json!(null)),
        ("sideEffects", json!("None")),
        ("timeout", json!("1m")),
        ("claimTimeoutSeconds", json!(7200)),
        ("idempotencyKey", json!("other")),
        ("callback", json!({"url": "https://example.com/"})),
    ];
    let mut rows: Vec<Row> = changes
        .into_iter()
        .map(|(field, value)| {
            let changed = row(
                field,
                Call::merge(order_path("a"), &json!({"spec": {field: value}})),
            );
            let changed = changed.invalid(format!("spec.{field}"), FORBIDDEN);
            changed
                .says(format!(
                    "spec.{field}: Forbidden: field is immutable; of spec only suspend, cancel, priority, "
                ))
                .says("delete the order and create another")
        })
        .collect();
    let other_type = json!({"spec": {"workType": "job", "buildRef": null, "job": {"template": {}}}});
    rows.push(
        row("the work type", Call::merge(order_path("a"), &other_type))
            .invalid("spec.workType", FORBIDDEN)
            .invalid("spec.buildRef", FORBIDDEN)
            .invalid("spec.job", FORBIDDEN),
    );
    let identity = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent", "metadata": {"name": "east"}, "spec": {"identity": "east"}});
    server.ada.send(&Call::post(AGENTS, &identity)).await.expect(201);
    rows.push(
        row(
            "the identity of an agent",
            Call::merge(format!("{AGENTS}/east"), &json!({"spec": {"identity": "other"}})),
        )
        .invalid("spec.identity", FORBIDDEN)
        .says("create another Agent for another identity"),
    );
    for (kind, path) in [("name", "/metadata/name"), ("namespace", "/metadata/namespace")] {
        let moved = json!([{"op": "replace", "path": path, "value": "other"}]);
        rows.push(
            row(kind, Call::json_patch(order_path("a"), &moved))
                .says(format!("does not match the {kind} on the URL")),
        );
    }
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn stale_versions_other_uids_and_absent_objects_are_told_apart() {
    let server = Server::start().await;
    let first = server.create("a", json!({})).await;
    let mut body = first.clone();
    body["spec"]["priority"] = json!(1);
    server
        .ada
        .send(&Call::put(order_path("a"), &body))
        .await
        .expect(200);
    let stale = first["metadata"]["resourceVersion"].clone();
    let modified = "Operation cannot be fulfilled on workorders.work.brokkr.io \"a\": the object has been modified; please apply your changes to the latest version";
    let mut unversioned = first.clone();
    unversioned["metadata"]["resourceVersion"] = json!("");
    let mut other_uid = first.clone();
    other_uid["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    let preconditions = |conditions: Value| {
        Call::delete(order_path("a")).typed(
            "application/json",
            json!({"preconditions": conditions}).to_string(),
        )
    };
    let conflict = |name: &str, call: Call| row(name, call).is(409, "Conflict");
    let rows = vec![
        conflict("PUT of a stale version", Call::put(order_path("a"), &first)).says(modified),
        conflict(
            "PATCH of a stale version",
            Call::merge(
                order_path("a"),
                &json!({"metadata": {"resourceVersion": stale}, "spec": {"priority": 2}}),
            ),
        )
        .says(modified),
        conflict("PUT of a stale status", Call::put(order_path("a/status"), &first)).says(modified),
        conflict("PUT of another uid", Call::put(order_path("a"), &other_uid))
            .says("UID in precondition: 00000000-0000-4000-8000-000000000000, UID in object meta: "),
        conflict(
            "DELETE of another uid",
            preconditions(json!({"uid": "00000000-0000-4000-8000-000000000000"})),
        )
        .says("00000000-0000-4000-8000-000000000000"),
        conflict(
            "DELETE of a stale version",
            preconditions(json!({"resourceVersion": stale})),
        )
        .says("ResourceVersion in precondition: "),
        row("PUT of no version", Call::put(order_path("a"), &unversioned))
            .invalid("metadata.resourceVersion", INVALID)
            .says("must be specified for an update"),
        row("the name is taken", Call::post(ORDERS, &order("a", json!({}))))
            .is(409, "AlreadyExists")
            .says("workorders.work.brokkr.io \"a\" already exists"),
        row(
            "PUT of nothing",
            Call::put(order_path("none"), &order("none", json!({}))),
        )
        .is(404, "NotFound")
        .says("workorders.work.brokkr.io \"none\" not found"),
        row("PATCH of nothing", Call::merge(order_path("none"), &json!({}))).is(404, "NotFound"),
        row("DELETE of nothing", Call::delete(order_path("none"))).is(404, "NotFound"),
        row("PUT under another name", Call::put(order_path("b"), &first))
            .says("the name of the object (a) does not match the name on the URL (b)"),
        row(
            "a JSON patch that does not fit",
            Call::json_patch(
                order_path("a"),
                &json!([{"op": "test", "path": "/spec/priority", "value": 9}]),
            ),
        )
        .invalid("patch", INVALID)
        .says("operation 0"),
        row(
            "a JSON patch of no path",
            Call::json_patch(order_path("a"), &json!([{"op": "remove", "path": "/spec/none"}])),
        )
        .invalid("patch", INVALID),
        row(
            "a patch into a wrong type",
            Call::merge(order_path("a"), &json!({"spec": {"priority": "high"}})),
        )
        .invalid("patch", INVALID)
        .says("spec.priority: invalid type"),
        row(
            "a patch of the kind",
            Call::merge(order_path("a"), &json!({"kind": "Pod"})),
        )
        .invalid("patch", INVALID)
        .says("kind and apiVersion cannot be changed"),
        row(
            "no patch at all",
            Call::json_patch(order_path("a"), &json!({"op": "remove"})),
        )
        .says("the body is no JSON patch"),
        row(
            "a merge patch that is a list",
            Call::merge(order_path("a"), &json!([])),
        )
        .says("a merge patch must be a JSON object"),
    ];
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
