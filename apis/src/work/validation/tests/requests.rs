//! What agents send: claims, renewals, reports, and batches of them.

use super::*;

#[test]
fn requests_say_who_and_which_claim() {
    let claim = |spec: Value| serde_json::from_value::<WorkOrderClaim>(json!({"spec": spec})).unwrap();
    assert_eq!(
        lines(&validate_work_order_claim(&claim(
            json!({"agent": "a", "holder": "h"})
        ))),
        [""; 0]
    );
    let empty = validate_work_order_claim(&claim(json!({})));
    assert_eq!(lines(&empty), ["spec.agent Required", "spec.holder Required"]);
    let renewal = WorkOrderRenewalSpec::default();
    assert_eq!(
        lines(&validate_renewal("spec", &renewal)),
        ["spec.uid Required", "spec.fence Required"]
    );
    let release = |spec: Value| serde_json::from_value::<WorkOrderRelease>(json!({"spec": spec})).unwrap();
    assert_eq!(
        lines(&validate_release(&release(json!({"uid": "u"})))),
        ["spec.fence Required"]
    );
    assert_eq!(
        lines(&validate_release(&release(json!({"uid": "u", "force": true})))),
        [""; 0]
    );
}

#[test]
fn a_failure_has_a_reason_and_a_report_is_bounded() {
    let completion = |spec: Value| serde_json::from_value::<WorkOrderCompletionSpec>(spec).unwrap();
    let failed = completion(json!({"uid": "u", "fence": 1, "outcome": "Failed"}));
    assert_eq!(
        lines(&validate_completion("spec.items[3]", &failed)),
        ["spec.items[3].reason Required"]
    );
    let long = completion(json!({
        "uid": "u", "fence": 1, "outcome": "Succeeded",
        "message": "m".repeat(4097), "results": {"r": "x".repeat(64 << 10)},
    }));
    assert_eq!(
        lines(&validate_completion("spec", &long)),
        ["spec.message TooLong", "spec.results TooLong"]
    );
}

#[test]
fn batches_hold_a_hundred() {
    let claim = |max: i64| {
        serde_json::from_value::<AgentClaim>(json!({"spec": {"holder": "h", "max": max}})).unwrap()
    };
    assert_eq!(lines(&validate_agent_claim(&claim(100))), [""; 0]);
    assert_eq!(lines(&validate_agent_claim(&claim(101))), ["spec.max Invalid"]);
    let items =
        vec![json!({"namespace": "n", "name": "a", "uid": "u", "fence": 1, "outcome": "Succeeded"}); 101];
    let batch: AgentCompletion =
        serde_json::from_value(json!({"spec": {"holder": "h", "items": items}})).unwrap();
    assert_eq!(lines(&validate_agent_completion(&batch)), ["spec.items TooMany"]);
}
