//! What is reported: what the hub makes of it, and how much it takes.

use brokkr_apis::work::v1alpha1::reasons::{self, Policy};
use brokkr_apis::work::v1alpha1::{CompletionOutcome, FailureClass, Fence, WorkOrderSpec};
use brokkr_apis::work::validation::validate_completion;

use super::*;
use crate::outcome::{MESSAGE_BYTES_MAX, REASON_BYTES_MAX, RESULTS_BYTES_MAX};

#[test]
fn a_build_whose_pod_was_deleted_is_tried_again_and_one_that_ran_out_of_memory_is_not() {
    let order = WorkOrderSpec {
        work_type: "build".to_owned(),
        ..WorkOrderSpec::default()
    };
    let rows = [
        ("Error", FailureClass::Retryable),
        ("OOMKilled", FailureClass::Permanent),
    ];
    for (terminated, class) in rows {
        let message = format!("\"step-build\" exited with code 137: {terminated}");
        let run = with_details(build_run("False", "Failed", &message), "", "", "step-build");
        let executor = task_run("step-build", 137, terminated);
        let ended = outcome(Observed {
            executor: Some(&executor),
            ..seen(&run)
        });
        let report = ended.unwrap().into_completion("uid", Fence(7));
        let decided = reasons::decide(&reasons::Failure::reported(&report), &Policy::of(&order));
        assert_eq!(decided.class, class, "{terminated}");
        assert!(report.message.contains(&message), "{}", report.message);
    }
}

#[test]
fn a_report_keeps_to_the_limits_of_the_hub() {
    let results = [
        ("small", json!("kept")),
        ("large", json!("x".repeat(RESULTS_BYTES_MAX))),
    ];
    let outcome = Outcome::Succeeded {
        results: results
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        message: "\u{e9}".repeat(MESSAGE_BYTES_MAX),
    };
    let report = outcome.into_completion("uid", Fence(7));
    assert_eq!(report.outcome, CompletionOutcome::Succeeded);
    assert!(report.message.len() <= MESSAGE_BYTES_MAX && report.message.ends_with("[cut]"));
    assert_eq!(
        serde_json::to_value(&report.results).unwrap(),
        json!({"small": "kept", "leftOut": ["large"]})
    );
    assert_eq!(validate_completion("spec", &report), []);
}

#[test]
fn a_reason_of_any_length_keeps_to_the_limits_of_the_hub() {
    let word = format!("x{}", "\u{e9}".repeat(REASON_BYTES_MAX));
    let run = with_details(build_run("False", "Failed", ""), &word, &word, "step-build");
    let report = outcome(seen(&run)).unwrap().into_completion("uid", Fence(7));
    assert_eq!(validate_completion("spec", &report), []);
    let source_reason = report.source_reason.unwrap();
    assert!(source_reason.starts_with("x\u{e9}") && source_reason.ends_with("[cut]"));
    assert!(report.message.contains(&word), "{}", report.message);
}
