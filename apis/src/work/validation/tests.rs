//! Every rule with an object that keeps it and one that breaks it.
#![expect(
    clippy::needless_pass_by_value,
    reason = "json! literals read better without a borrow"
)]

mod agents;
mod requests;
mod updates;

use serde_json::{Value, json};

use super::*;
use crate::work::defaults::{default_agent, default_work_order};
use crate::work::v1alpha1::{
    Agent, AgentClaim, AgentCompletion, WorkOrder, WorkOrderClaim, WorkOrderCompletionSpec, WorkOrderRelease,
    WorkOrderRenewalSpec,
};

/// A valid build order with members of its spec replaced; `null` removes one.
fn order(spec: Value) -> WorkOrder {
    let mut object = json!({
        "metadata": {"name": "a", "namespace": "team-a"},
        "spec": {"workType": "build", "buildRef": {"name": "b"}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    let mut order: WorkOrder = serde_json::from_value(object).unwrap();
    default_work_order(&mut order);
    order
}

/// What validation says about such an order, one `field reason` per error.
fn found(spec: Value) -> Vec<String> {
    lines(&validate_work_order(&order(spec)))
}

fn lines(errors: &[FieldError]) -> Vec<String> {
    errors
        .iter()
        .map(|error| {
            format!(
                "{} {}",
                error.field,
                error.reason().trim_start_matches("FieldValue")
            )
        })
        .collect()
}

/// Checks that one member of the spec leads to exactly one error.
fn refused(spec: Value, expected: &str) {
    assert_eq!(found(spec.clone()), [expected], "{spec}");
}

fn accepted(spec: Value) {
    assert_eq!(found(spec.clone()), Vec::<String>::new(), "{spec}");
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

#[test]
fn a_build_by_name_is_enough() {
    accepted(json!({}));
    accepted(json!({"workType": "shipwright-build"}));
    accepted(
        json!({"idempotencyKey": "", "cancel": null, "callback": {"url": "https://ci.example.com/done"}}),
    );
}

#[test]
fn the_work_type_must_be_supported() {
    refused(json!({"workType": null}), "spec.workType Required");
    refused(json!({"workType": "lunch"}), "spec.workType NotSupported");
    refused(json!({"workType": "Build"}), "spec.workType NotSupported");
}

#[test]
fn exactly_the_section_of_the_work_type_is_set() {
    refused(json!({"buildRef": null}), "spec.buildRef Required");
    refused(json!({"buildRef": {}}), "spec.buildRef.name Required");
    refused(
        json!({"buildRef": {"name": "No Good"}}),
        "spec.buildRef.name Invalid",
    );
    refused(json!({"job": {"template": {}}}), "spec.job Forbidden");
    let job = json!({"workType": "job", "buildRef": null, "job": {"template": {"spec": {}}}});
    accepted(job);
    accepted(json!({"workType": "code-task", "buildRef": null, "codeTask": {"prompt": "fix it"}}));
    accepted(json!({"workType": "workflow", "buildRef": null, "workflow": {"steps": []}}));
    refused(
        json!({"workType": "job", "buildRef": null, "job": {}}),
        "spec.job.template Required",
    );
    let silent = json!({"workType": "code-task", "buildRef": null, "codeTask": {"prompt": ""}});
    refused(silent, "spec.codeTask.prompt Required");
    refused(
        json!({"workType": "workflow", "buildRef": null, "workflow": {}}),
        "spec.workflow Required",
    );
    let both =
        json!({"workType": "workflow", "buildRef": null, "workflow": {"steps": [], "pipelineRef": {}}});
    refused(both, "spec.workflow.pipelineRef Forbidden");
    assert_eq!(
        found(json!({"workType": "job", "codeTask": {}})),
        [
            "spec.buildRef Forbidden",
            "spec.codeTask Forbidden",
            "spec.job Required"
        ]
    );
}

#[test]
fn numbers_keep_their_ranges() {
    for (field, low, high) in [
        ("claimTimeoutSeconds", 60, 86400),
        ("activeDeadlineSeconds", 1, 31_536_000),
        ("ttlSecondsAfterFinished", -1, 31_536_000),
        ("priority", -1000, 1000),
    ] {
        let expected = format!("spec.{field} Invalid");
        accepted(json!({field: low, "timeout": "1m"}));
        accepted(json!({field: high, "timeout": "1m"}));
        refused(json!({field: low - 1, "timeout": "1s"}), &expected);
        refused(json!({field: high + 1, "timeout": "1m"}), &expected);
    }
    for (field, low, high) in [
        ("maxRetries", 0, 25),
        ("maxLostAttempts", 0, 25),
        ("maxBackoffSeconds", 1, 86400),
    ] {
        let expected = format!("spec.retryPolicy.{field} Invalid");
        let policy = |value: i64| json!({"retryPolicy": {field: value, "backoffSeconds": 1}});
        accepted(policy(low));
        accepted(policy(high));
        let below = found(policy(low - 1));
        assert!(below.contains(&expected), "{below:?}");
        refused(policy(high + 1), &expected);
    }
    refused(
        json!({"retryPolicy": {"backoffSeconds": 0}}),
        "spec.retryPolicy.backoffSeconds Invalid",
    );
    accepted(json!({"retryPolicy": {"backoffSeconds": 86400}}));
}

#[test]
fn the_backoff_cap_is_not_below_the_first_wait() {
    let policy = json!({"retryPolicy": {"backoffSeconds": 60, "maxBackoffSeconds": 30}});
    refused(policy, "spec.retryPolicy.maxBackoffSeconds Invalid");
}

#[test]
fn reasons_in_a_retry_policy_are_words_or_exit_codes() {
    accepted(
        json!({"retryPolicy": {"retryOn": ["TaskFailed", "ExitCode:1", "ExitCode:255", "error_max_turns"]}}),
    );
    for entry in ["", "ExitCode:0", "ExitCode:256", "ExitCode:", "two words"] {
        refused(
            json!({"retryPolicy": {"neverRetryOn": [entry]}}),
            "spec.retryPolicy.neverRetryOn[0] Invalid",
        );
    }
    refused(
        json!({"retryPolicy": {"retryOn": ["A", "A"]}}),
        "spec.retryPolicy.retryOn[1] Duplicate",
    );
}

#[test]
fn a_timeout_is_a_duration_within_the_attempt() {
    accepted(json!({"timeout": "1h"}));
    accepted(json!({"timeout": "2h", "claimTimeoutSeconds": 7200}));
    for timeout in ["1h1s", "soon", "0s", "-5m", "15"] {
        refused(json!({"timeout": timeout}), "spec.timeout Invalid");
    }
}

#[test]
fn side_effects_are_one_of_three_words() {
    accepted(json!({"sideEffects": "None"}));
    refused(json!({"sideEffects": "none"}), "spec.sideEffects NotSupported");
}

#[test]
fn texts_are_bounded() {
    accepted(json!({"idempotencyKey": "k".repeat(253)}));
    refused(
        json!({"idempotencyKey": "k".repeat(254)}),
        "spec.idempotencyKey TooLong",
    );
    refused(json!({"idempotencyKey": "a\nb"}), "spec.idempotencyKey Invalid");
    refused(json!({"serviceAccount": ""}), "spec.serviceAccount Invalid");
}

#[test]
fn an_order_cannot_be_created_cancelled() {
    refused(json!({"cancel": {"reason": "x"}}), "spec.cancel Forbidden");
}

#[test]
fn secrets_are_refused_however_they_are_written() {
    for (api_version, kind) in [
        ("v1", "Secret"),
        ("v1", "secret"),
        ("V1", "SECRET"),
        ("v1", "SecretList"),
        ("/v1", "Secret"),
    ] {
        let secret = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "s"}});
        refused(json!({"manifests": [secret]}), "spec.manifests[0] Forbidden");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [config_map("c"), secret]});
        refused(
            json!({"manifests": [list]}),
            "spec.manifests[0].items[1] Forbidden",
        );
        let nested = json!({"apiVersion": "v1", "kind": "list", "items": [list]});
        refused(
            json!({"manifests": [nested]}),
            "spec.manifests[0].items[0].items[1] Forbidden",
        );
    }
    accepted(json!({"manifests": [
        {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "s"}},
        {"apiVersion": "example.com/v1", "kind": "Secret", "metadata": {"name": "s"}},
    ]}));
}

