//! The wire form of the kinds: what kubectl and client libraries send and read.

use brokkr_apis::work::v1alpha1::{
    Agent, AgentClaim, AgentCompletion, AgentRenewal, Fence, SideEffects, WorkOrder, WorkOrderClaim,
    WorkOrderCompletion, WorkOrderList, WorkOrderLog, WorkOrderRelease, WorkOrderRenewal, WorkOrderSpec,
};
use k8s_openapi::Resource as _;
use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};

/// Compiles only for types `kube::Api` can list, get, create and watch.
fn kube_resource<K>() -> (String, String, String)
where
    K: kube::Resource<DynamicType = ()>
        + serde::de::DeserializeOwned
        + serde::Serialize
        + Clone
        + std::fmt::Debug
        + Default
        + PartialEq,
{
    (
        K::api_version(&()).into(),
        K::kind(&()).into(),
        K::url_path(&(), None),
    )
}

#[test]
fn kube_finds_every_resource_under_its_path() {
    let version = "work.brokkr.io/v1alpha1".to_owned();
    for (found, kind, segment) in [
        (kube_resource::<WorkOrder>(), "WorkOrder", "workorders"),
        (kube_resource::<WorkOrderLog>(), "WorkOrderLog", "workorderlogs"),
        (kube_resource::<Agent>(), "Agent", "agents"),
    ] {
        let path = format!("/apis/work.brokkr.io/v1alpha1/{segment}");
        assert_eq!(found, (version.clone(), kind.to_owned(), path));
    }
}

#[test]
fn request_kinds_are_subresources_like_token_requests() {
    for (segment, expected) in [
        (WorkOrderClaim::URL_PATH_SEGMENT, "claim"),
        (WorkOrderRenewal::URL_PATH_SEGMENT, "renew"),
        (WorkOrderCompletion::URL_PATH_SEGMENT, "complete"),
        (WorkOrderRelease::URL_PATH_SEGMENT, "release"),
        (AgentClaim::URL_PATH_SEGMENT, "claim"),
        (AgentRenewal::URL_PATH_SEGMENT, "renew"),
        (AgentCompletion::URL_PATH_SEGMENT, "complete"),
    ] {
        assert_eq!(segment, expected);
    }
}

#[test]
fn every_object_says_what_it_is() {
    let order = serde_json::to_value(WorkOrder::new("a", WorkOrderSpec::default())).unwrap();
    assert_eq!(order["apiVersion"], "work.brokkr.io/v1alpha1");
    assert_eq!(order["kind"], "WorkOrder");
    let list = serde_json::to_value(WorkOrderList::default()).unwrap();
    assert_eq!(list["kind"], "WorkOrderList");
}

#[test]
fn another_kind_is_refused_and_a_missing_one_accepted() {
    let wrong = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent"});
    let error = serde_json::from_value::<WorkOrder>(wrong).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(r#"kind is "Agent", expected "WorkOrder""#),
        "{error}"
    );
    let wrong = json!({"apiVersion": "work.brokkr.io/v1", "kind": "WorkOrder"});
    assert!(serde_json::from_value::<WorkOrder>(wrong).is_err());
    for untyped in [
        json!({"metadata": {"name": "a"}}),
        json!({"kind": "", "apiVersion": null}),
    ] {
        assert!(serde_json::from_value::<WorkOrder>(untyped).is_ok());
    }
}

#[test]
fn the_sample_of_the_origin_document_is_kept_as_written() {
    let sample = json!({
        "apiVersion": "work.brokkr.io/v1alpha1",
        "kind": "WorkOrder",
        "metadata": {"name": "build-my-app-abc123"},
        "spec": {
            "workType": "build",
            "buildRef": {"name": "my-app-build"},
            "retryPolicy": {"maxRetries": 3, "backoffSeconds": 60},
            "timeout": "15m",
        },
    });
    let order: WorkOrder = serde_json::from_value(sample.clone()).unwrap();
    assert_eq!(serde_json::to_value(order).unwrap(), sample);
}

