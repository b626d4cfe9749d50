//! PUT of one object or of its status.

use http::StatusCode;

use super::Call;
use super::names::{check_name, check_namespace};
use crate::endpoints::negotiation::{Transform, negotiate};
use crate::endpoints::options::{Query, WriteOptions};
use crate::endpoints::{Response, StatusError, response};
use crate::object::Object;
use crate::registry::{ObjectChange, Part, RegistryError, Scope};

/// Replaces the present state, whatever it is; the version in the object decides whether it may.
struct Replacement(Object);

impl ObjectChange for Replacement {
    fn apply(&self, _current: &Object) -> Result<Object, RegistryError> {
        Ok(self.0.clone())
    }
}

pub(super) async fn update(call: &mut Call<'_>, part: Part) -> Result<Response, StatusError> {
    let negotiated = negotiate(call.parts, &Transform::ALL)?;
    response::check_single(call, &negotiated)?;
    let options = WriteOptions::parse(Query::of(call.parts), "UpdateOptions")?;
    call.set_options(&options);
    let decode = |value| call.storage.decode(value);
    let mut object = call
        .expected(call.resource().kind, &decode)
        .read(
            &call.parts.headers,
            &call.body,
            options.field_validation,
            &call.ctx,
        )
        .await?;
    check_name(&object, &call.info.name).map_err(|error| call.refused(error))?;
    if call.resource().names.scope == Scope::Namespaced {
        check_namespace(&object, &call.info.namespace).map_err(|error| call.refused(error))?;
        object.metadata.namespace = Some(call.info.namespace.clone());
    }
    let change = Replacement(object);
    let updated = call.storage.update(&call.ctx, &call.key(), part, &change).await;
    let updated = updated.map_err(|error| call.refused(error))?;
    response::written(call, &negotiated, StatusCode::OK, &updated)
}
