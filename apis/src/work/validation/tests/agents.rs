//! Agents: who they are and how much they take.

use super::*;

fn agent(spec: Value) -> Agent {
    let mut object =
        json!({"metadata": {"name": "edge-1"}, "spec": {"identity": "system:serviceaccount:a:b"}});
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    let mut agent = serde_json::from_value(object).unwrap();
    default_agent(&mut agent);
    agent
}

#[test]
fn an_agent_has_an_identity_and_bounds() {
    for (spec, expected) in [
        (json!({}), vec![]),
        (json!({"identity": "alice@example.com"}), vec![]),
        (
            json!({"workTypes": ["build", "job"], "concurrency": {"byType": {"build": 1000}}}),
            vec![],
        ),
        (json!({"identity": ""}), vec!["spec.identity Required"]),
        (json!({"identity": "two words"}), vec!["spec.identity Invalid"]),
        (
            json!({"identity": "system:serviceaccount:only-namespace"}),
            vec!["spec.identity Invalid"],
        ),
        (
            json!({"identity": "system:serviceaccount:a:b:c"}),
            vec!["spec.identity Invalid"],
        ),
        (json!({"leaseSeconds": 14}), vec!["spec.leaseSeconds Invalid"]),
        (json!({"leaseSeconds": 601}), vec!["spec.leaseSeconds Invalid"]),
        (
            json!({"concurrency": {"total": 0}}),
            vec!["spec.concurrency.total Invalid"],
        ),
        (
            json!({"concurrency": {"total": 1001}}),
            vec!["spec.concurrency.total Invalid"],
        ),
        (
            json!({"concurrency": {"byType": {"build": 0}}}),
            vec!["spec.concurrency.byType[build] Invalid"],
        ),
        (
            json!({"concurrency": {"byType": {"x": 1}}}),
            vec!["spec.concurrency.byType[x] NotSupported"],
        ),
        (
            json!({"workTypes": ["lunch"]}),
            vec!["spec.workTypes[0] NotSupported"],
        ),
        (
            json!({"workTypes": ["job", "job"]}),
            vec!["spec.workTypes[1] Duplicate"],
        ),
    ] {
        assert_eq!(lines(&validate_agent(&agent(spec.clone()))), expected, "{spec}");
    }
}

#[test]
fn an_identity_is_for_life() {
    let errors = validate_agent_update(&agent(json!({"identity": "other"})), &agent(json!({})));
    assert_eq!(lines(&errors), ["spec.identity Forbidden"]);
    assert_eq!(
        validate_agent_update(&agent(json!({"leaseSeconds": 30})), &agent(json!({}))),
        []
    );
}
