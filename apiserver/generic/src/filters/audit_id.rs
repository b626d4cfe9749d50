//! One id per request, the same in kube-apiserver's log, in ours and in the answer.
//!
//! Upstream concept: `endpoints/filters.WithAuditInit`.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use uuid::Uuid;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The id the caller gave, or a new one, which is then set for the handlers to read.
pub(crate) fn ensure(headers: &mut HeaderMap) -> HeaderValue {
    if let Some(given) = headers.get(AUDIT_ID).filter(|value| !value.is_empty()) {
        return given.clone();
    }
    let fresh = HeaderValue::from_str(&Uuid::new_v4().to_string())
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    headers.insert(AUDIT_ID, fresh.clone());
    fresh
}

/// Sets the id on the answer, once.
pub(crate) fn echo(headers: &mut HeaderMap, audit_id: HeaderValue) {
    headers.insert(AUDIT_ID, audit_id);
}
