//! Rules of `spec.retryPolicy`.

use super::{check_range, check_unique};
use crate::validation::FieldError;
use crate::work::v1alpha1::{RetryPolicy, WorkOrderSpec};

const REASONS_MAX: usize = 64;
const REASON_BYTES_MAX: usize = 128;

pub(super) fn check_retry_policy(spec: &WorkOrderSpec, errors: &mut Vec<FieldError>) {
    let Some(policy) = &spec.retry_policy else { return };
    let field = |name: &str| format!("spec.retryPolicy.{name}");
    check_range(&field("maxRetries"), policy.max_retries, 0..=25, errors);
    check_range(
        &field("backoffSeconds"),
        policy.backoff_seconds,
        1..=86400,
        errors,
    );
    check_range(
        &field("maxBackoffSeconds"),
        policy.max_backoff_seconds,
        1..=86400,
        errors,
    );
    check_range(
        &field("maxLostAttempts"),
        policy.max_lost_attempts,
        0..=25,
        errors,
    );
    check_cap(policy, errors);
    check_reasons(&field("retryOn"), &policy.retry_on, errors);
    check_reasons(&field("neverRetryOn"), &policy.never_retry_on, errors);
}

/// A cap below the first wait would silently shorten it.
fn check_cap(policy: &RetryPolicy, errors: &mut Vec<FieldError>) {
    if let (Some(first), Some(cap)) = (policy.backoff_seconds, policy.max_backoff_seconds)
        && cap < first
    {
        let message = format!("must not be less than backoffSeconds ({first})");
        errors.push(FieldError::invalid(
            "spec.retryPolicy.maxBackoffSeconds",
            cap,
            message,
        ));
    }
}

fn check_reasons(field: &str, reasons: &[String], errors: &mut Vec<FieldError>) {
    if reasons.len() > REASONS_MAX {
        errors.push(FieldError::too_many(field, reasons.len(), REASONS_MAX));
    }
    check_unique(field, reasons, errors);
    for (index, reason) in reasons.iter().enumerate() {
        let valid = match reason.strip_prefix("ExitCode:") {
            Some(code) => code.parse().is_ok_and(|code: u8| code > 0),
            None => {
                let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
                !reason.is_empty() && reason.len() <= REASON_BYTES_MAX && reason.bytes().all(word)
            }
        };
        if !valid {
            let message = "must be a reason such as TaskFailed, or ExitCode:<1 to 255>";
            errors.push(FieldError::invalid(
                format!("{field}[{index}]"),
                reason.as_str(),
                message,
            ));
        }
    }
}
