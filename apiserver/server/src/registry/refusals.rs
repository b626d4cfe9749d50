//! Refusals of the queue as errors of the API, and as items of batch answers.

use brokkr_apis::validation::FieldError;
use generic_apiserver::endpoints::{RequestScope, StatusError};
use generic_apiserver::registry::RegistryError;
use generic_apiserver::registry::error::Cause;
use generic_apiserver::storage::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

use super::caller::forbidden;
use super::field_errors;
use crate::lifecycle::Refusal;
use crate::queue::claim::ClaimRefusal;
use crate::queue::report::ReportRefusal;

/// Why a claim was not granted. `key` is the order's.
pub(super) fn claim_error(refusal: ClaimRefusal, key: &Key, agent: &str) -> RegistryError {
    let message = format!("workorder {key} cannot be claimed by agent {agent:?}: {refusal}");
    let reason = claim_reason(&refusal);
    match refusal {
        ClaimRefusal::NoAgent => not_found("agents", agent),
        ClaimRefusal::NoOrder => not_found("workorders", &key.name),
        ClaimRefusal::NotTargeted
        | ClaimRefusal::NotServed(_)
        | ClaimRefusal::State {
            refusal: Refusal::NamespaceTerminating,
            ..
        } => forbidden(reason, message),
        ClaimRefusal::RequestReused
        | ClaimRefusal::RequestSpent
        | ClaimRefusal::Excluded
        | ClaimRefusal::Unschedulable
        | ClaimRefusal::AtCapacity { .. } => conflict(message, vec![cause(reason, "")]),
        ClaimRefusal::State { held, .. } => {
            let mut causes = vec![cause(reason, "")];
            if let Some(held) = held {
                causes.push(cause("Agent", &held.agent));
                causes.push(cause("Holder", &held.holder));
                causes.push(cause("Fence", &held.fence.to_string()));
                causes.push(cause("ExpiresAt", &held.expires_at.to_string()));
            }
            conflict(message, causes)
        }
    }
}

const fn claim_reason(refusal: &ClaimRefusal) -> &'static str {
    match refusal {
        ClaimRefusal::NoAgent | ClaimRefusal::NoOrder => "NotFound",
        ClaimRefusal::RequestReused => "RequestIDReused",
        ClaimRefusal::RequestSpent => "FenceSpent",
        ClaimRefusal::NotTargeted => "NotTargeted",
        ClaimRefusal::NotServed(_) => "WorkTypeNotServed",
        ClaimRefusal::Excluded => "AgentExcluded",
        ClaimRefusal::Unschedulable => "AgentUnschedulable",
        ClaimRefusal::AtCapacity { .. } => "AgentAtCapacity",
        ClaimRefusal::State { refusal, .. } => state_reason(refusal),
    }
}

/// Why a report was not accepted. `key` is the order's.
pub(super) fn report_error(refusal: ReportRefusal, key: &Key) -> RegistryError {
    let message = format!("workorder {key}: {refusal}");
    match refusal {
        ReportRefusal::NoOrder => not_found("workorders", &key.name),
        ReportRefusal::OtherAgent(_) => forbidden("OtherAgent", message),
        ReportRefusal::EndedOtherwise { .. } => conflict(message, vec![cause("AttemptEnded", "")]),
        ReportRefusal::State {
            refusal,
            phase,
            current,
        } => {
            let mut causes = vec![cause(state_reason(&refusal), ""), cause("Phase", phase.as_str())];
            if let Some(current) = current {
                causes.push(cause("Agent", &current.agent));
                causes.push(cause("Holder", &current.holder));
                causes.push(cause("Fence", &current.fence.to_string()));
            }
            conflict(message, causes)
        }
    }
}

const fn state_reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Held { .. } => "Held",
        Refusal::HeldByOtherProcess { .. } => "HeldByOtherProcess",
        Refusal::NotDue { .. } => "NotDue",
        Refusal::Suspended => "Suspended",
        Refusal::Finished { .. } => "Finished",
        Refusal::FenceSpent => "FenceSpent",
        Refusal::NamespaceTerminating => "NamespaceTerminating",
        Refusal::ExecutionStarted => "ExecutionStarted",
        Refusal::NotHeld => "NotHeld",
        Refusal::Superseded => "Superseded",
        Refusal::NotFinished => "NotFinished",
    }
}

fn conflict(message: String, causes: Vec<Cause>) -> RegistryError {
    RegistryError::Conflict { message, causes }
}

/// A machine-readable cause; the message carries its value.
fn cause(reason: &str, value: &str) -> Cause {
    Cause {
        reason: reason.to_owned(),
        message: value.to_owned(),
        field: String::new(),
    }
}

fn not_found(resource: &str, name: &str) -> RegistryError {
    RegistryError::NotFound {
        group: super::GROUP.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
    }
}

/// An error if any field is invalid.
///
/// # Errors
/// `Invalid` with every field.
pub(super) fn valid(kind: &str, name: &str, errors: Vec<FieldError>) -> Result<(), RegistryError> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(RegistryError::Invalid {
        kind: kind.to_owned(),
        name: name.to_owned(),
        errors: field_errors(errors),
    })
}

/// An error if the text is no uid; the rows of the queue are found by it.
///
/// # Errors
/// `Invalid` for the field.
pub(super) fn valid_uid(kind: &str, name: &str, field: &str, uid: &str) -> Result<String, RegistryError> {
    match uuid::Uuid::parse_str(uid) {
        Ok(parsed) => Ok(parsed.to_string()),
        Err(_) => Err(RegistryError::Invalid {
            kind: kind.to_owned(),
            name: name.to_owned(),
            errors: vec![generic_apiserver::registry::FieldError::invalid(
                field,
                format!("{uid:?}"),
                "must be the uid of the order",
            )],
        }),
    }
}

/// What an item of a batch says about its error: what a request of its own would have been answered.
pub(super) fn item_error(error: RegistryError, name: &str) -> Status {
    let scope = RequestScope {
        group: super::GROUP.to_owned(),
        resource: "workorders".to_owned(),
        kind: "WorkOrder".to_owned(),
        name: name.to_owned(),
    };
    StatusError::from_registry(error, &scope).status()
}
