//! Requests to a subresource other than `/status`: a body is posted, or an answer is read.

use http::StatusCode;

use super::Call;
use super::names::{check_name, check_namespace};
use crate::endpoints::negotiation::negotiate;
use crate::endpoints::options::{Query, WriteOptions};
use crate::endpoints::{Response, StatusError, response};
use crate::object::Object;
use crate::registry::{RestSubresource, Verb};

pub(super) async fn answer(
    call: &mut Call<'_>,
    subresource: &dyn RestSubresource,
) -> Result<Response, StatusError> {
    // The answer is of a kind of its own, for which there are no columns.
    let negotiated = negotiate(call.parts, &[])?;
    let (code, body) = match subresource.verb() {
        Verb::Create => (StatusCode::CREATED, Some(body(call, subresource).await?)),
        _ => (StatusCode::OK, None),
    };
    if let Some(body) = &body {
        call.admit(body, subresource.refused_in_terminating_namespace())
            .await?;
    }
    let answer = subresource.answer(&call.ctx, &call.key(), body).await;
    let answer = answer.map_err(|error| call.refused(error))?;
    response::json(code, &answer, negotiated.pretty)
}

async fn body(call: &mut Call<'_>, subresource: &dyn RestSubresource) -> Result<Object, StatusError> {
    let options = WriteOptions::parse(Query::of(call.parts), "CreateOptions")?;
    call.set_options(&options);
    let decode = |value| subresource.decode(value);
    let object = call
        .expected(subresource.kind(), &decode)
        .read(
            &call.parts.headers,
            &call.body,
            options.field_validation,
            &call.ctx,
        )
        .await?;
    check_namespace(&object, &call.info.namespace).map_err(|error| call.refused(error))?;
    if object.metadata.name.as_ref().is_some_and(|name| !name.is_empty()) {
        check_name(&object, &call.info.name).map_err(|error| call.refused(error))?;
    }
    Ok(object)
}
