//! The only mapping from errors of the lower layers to the API's error. It has no catch-all arm: a new
//! variant does not compile until somebody has decided what clients see.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/registry/rest.CheckGeneratedNameError` and
//! `storage/errors.InterpretGetError` and its siblings.

use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::StatusCause;

use super::StatusError;
use crate::registry::error::Cause;
use crate::registry::{FieldError, RegistryError};
use crate::storage::{Key, StorageError};

/// What a request is about, as errors name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestScope {
    /// The API group.
    pub group: String,
    /// The plural resource.
    pub resource: String,
    /// The kind.
    pub kind: String,
    /// The object's name; empty = the collection.
    pub name: String,
}

impl RequestScope {
    /// The resource with its group, such as `deployments.apps`.
    pub(super) fn qualified(&self) -> String {
        qualified(&self.group, &self.resource)
    }

    /// The resource and the name in quotes.
    fn object(&self, name: &str) -> String {
        format!("{} {name:?}", self.qualified())
    }

    /// Adds the details to an error about the object `name`.
    fn detail(&self, error: StatusError, name: &str) -> StatusError {
        error.about(&self.group, &self.resource, name)
    }
}

impl StatusError {
    /// What clients see of an error of the registry.
    #[must_use]
    pub fn from_registry(error: RegistryError, scope: &RequestScope) -> Self {
        match error {
            RegistryError::Storage(error) => Self::from_storage(error, scope),
            RegistryError::Invalid { kind, name, errors } => {
                Self::invalid(&scope.group, &kind, &name, &errors)
            }
            RegistryError::BadRequest(message) => Self::bad_request(message),
            RegistryError::Forbidden { message, causes } => {
                let message = format!("{} is forbidden: {message}", scope.object(&scope.name));
                let error = Self::new(StatusCode::FORBIDDEN, "Forbidden", message);
                with_causes(scope.detail(error, &scope.name), causes)
            }
            RegistryError::Conflict { message, causes } => {
                let error = Self::new(StatusCode::CONFLICT, "Conflict", message);
                with_causes(scope.detail(error, &scope.name), causes)
            }
            RegistryError::NotFound {
                group,
                resource,
                name,
            } => {
                let message = format!("{} {name:?} not found", qualified(&group, &resource));
                Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(&group, &resource, &name)
            }
            RegistryError::TooLarge { bytes, limit } => {
                let message = format!(
                    "{} is too large: it would have {bytes} bytes, the limit is {limit}",
                    scope.object(&scope.name)
                );
                let error = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message);
                scope.detail(error, &scope.name)
            }
            RegistryError::TooManyRequests {
                message,
                retry_after_seconds,
            } => Self::too_many_requests(message, retry_after_seconds),
            RegistryError::Authorization(error) => Self::internal(error),
            RegistryError::Internal(message) => defect(&message),
        }
    }

    /// An object or options with invalid fields; `kind` is the kind, not the resource.
    pub(super) fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let all = match all.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {all}", qualified(group, kind));
        let cause = |error: &FieldError| StatusCause {
            field: Some(error.field.clone()),
            message: Some(error.message.clone()),
            reason: Some(error.error_type.reason().to_owned()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
            .about(group, kind, name)
            .causes(errors.iter().map(cause).collect())
    }

    fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
            .retry_after(i32::try_from(retry_after_seconds).unwrap_or(i32::MAX))
    }

    /// What clients see of an error of storage.
    #[must_use]
    pub(super) fn from_storage(error: StorageError, scope: &RequestScope) -> Self {
        match error {
            StorageError::NotFound(key) => {
                let message = format!("{} not found", scope.object(&key.name));
                scope.detail(Self::new(StatusCode::NOT_FOUND, "NotFound", message), &key.name)
            }
            StorageError::AlreadyExists { key, terminating } => already_exists(&key, terminating, scope),
            StorageError::Conflict { key, .. } => {
                let message = format!(
                    "Operation cannot be fulfilled on {}: the object has been modified; please apply your changes to the latest version and try again",
                    scope.object(&key.name)
                );
                scope.detail(Self::new(StatusCode::CONFLICT, "Conflict", message), &key.name)
            }
            StorageError::Expired {
                asked,
                oldest,
                continue_from,
            } => {
                let message = format!("too old resource version: {asked} ({oldest}); list again");
                Self::new(StatusCode::GONE, "Expired", message).continue_from(continue_from)
            }
            StorageError::TooLarge { asked, current } => {
                let message = format!("Too large resource version: {asked}, current: {current}");
                too_large(&message)
            }
            StorageError::InvalidContinue(why) => {
                Self::bad_request(format!("continue key is not valid: {why}"))
            }
            StorageError::Unreachable { message, ambiguous } => unreachable_database(&message, ambiguous),
            StorageError::TimedOut(message) => unreachable_database(&message, false),
            StorageError::Overloaded(place) => {
                Self::too_many_requests(format!("the server is overloaded: {place}; try again later"), 1)
            }
            StorageError::Constraint(name) => defect(&format!("constraint {name} refused the write")),
            StorageError::Corrupt(what) => defect(&format!("a stored object cannot be read: {what}")),
            StorageError::Database(what) => defect(&format!("the database refused a statement: {what}")),
        }
    }
}

fn qualified(group: &str, name: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{name}.{group}"),
    }
}

fn with_causes(error: StatusError, causes: Vec<Cause>) -> StatusError {
    if causes.is_empty() {
        return error;
    }
    let given = |text: String| (!text.is_empty()).then_some(text);
    let cause = |cause: Cause| StatusCause {
        field: given(cause.field),
        message: given(cause.message),
        reason: given(cause.reason),
    };
    error.causes(causes.into_iter().map(cause).collect())
}

fn already_exists(key: &Key, terminating: bool, scope: &RequestScope) -> StatusError {
    let prefix = if terminating {
        "object is being deleted: "
    } else {
        ""
    };
    let message = format!("{prefix}{} already exists", scope.object(&key.name));
    let error = StatusError::new(StatusCode::CONFLICT, "AlreadyExists", message);
    scope.detail(error, &key.name)
}

/// Clients know the case by its cause and wait before they ask again.
fn too_large(message: &str) -> StatusError {
    let cause = StatusCause {
        field: None,
        message: Some("Too large resource version".to_owned()),
        reason: Some("ResourceVersionTooLarge".to_owned()),
    };
    StatusError::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
        .retry_after(1)
        .causes(vec![cause])
}

fn unreachable_database(message: &str, ambiguous: bool) -> StatusError {
    tracing::warn!(message, ambiguous, "database unreachable");
    let text = if ambiguous {
        "the database did not confirm the write, which may have taken effect: read the object before trying again"
    } else {
        "the database cannot be reached: try again later"
    };
    StatusError::unavailable(text, 1)
}

/// What a person must look at: told to the client and to the log.
fn defect(message: &str) -> StatusError {
    tracing::error!(message, "request failed by a defect");
    StatusError::internal(message)
}
