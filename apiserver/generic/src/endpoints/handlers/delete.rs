//! DELETE of one object.

use http::StatusCode;
use serde_json::json;

use super::Call;
use crate::endpoints::delete_options::DeleteCall;
use crate::endpoints::negotiation::{Transform, negotiate};
use crate::endpoints::options::Query;
use crate::endpoints::{Response, StatusError, response};
use crate::object::Object;
use crate::registry::Deleted;

pub(super) async fn delete(call: &mut Call<'_>) -> Result<Response, StatusError> {
    let negotiated = negotiate(call.parts, &Transform::ALL)?;
    response::check_single(call, &negotiated)?;
    let options = options(call).await?;
    let deleted = call
        .storage
        .delete(&call.ctx, &call.key(), &options.request)
        .await;
    match deleted.map_err(|error| call.refused(error))? {
        Deleted::Gone(last) => gone(call, &last, negotiated.pretty),
        Deleted::Marked(object) => {
            let code = if options.accepts_later {
                StatusCode::ACCEPTED
            } else {
                StatusCode::OK
            };
            response::written(call, &negotiated, code, &object)
        }
    }
}

/// The options, with the dry run set on the context.
pub(super) async fn options(call: &mut Call<'_>) -> Result<DeleteCall, StatusError> {
    let query = Query::of(call.parts);
    let options = DeleteCall::parse(query, &call.parts.headers, &call.body, &call.api_version()).await?;
    call.ctx.dry_run = options.dry_run;
    Ok(options)
}

/// Of an object that is gone there is nothing to show: a Status says what went. It is never transformed.
fn gone(call: &Call<'_>, last: &Object, pretty: bool) -> Result<Response, StatusError> {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": call.info.name,
            "group": call.info.group,
            "kind": call.info.resource,
            "uid": last.metadata.uid,
        },
    });
    response::json(StatusCode::OK, &status, pretty)
}
