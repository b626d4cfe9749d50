//! Rules of a WorkOrder.

use super::callback::check_callback;
use super::manifests::check_manifests;
use super::retry_policy::check_retry_policy;
use super::targets::check_targets;
use super::{check_name, check_range, names};
use crate::schema::Object;
use crate::validation::FieldError;
use crate::work::v1alpha1::{COMPLETED_AT_LABEL, SideEffects, WorkOrder, WorkOrderSpec, WorkType};

/// The fields of `spec` that may change after creation.
pub const MUTABLE_FIELDS: [&str; 6] = [
    "suspend",
    "cancel",
    "priority",
    "retryPolicy",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
];

/// What a user may write to `spec.workType`.
pub(super) const WORK_TYPES: [&str; 5] = ["build", "shipwright-build", "workflow", "code-task", "job"];

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 253;
const CANCEL_REASON_BYTES_MAX: usize = 1024;
/// A year; the kept range must leave room for adding it to any time.
const SECONDS_MAX: i64 = 365 * 24 * 3600;

/// What is wrong with a new order.
pub fn validate_work_order(order: &WorkOrder) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_metadata(order, &mut errors);
    check_spec(order, &mut errors);
    if order.spec.cancel.is_some() {
        let message = "an order cannot be created cancelled; create it with suspend, or not at all";
        errors.push(FieldError::forbidden("spec.cancel", message));
    }
    errors
}

/// What is wrong with a changed order. Rules that are newer than a stored order do not keep its metadata from changing.
pub fn validate_work_order_update(new: &WorkOrder, old: &WorkOrder) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if new.metadata.labels != old.metadata.labels {
        check_metadata(new, &mut errors);
    }
    if new.spec == old.spec {
        return errors;
    }
    check_spec(new, &mut errors);
    for field in changed_immutable_fields(&new.spec, &old.spec) {
        let message = format!(
            "field is immutable; of spec only {} may change: delete the order and create another",
            MUTABLE_FIELDS.join(", ")
        );
        errors.push(FieldError::forbidden(format!("spec.{field}"), message));
    }
    if old.spec.cancel.is_some() && new.spec.cancel != old.spec.cancel {
        let message = "can be set once, and neither changed nor removed";
        errors.push(FieldError::forbidden("spec.cancel", message));
    }
    errors
}

fn check_metadata(order: &WorkOrder, errors: &mut Vec<FieldError>) {
    if let Some(name) = &order.metadata.name {
        check_name("metadata.name", name, names::dns_subdomain, errors);
    }
    if order
        .metadata
        .labels
        .as_ref()
        .is_some_and(|labels| labels.contains_key(COMPLETED_AT_LABEL))
    {
        let field = format!("metadata.labels[{COMPLETED_AT_LABEL}]");
        errors.push(FieldError::forbidden(
            field,
            "is set by the server, on the WorkOrderLog only",
        ));
    }
}

fn check_spec(order: &WorkOrder, errors: &mut Vec<FieldError>) {
    let spec = &order.spec;
    check_work_type(spec, errors);
    if let Some(account) = &spec.service_account {
        check_name("spec.serviceAccount", account, names::dns_subdomain, errors);
    }
    check_manifests(&spec.manifests, order.metadata.namespace.as_deref(), errors);
    check_targets(&spec.targets, errors);
    check_retry_policy(spec, errors);
    if let Some(SideEffects::Unsupported(word)) = &spec.side_effects {
        errors.push(FieldError::not_supported(
            "spec.sideEffects",
            word.as_str(),
            SideEffects::SUPPORTED,
        ));
    }
    check_times(spec, errors);
    check_texts(spec, errors);
    check_range("spec.priority", spec.priority, -1000..=1000, errors);
    if let Some(callback) = &spec.callback {
        check_callback(callback, errors);
    }
}

/// Checks the work type, and that exactly the section that belongs to it is there.
fn check_work_type(spec: &WorkOrderSpec, errors: &mut Vec<FieldError>) {
    if spec.work_type.is_empty() {
        let message = format!("must be one of {}", WORK_TYPES.join(", "));
        errors.push(FieldError::required("spec.workType", message));
        return;
    }
    let Some(work_type) = spec.canonical_work_type() else {
        errors.push(FieldError::not_supported(
            "spec.workType",
            spec.work_type.as_str(),
            &WORK_TYPES,
        ));
        return;
    };
    for (owner, is_set) in [
        (WorkType::Build, spec.build_ref.is_some()),
        (WorkType::Workflow, spec.workflow.is_some()),
        (WorkType::CodeTask, spec.code_task.is_some()),
        (WorkType::Job, spec.job.is_some()),
    ] {
        let field = format!("spec.{}", owner.section());
        match (owner == work_type, is_set) {
            (true, true) => check_section(spec, owner, errors),
            (true, false) => {
                errors.push(FieldError::required(
                    field,
                    format!("must be set when workType is {work_type}"),
                ));
            }
            (false, true) => {
                errors.push(FieldError::forbidden(
                    field,
                    format!("may be set only when workType is {owner}"),
                ));
            }
            (false, false) => {}
        }
    }
}

