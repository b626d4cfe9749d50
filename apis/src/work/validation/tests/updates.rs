//! What may change in an order, and what may not.

use super::*;

#[test]
fn an_error_says_which_immutable_field_changed_and_what_to_do() {
    for (field, value) in [
        ("serviceAccount", json!("other")),
        ("manifests", json!([config_map("c")])),
        ("targets", json!([{"agentNames": ["edge-1"]}])),
        ("sideEffects", json!("None")),
        ("timeout", json!("5m")),
        ("claimTimeoutSeconds", json!(1800)),
        ("idempotencyKey", json!("k")),
        ("callback", json!({"url": "https://example.com"})),
        ("buildRef", json!({"name": "other"})),
    ] {
        let errors = validate_work_order_update(&order(json!({field: value})), &order(json!({})));
        assert_eq!(lines(&errors), [format!("spec.{field} Forbidden")]);
        assert!(
            errors[0]
                .to_string()
                .contains("delete the order and create another"),
            "{}",
            errors[0]
        );
    }
}

#[test]
fn mutable_fields_may_change() {
    for field in MUTABLE_FIELDS {
        let value = match field {
            "suspend" => json!(true),
            "cancel" => json!({"reason": "not needed"}),
            "retryPolicy" => json!({"maxRetries": 5}),
            _ => json!(100),
        };
        assert_eq!(
            validate_work_order_update(&order(json!({field: value})), &order(json!({}))),
            [],
            "{field}"
        );
    }
}

#[test]
fn a_cancel_can_be_set_once() {
    let cancelled = |reason: &str| order(json!({"cancel": {"reason": reason}}));
    for new in [cancelled("b"), order(json!({}))] {
        let errors = validate_work_order_update(&new, &cancelled("a"));
        assert_eq!(lines(&errors), ["spec.cancel Forbidden"]);
    }
    assert_eq!(validate_work_order_update(&cancelled("a"), &cancelled("a")), []);
}

#[test]
fn metadata_of_an_order_stored_under_older_rules_may_change() {
    let old = order(json!({"priority": 5000}));
    let mut new = old.clone();
    new.metadata.finalizers = Some(Vec::new());
    assert_eq!(validate_work_order_update(&new, &old), []);
}
