//! Rules of an Agent.

use super::{check_name, check_range, check_unique, names};
use crate::validation::FieldError;
use crate::work::v1alpha1::{Agent, AgentSpec, WorkType};

const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
const IDENTITY_BYTES_MAX: usize = 512;

/// What is wrong with a new agent.
pub fn validate_agent(agent: &Agent) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(name) = &agent.metadata.name {
        check_name("metadata.name", name, names::dns_subdomain, &mut errors);
    }
    check_spec(&agent.spec, &mut errors);
    errors
}

/// What is wrong with a changed agent.
pub fn validate_agent_update(new: &Agent, old: &Agent) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if new.spec != old.spec {
        check_spec(&new.spec, &mut errors);
    }
    if new.spec.identity != old.spec.identity {
        let message = "field is immutable; create another Agent for another identity";
        errors.push(FieldError::forbidden("spec.identity", message));
    }
    errors
}

fn check_spec(spec: &AgentSpec, errors: &mut Vec<FieldError>) {
    check_identity(&spec.identity, errors);
    check_unique("spec.workTypes", &spec.work_types, errors);
    for (index, work_type) in spec.work_types.iter().enumerate() {
        check_work_type(&format!("spec.workTypes[{index}]"), work_type, errors);
    }
    if let Some(concurrency) = &spec.concurrency {
        check_range("spec.concurrency.total", concurrency.total, 1..=1000, errors);
        for (work_type, limit) in &concurrency.by_type {
            let field = format!("spec.concurrency.byType[{work_type}]");
            check_work_type(&field, work_type, errors);
            check_range(&field, Some(*limit), 1..=1000, errors);
        }
    }
    check_range("spec.leaseSeconds", spec.lease_seconds, 15..=600, errors);
}

/// Agents are listed by what they serve, so an alias is not accepted here: one word for one type.
fn check_work_type(field: &str, work_type: &str, errors: &mut Vec<FieldError>) {
    if work_type.parse::<WorkType>().is_err() {
        let supported: Vec<_> = WorkType::ALL.iter().map(WorkType::as_str).collect();
        errors.push(FieldError::not_supported(field, work_type, &supported));
    }
}

fn check_identity(identity: &str, errors: &mut Vec<FieldError>) {
    let field = "spec.identity";
    if identity.is_empty() {
        let message =
            "must be the user name the agent calls with, such as system:serviceaccount:<namespace>:<name>";
        errors.push(FieldError::required(field, message));
    } else if identity.len() > IDENTITY_BYTES_MAX {
        errors.push(FieldError::too_long(field, identity.len(), IDENTITY_BYTES_MAX));
    } else if identity.chars().any(|c| c.is_whitespace() || c.is_control()) {
        errors.push(FieldError::invalid(
            field,
            identity,
            "must not contain spaces or control characters",
        ));
    } else if identity
        .strip_prefix(SERVICE_ACCOUNT_PREFIX)
        .is_some_and(|rest| !is_service_account(rest))
    {
        let message = "must be system:serviceaccount:<namespace>:<name>, both valid names";
        errors.push(FieldError::invalid(field, identity, message));
    }
}

fn is_service_account(rest: &str) -> bool {
    rest.split_once(':').is_some_and(|(namespace, name)| {
        names::dns_label(namespace).is_ok() && names::dns_subdomain(name).is_ok()
    })
}
