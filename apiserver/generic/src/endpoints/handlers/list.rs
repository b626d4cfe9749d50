//! GET of a collection: one page of one consistent state.

use super::Call;
use crate::endpoints::negotiation::{Transform, negotiate};
use crate::endpoints::options::{ListQuery, Query};
use crate::endpoints::{Response, StatusError, response};

pub(super) async fn list(call: &Call<'_>) -> Result<Response, StatusError> {
    let negotiated = negotiate(call.parts, &Transform::ALL)?;
    let query = ListQuery::parse(Query::of(call.parts), &call.resource().fields)?;
    let options = query.into_list(call.namespace())?;
    let page = call
        .storage
        .list(&options)
        .await
        .map_err(|error| call.refused(error))?;
    response::list(call, &negotiated, &page)
}
