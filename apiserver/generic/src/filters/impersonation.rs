//! Refuses impersonation. kube-apiserver resolves it before it proxies a request here; on direct calls it
//! is not offered, and must not be ignored: the caller would act as itself without knowing.
//!
//! Upstream concept: `endpoints/filters/impersonation`.

use http::{HeaderMap, StatusCode};

use super::Refusal;
use crate::endpoints::StatusError;

/// Refuses a request that asks to act as someone else.
pub(crate) fn refuse(headers: &HeaderMap) -> Result<(), Refusal> {
    let asked = headers
        .keys()
        .find(|name| name.as_str().starts_with("impersonate-"));
    asked.map_or(Ok(()), |name| {
        let message =
            format!("{name}: impersonation is not offered here: send the request to kube-apiserver");
        Err(StatusError::new(StatusCode::FORBIDDEN, "Forbidden", message).into())
    })
}