#[test]
fn manifests_are_named_namespaced_objects() {
    accepted(json!({"manifests": [config_map("c")]}));
    refused(
        json!({"manifests": [{"kind": "ConfigMap"}]}),
        "spec.manifests[0].apiVersion Required",
    );
    refused(
        json!({"manifests": [{"apiVersion": "v1"}]}),
        "spec.manifests[0].kind Required",
    );
    let unnamed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "c-"}});
    refused(
        json!({"manifests": [unnamed]}),
        "spec.manifests[0].metadata.name Required",
    );
    let climbing = config_map("../c");
    refused(
        json!({"manifests": [climbing]}),
        "spec.manifests[0].metadata.name Invalid",
    );
    for (namespace, expected) in [
        ("team-a", None),
        ("team-b", Some("spec.manifests[0].metadata.namespace Forbidden")),
    ] {
        let mut manifest = config_map("c");
        manifest["metadata"]["namespace"] = namespace.into();
        assert_eq!(
            found(json!({"manifests": [manifest]})),
            expected.into_iter().collect::<Vec<_>>()
        );
    }
    for (api_version, kind) in [
        ("v1", "Namespace"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("shipwright.io/v1beta1", "ClusterBuildStrategy"),
    ] {
        let manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
        refused(json!({"manifests": [manifest]}), "spec.manifests[0] Forbidden");
    }
}

