//! The API's error and the only mapping from errors of lower layers to it.
//!
//! Upstream concept: `k8s.io/apimachinery/pkg/api/errors` and `apiserver/pkg/storage/errors`.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, Status, StatusCause, StatusDetails};

use super::{Response, full_body};
use crate::authentication::UserInfo;
use crate::authorization::Attributes;

/// An error as clients see it: an HTTP status code and a `Status` body.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusError {
    code: StatusCode,
    reason: &'static str,
    message: String,
    // Boxed, because every result of a handler is as large as its error.
    details: Option<Box<StatusDetails>>,
    /// `metadata.continue` of an expired list.
    continue_token: Option<String>,
}

impl StatusError {
    /// An error without details. `code` is 4xx or 5xx.
    pub fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    /// The request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// No credential, or a bad one.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// The user may not do this; `reason` is the authorizer's, which may be empty.
    #[must_use]
    pub fn forbidden(user: &UserInfo, attributes: &Attributes, reason: &str) -> Self {
        let mut denial = escape_markup(&denial(user, attributes));
        if !reason.is_empty() {
            denial = format!("{denial}: {reason}");
        }
        let (group, resource, name) = match attributes {
            Attributes::NonResource { .. } => ("", "", ""),
            Attributes::Resource {
                group,
                resource,
                name,
                ..
            } => (group.as_str(), resource.as_str(), name.as_str()),
        };
        let subject = match (resource, group, name) {
            ("", _, _) => "forbidden".to_owned(),
            (resource, "", "") => format!("{resource} is forbidden"),
            (resource, "", name) => format!("{resource} {name:?} is forbidden"),
            (resource, group, "") => format!("{resource}.{group} is forbidden"),
            (resource, group, name) => format!("{resource}.{group} {name:?} is forbidden"),
        };
        let message = format!("{subject}: {denial}");
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(group, resource, name)
    }

    /// A defect of the server.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// Not ready, or what the request needs cannot be reached; to be tried again.
    pub fn unavailable(message: impl Into<String>, retry_after_seconds: i32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
            .retry_after(retry_after_seconds)
    }

    /// Says after how many seconds to try again, in the details and in the header.
    #[must_use]
    pub fn retry_after(mut self, seconds: i32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = Some(seconds);
        self
    }

    /// Sets group, kind (by custom the plural resource) and name of what the error is about.
    #[must_use]
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        details.group = given(group);
        details.kind = given(kind);
        details.name = given(name);
        self
    }

    /// Adds machine-readable causes.
    #[must_use]
    pub fn causes(mut self, causes: Vec<StatusCause>) -> Self {
        self.details.get_or_insert_default().causes = Some(causes);
        self
    }

    /// Sets the token with which an expired list can be continued inconsistently.
    #[must_use]
    pub fn continue_from(mut self, token: Option<String>) -> Self {
        self.continue_token = token;
        self
    }

    /// The HTTP status code.
    #[must_use]
    pub const fn code(&self) -> StatusCode {
        self.code
    }

    /// The error as the object that clients read.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            code: Some(i32::from(self.code.as_u16())),
            details: self.details.as_deref().cloned(),
            message: Some(self.message.clone()),
            metadata: ListMeta {
                continue_: self.continue_token.clone(),
                ..ListMeta::default()
            },
            reason: Some(self.reason.to_owned()),
            status: Some("Failure".to_owned()),
        }
    }

    /// The response; always JSON, whatever the client accepts.
    #[must_use]
    pub fn into_response(self) -> Response {
        // A Status consists of strings and numbers: writing it cannot fail.
        let body = serde_json::to_vec(&self.status()).unwrap_or_default();
        let mut response = Response::new(full_body(body));
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.details.and_then(|details| details.retry_after_seconds) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Who cannot do what, in the words all Kubernetes servers use.
fn denial(user: &UserInfo, attributes: &Attributes) -> String {
    let user = &user.name;
    match attributes {
        Attributes::NonResource { verb, path } => format!("User {user:?} cannot {verb} path {path:?}"),
        Attributes::Resource {
            verb,
            group,
            resource,
            subresource,
            namespace,
            ..
        } => {
            let resource = match subresource.as_str() {
                "" => resource.clone(),
                subresource => format!("{resource}/{subresource}"),
            };
            let scope = match namespace.as_str() {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            format!("User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}")
        }
    }
}

/// Keeps text of users from looking like HTML to a browser.
pub(crate) fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
