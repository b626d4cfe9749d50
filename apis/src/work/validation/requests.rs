//! Rules of the request kinds of the claim protocol.
//!
//! They hold for the form of a request. Whether the claim it names is current is the state machine's answer.

use super::work_order::WORK_TYPES;
use super::{check_name, check_range, names};
use crate::validation::FieldError;
use crate::work::v1alpha1::{
    AgentClaim, AgentCompletion, AgentRenewal, CompletionOutcome, Progress, WorkOrderClaim,
    WorkOrderCompletionSpec, WorkOrderRelease, WorkOrderRenewalSpec, WorkType,
};

/// How many orders a batch request may hold.
pub const BATCH_MAX: usize = 100;
/// How many bytes a message may have.
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// How many bytes the structured results may have, as JSON.
pub const RESULTS_BYTES_MAX: usize = 64 << 10;

const ID_BYTES_MAX: usize = 253;
const REASON_BYTES_MAX: usize = 128;
const ACTIONS_MAX: usize = 256;

/// What is wrong with a claim of one order.
pub fn validate_work_order_claim(claim: &WorkOrderClaim) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &claim.spec;
    check_required(
        "spec.agent",
        &spec.agent,
        "must name the Agent that claims",
        &mut errors,
    );
    if !spec.agent.is_empty() {
        check_name("spec.agent", &spec.agent, names::dns_subdomain, &mut errors);
    }
    check_holder(&spec.holder, &mut errors);
    check_length(
        "spec.requestID",
        spec.request_id.as_deref(),
        ID_BYTES_MAX,
        &mut errors,
    );
    errors
}

/// What is wrong with a renewal of one claim. `path` is `spec`, or that of the item in a batch.
pub fn validate_renewal(path: &str, spec: &WorkOrderRenewalSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_claim(path, &spec.uid, spec.fence.0, &mut errors);
    if let Some(progress) = &spec.progress {
        check_progress(&format!("{path}.progress"), progress, &mut errors);
    }
    errors
}

/// What is wrong with a completion of one order. `path` is `spec`, or that of the item in a batch.
pub fn validate_completion(path: &str, spec: &WorkOrderCompletionSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_claim(path, &spec.uid, spec.fence.0, &mut errors);
    if spec.outcome == CompletionOutcome::Failed {
        let reason = spec.reason.as_deref().unwrap_or_default();
        check_required(
            &format!("{path}.reason"),
            reason,
            "must be set when outcome is Failed",
            &mut errors,
        );
    }
    check_length(
        &format!("{path}.reason"),
        spec.reason.as_deref(),
        REASON_BYTES_MAX,
        &mut errors,
    );
    check_length(
        &format!("{path}.sourceReason"),
        spec.source_reason.as_deref(),
        REASON_BYTES_MAX,
        &mut errors,
    );
    check_length(
        &format!("{path}.message"),
        Some(&spec.message),
        MESSAGE_BYTES_MAX,
        &mut errors,
    );
    // Serialising a decoded value cannot fail; what cannot be measured is not let through.
    let bytes = serde_json::to_vec(&spec.results).map_or(usize::MAX, |json| json.len());
    if bytes > RESULTS_BYTES_MAX {
        errors.push(FieldError::too_long(
            format!("{path}.results"),
            bytes,
            RESULTS_BYTES_MAX,
        ));
    }
    errors
}

/// What is wrong with a release.
pub fn validate_release(release: &WorkOrderRelease) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &release.spec;
    check_required("spec.uid", &spec.uid, "must be the uid of the order", &mut errors);
    if spec.fence.is_none() && !spec.force {
        errors.push(FieldError::required(
            "spec.fence",
            "must be the fence of the claim, unless force is set",
        ));
    }
    check_length("spec.reason", Some(&spec.reason), MESSAGE_BYTES_MAX, &mut errors);
    errors
}

/// What is wrong with a batch claim.
pub fn validate_agent_claim(claim: &AgentClaim) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_holder(&claim.spec.holder, &mut errors);
    check_length(
        "spec.requestID",
        claim.spec.request_id.as_deref(),
        ID_BYTES_MAX,
        &mut errors,
    );
    check_range("spec.max", claim.spec.max, 1..=100, &mut errors);
    for (index, word) in claim.spec.work_types.iter().enumerate() {
        if WorkType::canonical(word).is_none() {
            let field = format!("spec.workTypes[{index}]");
            errors.push(FieldError::not_supported(field, word.as_str(), &WORK_TYPES));
        }
    }
    check_range("spec.waitSeconds", claim.spec.wait_seconds, 0..=60, &mut errors);
    errors
}

/// What is wrong with a batch renewal as a whole; its items are checked one by one, because they fail alone.
pub fn validate_agent_renewal(renewal: &AgentRenewal) -> Vec<FieldError> {
    validate_batch(&renewal.spec.holder, renewal.spec.items.len())
}

/// What is wrong with a batch completion as a whole; its items are checked one by one, because they fail alone.
pub fn validate_agent_completion(completion: &AgentCompletion) -> Vec<FieldError> {
    validate_batch(&completion.spec.holder, completion.spec.items.len())
}

fn validate_batch(holder: &str, count: usize) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_holder(holder, &mut errors);
    if count > BATCH_MAX {
        errors.push(FieldError::too_many("spec.items", count, BATCH_MAX));
    }
    errors
}

fn check_holder(holder: &str, errors: &mut Vec<FieldError>) {
    check_required(
        "spec.holder",
        holder,
        "must be the random id of the agent process",
        errors,
    );
    check_length("spec.holder", Some(holder), ID_BYTES_MAX, errors);
}

fn check_claim(path: &str, uid: &str, fence: i64, errors: &mut Vec<FieldError>) {
    check_required(
        &format!("{path}.uid"),
        uid,
        "must be the uid of the order",
        errors,
    );
    if fence <= 0 {
        errors.push(FieldError::required(
            format!("{path}.fence"),
            "must be the fence of the claim",
        ));
    }
}

fn check_progress(path: &str, progress: &Progress, errors: &mut Vec<FieldError>) {
    check_length(
        &format!("{path}.message"),
        progress.message.as_deref(),
        MESSAGE_BYTES_MAX,
        errors,
    );
    if progress.actions.len() > ACTIONS_MAX {
        errors.push(FieldError::too_many(
            format!("{path}.actions"),
            progress.actions.len(),
            ACTIONS_MAX,
        ));
    }
    if let Some(child) = &progress.child_ref {
        let message = "must name the object that runs the work";
        check_required(&format!("{path}.childRef.name"), &child.name, message, errors);
    }
}

fn check_required(field: &str, value: &str, message: &str, errors: &mut Vec<FieldError>) {
    if value.is_empty() {
        errors.push(FieldError::required(field, message));
    }
}

fn check_length(field: &str, value: Option<&str>, bytes_max: usize, errors: &mut Vec<FieldError>) {
    let bytes = value.map_or(0, str::len);
    if bytes > bytes_max {
        errors.push(FieldError::too_long(field, bytes, bytes_max));
    }
}
