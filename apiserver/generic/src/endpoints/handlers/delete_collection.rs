//! DELETE of a collection, which is many deletes and not atomic.

use super::{Call, delete};
use crate::endpoints::negotiation::{Transform, negotiate};
use crate::endpoints::options::{ListQuery, Query};
use crate::endpoints::{Response, StatusError, response};

pub(super) async fn delete_collection(call: &mut Call<'_>) -> Result<Response, StatusError> {
    let negotiated = negotiate(call.parts, &Transform::ALL)?;
    response::check_collection(call, &negotiated)?;
    let query = ListQuery::parse(Query::of(call.parts), &call.resource().fields)?;
    let selected = query.into_list(call.namespace())?;
    let options = delete::options(call).await?;
    let deleted = call
        .storage
        .delete_collection(&call.ctx, &selected, &options.request)
        .await;
    let deleted = deleted.map_err(|error| call.refused(error))?;
    response::deleted(call, &negotiated, &deleted)
}
