//! GET of one object, and of its `/status`, which is the same object.

use http::StatusCode;

use super::Call;
use crate::endpoints::negotiation::{Transform, negotiate};
use crate::endpoints::options::{self, Query};
use crate::endpoints::{Response, StatusError, response};

pub(super) async fn get(call: &Call<'_>) -> Result<Response, StatusError> {
    let negotiated = negotiate(call.parts, &Transform::ALL)?;
    let fresh = options::get_freshness(Query::of(call.parts))?;
    let stored = call
        .storage
        .get(&call.key(), fresh)
        .await
        .map_err(|error| call.refused(error))?;
    response::object(call, &negotiated, StatusCode::OK, &stored)
}
