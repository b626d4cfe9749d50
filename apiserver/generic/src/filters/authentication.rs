//! Finds out who is asking, and removes every trace of credentials from the request.
//!
//! Upstream concept: `endpoints/filters.WithAuthentication`.

use std::time::Instant;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Refusal;
use super::request_metrics::RequestMetrics;
use crate::authentication::request_header::strip_prefixed;
use crate::authentication::{Authentication, Authenticator, PeerCertificates};
use crate::endpoints::StatusError;
use crate::mutant;

/// The identity of the request, or 401. Afterwards no header names an identity or holds a credential, so
/// that no handler, log or onward call can mistake what is asserted for what is proved.
pub(crate) async fn authenticate(
    authenticator: &dyn Authenticator,
    headers: &mut HeaderMap,
    peer: Option<&PeerCertificates>,
    metrics: &RequestMetrics,
) -> Result<Authentication, Refusal> {
    let begun = Instant::now();
    let outcome = authenticator.authenticate(headers, peer).await;
    metrics.authenticated(outcome.as_ref().map(Option::is_some).map_err(drop), begun);
    if !mutant!("c024-headers-not-stripped") {
        authenticator.strip(headers);
        strip_prefixed(headers, "x-remote-");
    }
    headers.remove(AUTHORIZATION);
    match outcome {
        Ok(Some(authentication)) => Ok(authentication),
        Ok(None) => Err(StatusError::unauthorized().into()),
        Err(error) => {
            tracing::info!(%error, "a request could not be authenticated");
            Err(StatusError::unauthorized().into())
        }
    }
}
