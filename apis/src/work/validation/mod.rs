//! What the API refuses, field by field.
//!
//! Pure rules over decoded and defaulted objects; an empty list means that the object is valid. What it leaves out: what
//! needs a look at other objects (unique keys, unique identities, quotas) and what belongs to every kind alike
//! (metadata but for the name, sizes of requests), which the server checks.

mod agent;
mod callback;
mod manifests;
mod names;
mod requests;
mod retry_policy;
mod targets;
#[cfg(test)]
mod tests;
mod work_order;

use std::ops::RangeInclusive;

pub use agent::{validate_agent, validate_agent_update};
pub use manifests::{MANIFESTS_BYTES_MAX, MANIFESTS_MAX};
pub use requests::{
    BATCH_MAX, MESSAGE_BYTES_MAX, RESULTS_BYTES_MAX, validate_agent_claim, validate_agent_completion,
    validate_agent_renewal, validate_completion, validate_release, validate_renewal,
    validate_work_order_claim,
};
pub use work_order::{MUTABLE_FIELDS, validate_work_order, validate_work_order_update};

use crate::validation::FieldError;

/// Refuses a number outside its range.
fn check_range(field: &str, value: Option<i64>, range: RangeInclusive<i64>, errors: &mut Vec<FieldError>) {
    if let Some(value) = value
        && !range.contains(&value)
    {
        let message = format!("must be between {} and {}, inclusive", range.start(), range.end());
        errors.push(FieldError::invalid(field, value, message));
    }
}

/// Refuses a list with an item that occurs twice.
fn check_unique(field: &str, items: &[String], errors: &mut Vec<FieldError>) {
    for (index, item) in items.iter().enumerate() {
        if items[..index].contains(item) {
            errors.push(FieldError::duplicate(format!("{field}[{index}]"), item.as_str()));
        }
    }
}

/// Refuses a value that breaks a rule about names.
fn check_name(field: &str, value: &str, rule: fn(&str) -> Result<(), String>, errors: &mut Vec<FieldError>) {
    if let Err(message) = rule(value) {
        errors.push(FieldError::invalid(field, value, message));
    }
}
