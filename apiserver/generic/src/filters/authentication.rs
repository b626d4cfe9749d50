//! Finds out who is asking, and removes every trace of credentials from the request.
//!
//! Upstream concept: `endpoints/filters.WithAuthentication`.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Refusal;
use crate::authentication::request_header::strip_prefixed;
use crate::authentication::{Authentication, Authenticator, PeerCertificates};
use crate::endpoints::StatusError;

/// The identity of the request, or 401. Afterwards no header names an identity or holds a credential, so
/// that no handler, log or onward call can mistake what is asserted for what is proved.
pub(crate) async fn authenticate(
    authenticator: &dyn Authenticator,
    headers: &mut HeaderMap,
    peer: Option<&PeerCertificates>,
) -> Result<Authentication, Refusal> {
    let outcome = authenticator.authenticate(headers, peer).await;
    authenticator.strip(headers);
    strip_prefixed(headers, "x-remote-");
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
