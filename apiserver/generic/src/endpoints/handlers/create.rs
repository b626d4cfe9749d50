//! POST to a collection.

use http::StatusCode;

use super::Call;
use super::names::check_namespace;
use crate::endpoints::negotiation::{Transform, negotiate};
use crate::endpoints::options::{Query, WriteOptions};
use crate::endpoints::{Response, StatusError, response};
use crate::registry::{RegistryError, Scope};
use crate::storage::StorageError;

pub(super) async fn create(call: &mut Call<'_>) -> Result<Response, StatusError> {
    let negotiated = negotiate(call.parts, &Transform::ALL)?;
    response::check_single(call, &negotiated)?;
    let options = WriteOptions::parse(Query::of(call.parts), "CreateOptions")?;
    call.set_options(&options);
    let decode = |value| call.storage.decode(value);
    let object = call
        .expected(call.resource().kind, &decode)
        .read(
            &call.parts.headers,
            &call.body,
            options.field_validation,
            &call.ctx,
        )
        .await?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let generated = name.is_empty();
    call.scope.name = name;
    if call.resource().names.scope == Scope::Namespaced {
        check_namespace(&object, &call.info.namespace).map_err(|error| call.refused(error))?;
    }
    call.admit(&object, true).await?;
    let created = call.storage.create(&call.ctx, &call.info.namespace, object).await;
    let created = created.map_err(|error| refused(call, error, generated))?;
    response::written(call, &negotiated, StatusCode::CREATED, &created)
}

/// All drawn names were taken: the client may try at once, with others drawn.
fn refused(call: &Call<'_>, error: RegistryError, generated: bool) -> StatusError {
    let taken = matches!(error, RegistryError::Storage(StorageError::AlreadyExists { .. }));
    let error = call.refused(error);
    if generated && taken {
        error.retry_after(1)
    } else {
        error
    }
}