#[test]
fn manifests_are_bounded_in_number_and_size() {
    let many = |count: usize| {
        (0..count)
            .map(|index| config_map(&format!("c{index}")))
            .collect::<Vec<_>>()
    };
    accepted(json!({"manifests": many(64)}));
    refused(json!({"manifests": many(65)}), "spec.manifests TooMany");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": many(65)});
    refused(json!({"manifests": [list]}), "spec.manifests TooMany");
    let mut big = config_map("c");
    big["data"] = json!({"a": "x".repeat(1 << 20)});
    refused(json!({"manifests": [big]}), "spec.manifests TooLong");
}

#[test]
fn a_target_term_says_something_valid() {
    accepted(json!({"targets": [
        {"agentNames": ["edge-1", "edge-2"]},
        {"matchLabels": {"example.com/gpu": "true"}, "matchAnnotations": {"note": "any text at all"}},
        {"matchExpressions": [
            {"key": "zone", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "DoesNotExist"},
        ]},
    ]}));
    refused(json!({"targets": [{}]}), "spec.targets[0] Required");
    refused(
        json!({"targets": [{"agentNames": ["a", "a"]}]}),
        "spec.targets[0].agentNames[1] Duplicate",
    );
    refused(
        json!({"targets": [{"agentNames": ["A"]}]}),
        "spec.targets[0].agentNames[0] Invalid",
    );
    refused(
        json!({"targets": [{"matchLabels": {"-": "a"}}]}),
        "spec.targets[0].matchLabels Invalid",
    );
    refused(
        json!({"targets": [{"matchLabels": {"a": "b c"}}]}),
        "spec.targets[0].matchLabels[a] Invalid",
    );
    refused(
        json!({"targets": [{"matchAnnotations": {"a b": "c"}}]}),
        "spec.targets[0].matchAnnotations Invalid",
    );
    let expression = |requirement: Value| json!({"targets": [{"matchExpressions": [requirement]}]});
    let path = "spec.targets[0].matchExpressions[0]";
    refused(
        expression(json!({"key": "a", "operator": "In"})),
        &format!("{path}.values Required"),
    );
    let exists = json!({"key": "a", "operator": "Exists", "values": ["b"]});
    refused(expression(exists), &format!("{path}.values Forbidden"));
    refused(
        expression(json!({"key": "a", "operator": "Near"})),
        &format!("{path}.operator NotSupported"),
    );
    refused(
        expression(json!({"key": "", "operator": "Exists"})),
        &format!("{path}.key Invalid"),
    );
    refused(
        json!({"targets": vec![json!({"agentNames": ["a"]}); 33]}),
        "spec.targets TooMany",
    );
}

#[test]
fn a_callback_is_an_address_without_credentials() {
    accepted(json!({"callback": {"url": "http://hooks.team-a.svc:8080/x?y=z", "secretRef": {"name": "s"}}}));
    refused(json!({"callback": {}}), "spec.callback.url Required");
    for url in ["ftp://a", "https://", "https://:80/", "https:// a"] {
        refused(json!({"callback": {"url": url}}), "spec.callback.url Invalid");
    }
    let order = order(json!({"callback": {"url": "https://me:hunter2@example.com/"}}));
    let errors = validate_work_order(&order);
    assert_eq!(lines(&errors), ["spec.callback.url Forbidden"]);
    assert!(!errors[0].to_string().contains("hunter2"));
}

#[test]
fn the_label_of_the_log_is_the_servers() {
    let mut order = order(json!({}));
    let label = ("work.brokkr.io/completed-at".to_owned(), "1".to_owned());
    order.metadata.labels = Some([label].into());
    let expected = "metadata.labels[work.brokkr.io/completed-at] Forbidden";
    assert_eq!(lines(&validate_work_order(&order)), [expected]);
    let mut old = order.clone();
    assert_eq!(validate_work_order_update(&order, &old), []);
    old.metadata.labels = None;
    assert_eq!(lines(&validate_work_order_update(&order, &old)), [expected]);
}