/// Checks what every agent relies on; the rest of a section is read by the agent's handler.
fn check_section(spec: &WorkOrderSpec, work_type: WorkType, errors: &mut Vec<FieldError>) {
    match work_type {
        WorkType::Build => {
            let name = spec
                .build_ref
                .as_ref()
                .map(|reference| reference.name.as_str())
                .unwrap_or_default();
            if name.is_empty() {
                errors.push(FieldError::required(
                    "spec.buildRef.name",
                    "must name a Shipwright Build",
                ));
            } else {
                check_name("spec.buildRef.name", name, names::dns_subdomain, errors);
            }
        }
        WorkType::Workflow => {
            let has = |field| {
                spec.workflow
                    .as_ref()
                    .is_some_and(|workflow| workflow.contains_key(field))
            };
            match (has("pipelineRef"), has("steps")) {
                (false, false) => {
                    errors.push(FieldError::required(
                        "spec.workflow",
                        "must have either steps or a pipelineRef",
                    ));
                }
                (true, true) => {
                    let message = "may not be set together with steps";
                    errors.push(FieldError::forbidden("spec.workflow.pipelineRef", message));
                }
                (true, false) | (false, true) => {}
            }
        }
        WorkType::CodeTask => {
            require_member(
                spec.code_task.as_ref(),
                "codeTask",
                "prompt",
                "must say what is to be done",
                errors,
            );
        }
        WorkType::Job => {
            require_member(
                spec.job.as_ref(),
                "job",
                "template",
                "must have the template of the pod",
                errors,
            );
        }
    }
}

fn require_member(
    section: Option<&Object>,
    name: &str,
    member: &str,
    message: &str,
    errors: &mut Vec<FieldError>,
) {
    let value = section.and_then(|section| section.get(member));
    if value.is_none_or(|value| value.is_null() || value.as_str() == Some("")) {
        errors.push(FieldError::required(format!("spec.{name}.{member}"), message));
    }
}

fn check_times(spec: &WorkOrderSpec, errors: &mut Vec<FieldError>) {
    check_range(
        "spec.claimTimeoutSeconds",
        spec.claim_timeout_seconds,
        60..=86400,
        errors,
    );
    check_range(
        "spec.activeDeadlineSeconds",
        spec.active_deadline_seconds,
        1..=SECONDS_MAX,
        errors,
    );
    check_range(
        "spec.ttlSecondsAfterFinished",
        spec.ttl_seconds_after_finished,
        -1..=SECONDS_MAX,
        errors,
    );
    let Some(timeout) = &spec.timeout else { return };
    let attempt = spec.claim_timeout_seconds_or_default();
    match timeout.parse() {
        Err(error) => errors.push(FieldError::invalid(
            "spec.timeout",
            timeout.as_str(),
            error.to_string(),
        )),
        Ok(duration) if duration.is_zero() => {
            errors.push(FieldError::invalid(
                "spec.timeout",
                timeout.as_str(),
                "must be longer than nothing",
            ));
        }
        Ok(duration) if i64::try_from(duration.as_secs()).is_ok_and(|seconds| seconds <= attempt) => {}
        Ok(_) => {
            let message = format!("must not exceed claimTimeoutSeconds ({attempt}), which ends the attempt");
            errors.push(FieldError::invalid("spec.timeout", timeout.as_str(), message));
        }
    }
}

fn check_texts(spec: &WorkOrderSpec, errors: &mut Vec<FieldError>) {
    if let Some(key) = &spec.idempotency_key {
        if key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            errors.push(FieldError::too_long(
                "spec.idempotencyKey",
                key.len(),
                IDEMPOTENCY_KEY_BYTES_MAX,
            ));
        } else if key.chars().any(char::is_control) {
            let message = "must not contain control characters";
            errors.push(FieldError::invalid("spec.idempotencyKey", key.as_str(), message));
        }
    }
    let reason_bytes = spec.cancel.as_ref().map_or(0, |cancel| cancel.reason.len());
    if reason_bytes > CANCEL_REASON_BYTES_MAX {
        errors.push(FieldError::too_long(
            "spec.cancel.reason",
            reason_bytes,
            CANCEL_REASON_BYTES_MAX,
        ));
    }
}

/// The immutable fields that differ. Destructuring makes a new field of the spec a decision here.
fn changed_immutable_fields(new: &WorkOrderSpec, old: &WorkOrderSpec) -> Vec<&'static str> {
    let WorkOrderSpec {
        work_type,
        build_ref,
        workflow,
        code_task,
        job,
        service_account,
        manifests,
        targets,
        retry_policy: _,
        side_effects,
        timeout,
        claim_timeout_seconds,
        active_deadline_seconds: _,
        ttl_seconds_after_finished: _,
        idempotency_key,
        priority: _,
        suspend: _,
        cancel: _,
        callback,
    } = new;
    [
        ("workType", *work_type != old.work_type),
        ("buildRef", *build_ref != old.build_ref),
        ("workflow", *workflow != old.workflow),
        ("codeTask", *code_task != old.code_task),
        ("job", *job != old.job),
        ("serviceAccount", *service_account != old.service_account),
        ("manifests", *manifests != old.manifests),
        ("targets", *targets != old.targets),
        ("sideEffects", *side_effects != old.side_effects),
        ("timeout", *timeout != old.timeout),
        (
            "claimTimeoutSeconds",
            *claim_timeout_seconds != old.claim_timeout_seconds,
        ),
        ("idempotencyKey", *idempotency_key != old.idempotency_key),
        ("callback", *callback != old.callback),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}
