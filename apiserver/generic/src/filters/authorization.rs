//! Asks whether the user may.
//!
//! Upstream concept: `endpoints/filters.WithAuthorization`.

use std::time::Instant;

use http::StatusCode;

use super::Refusal;
use super::request_metrics::RequestMetrics;
use crate::authentication::UserInfo;
use crate::authorization::{Attributes, Authorizer, Decision};
use crate::endpoints::StatusError;
use crate::endpoints::status_error::escape_markup;
use crate::filters::NOSNIFF;
use crate::request_info::RequestInfo;

/// Passes, or answers 403; 500 when nobody could decide.
pub(crate) async fn authorize(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    info: &RequestInfo,
    metrics: &RequestMetrics,
) -> Result<(), Refusal> {
    let attributes = Attributes::of(info);
    let begun = Instant::now();
    let outcome = authorizer.authorize(user, &attributes).await;
    let allowed = outcome.as_ref().map(|decision| *decision == Decision::Allow);
    metrics.authorized(allowed.map_err(drop), begun);
    match outcome {
        Ok(Decision::Allow) => Ok(()),
        Ok(Decision::Deny(reason)) => {
            let refusal = Refusal::from(StatusError::forbidden(user, &attributes, &reason));
            Err(refusal.with_header(NOSNIFF.0, NOSNIFF.1))
        }
        Err(error) => {
            tracing::warn!(%error, path = info.path, "a request could not be authorized");
            let text = format!("Internal Server Error: {:?}: {error}", info.path);
            Err(Refusal::plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                escape_markup(&text),
            ))
        }
    }
}