#[test]
fn null_means_absent_as_for_go_clients() {
    let order: WorkOrder = serde_json::from_value(json!({
        "spec": {
            "workType": null, "manifests": null, "targets": null, "cancel": null, "suspend": null,
            "activeDeadlineSeconds": null, "retryPolicy": {"maxRetries": null, "retryOn": null},
        },
        "status": {"phase": null, "conditions": null, "attempts": null, "retryCount": null},
    }))
    .unwrap();
    assert!(order.spec.targets.is_empty());
    assert_eq!(order.spec.cancel, None);
}

#[test]
fn an_unknown_word_typed_by_a_user_is_kept_for_validation() {
    let order: WorkOrder = serde_json::from_value(json!({"spec": {"sideEffects": "Sometimes"}})).unwrap();
    assert_eq!(
        order.spec.side_effects,
        Some(SideEffects::Unsupported("Sometimes".to_owned()))
    );
    assert_eq!(
        serde_json::to_value(order).unwrap()["spec"]["sideEffects"],
        "Sometimes"
    );
}

#[test]
fn a_fence_is_a_plain_number_and_ids_keep_their_capitals() {
    let claim: WorkOrderClaim = serde_json::from_value(json!({
        "spec": {"agent": "edge-1", "holder": "h", "requestID": "r", "takeover": true},
        "status": {"fence": 42, "attempt": 1, "expiresAt": "2026-01-02T03:04:05.678901Z"},
    }))
    .unwrap();
    let status = claim.status.clone().unwrap();
    assert_eq!(status.fence, Some(Fence(42)));
    let written = serde_json::to_value(claim).unwrap();
    assert_eq!(written["spec"]["requestID"], "r");
    assert_eq!(written["status"]["expiresAt"], "2026-01-02T03:04:05.678901Z");
}

/// Collects every `$ref` below a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match (key.as_str(), member) {
                    ("$ref", Value::String(target)) => found.push(target.clone()),
                    _ => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Collects the paths of properties without a description.
fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if property.get("description").is_none() {
            found.push(format!("{path}.{name}"));
        }
        undescribed(property, &format!("{path}.{name}"), found);
    }
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        undescribed(definition, name, found);
    }
}

fn check_schema<K: JsonSchema>(kind: &str) {
    let schema = Value::from(schema_for!(K));
    let mut found = Vec::new();
    references(&schema, &mut found);
    for target in found {
        let name = target
            .strip_prefix("#/$defs/")
            .unwrap_or_else(|| panic!("{kind}: {target}"));
        assert!(
            schema["$defs"].get(name).is_some(),
            "{kind}: {target} leads nowhere"
        );
    }
    let mut found = Vec::new();
    undescribed(&schema, kind, &mut found);
    assert!(
        found.is_empty(),
        "{kind}: properties without a description: {found:?}"
    );
    let metadata = &schema["properties"]["metadata"]["x-kubernetes-ref"];
    assert_eq!(
        metadata, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "{kind}"
    );
}

#[test]
fn schemas_are_closed_and_described() {
    check_schema::<WorkOrder>("WorkOrder");
    check_schema::<WorkOrderLog>("WorkOrderLog");
    check_schema::<Agent>("Agent");
    check_schema::<WorkOrderClaim>("WorkOrderClaim");
    check_schema::<WorkOrderRenewal>("WorkOrderRenewal");
    check_schema::<WorkOrderCompletion>("WorkOrderCompletion");
    check_schema::<WorkOrderRelease>("WorkOrderRelease");
    check_schema::<AgentClaim>("AgentClaim");
    check_schema::<AgentRenewal>("AgentRenewal");
    check_schema::<AgentCompletion>("AgentCompletion");
}

#[test]
fn enumerations_are_published_with_their_words() {
    let schema = serde_json::to_value(schema_for!(WorkOrder)).unwrap();
    let phase = &schema["$defs"]["WorkOrderStatus"]["properties"]["phase"];
    assert_eq!(phase["enum"].as_array().unwrap().len(), 8, "{phase}");
    assert_eq!(phase["type"], "string");
}
