//! The resources of `work.brokkr.io` on the library: strategies, storage mappings and printer columns.
//!
//! What runs under the version lock (claims, completions, expiry) is in [`crate::queue`]; what an order
//! may become is decided in [`crate::lifecycle`].

pub mod agent;
mod caller;
pub mod columns;
mod refusals;
pub mod work_order;
pub mod work_order_log;

use brokkr_apis::validation::{FieldError as ApiFieldError, FieldErrorKind};
use generic_apiserver::registry::{FieldError, FieldErrorType};

/// The group of all resources here.
pub const GROUP: &str = brokkr_apis::GROUP;

/// Field errors of the types, in the library's words.
fn field_errors(errors: Vec<ApiFieldError>) -> Vec<FieldError> {
    errors.into_iter().map(field_error).collect()
}

fn field_error(error: ApiFieldError) -> FieldError {
    let error_type = match error.kind {
        FieldErrorKind::Required => FieldErrorType::Required,
        FieldErrorKind::Invalid => FieldErrorType::Invalid,
        FieldErrorKind::NotSupported => FieldErrorType::NotSupported,
        FieldErrorKind::Duplicate => FieldErrorType::Duplicate,
        FieldErrorKind::Forbidden => FieldErrorType::Forbidden,
        FieldErrorKind::TooLong => FieldErrorType::TooLong,
        FieldErrorKind::TooMany => FieldErrorType::TooMany,
    };
    let text = error.to_string();
    let message = text
        .strip_prefix(&format!("{}: ", error.field))
        .unwrap_or(&text)
        .to_owned();
    FieldError::new(error.field, error_type, message)
}
