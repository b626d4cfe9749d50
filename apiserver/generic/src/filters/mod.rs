//! What happens to every request before and after its handler, one file each.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/filters` and `server/filters`. Their order is in one
//! place, `server::handler_chain`.

pub(crate) mod audit_id;
pub(crate) mod authentication;
pub(crate) mod authorization;
pub(crate) mod cache_control;
pub(crate) mod impersonation;
pub(crate) mod max_in_flight;
pub(crate) mod panic_recovery;
pub(crate) mod request_deadline;
pub(crate) mod request_log;
pub(crate) mod request_metrics;
pub(crate) mod trace_context;
pub(crate) mod warnings;

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::endpoints::{Response, StatusError, full_body};

const NOSNIFF: (HeaderName, HeaderValue) = (
    http::header::X_CONTENT_TYPE_OPTIONS,
    HeaderValue::from_static("nosniff"),
);

/// A filter answers in place of the handler.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Response>);

impl Refusal {
    /// A refusal in plain text, as upstream's outer filters write it.
    pub(crate) fn plain(code: StatusCode, text: String) -> Self {
        Self(Box::new(plain_text(code, text)))
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    pub(crate) fn into_response(self) -> Response {
        *self.0
    }
}

impl From<StatusError> for Refusal {
    fn from(error: StatusError) -> Self {
        Self(Box::new(error.into_response()))
    }
}

/// A plain-text response that browsers do not interpret.
pub(crate) fn plain_text(code: StatusCode, text: String) -> Response {
    let mut response = Response::new(full_body(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    response
}
