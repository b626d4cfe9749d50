//! PATCH of one object or of its status: JSON patch and JSON merge patch.
//!
//! Left out: strategic merge patch and apply patch; both are answered with 415, on which clients fall back
//! to a merge patch.

mod json_patch_document;

use http::StatusCode;
use serde_json::Value;

use super::Call;
use super::names::{check_name, check_namespace};
use crate::endpoints::decode::{self, Document};
use crate::endpoints::negotiation::{Transform, negotiate};
use crate::endpoints::options::{FieldValidation, Query, WriteOptions};
use crate::endpoints::{Response, StatusError, response};
use crate::object::Object;
use crate::registry::{FieldError, ObjectChange, Part, RegistryError, RequestContext, RestStorage};

use json_patch_document::JsonPatch;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A patch as the client sent it.
enum PatchDocument {
    Json(JsonPatch),
    Merge(Value),
}

/// Applies a patch to whatever the present state is, in the version of the request.
struct Patch<'c> {
    document: PatchDocument,
    /// Fields that the patch gives twice.
    duplicates: Vec<String>,
    validation: FieldValidation,
    storage: &'c dyn RestStorage,
    ctx: &'c RequestContext,
}

pub(super) async fn patch(call: &mut Call<'_>, part: Part) -> Result<Response, StatusError> {
    let (document, duplicates) = read(call)?;
    let negotiated = negotiate(call.parts, &Transform::ALL)?;
    response::check_single(call, &negotiated)?;
    let options = WriteOptions::parse(Query::of(call.parts), "PatchOptions")?;
    call.set_options(&options);
    let change = Patch {
        document,
        duplicates,
        validation: options.field_validation,
        storage: call.storage.as_ref(),
        ctx: &call.ctx,
    };
    let patched = call.storage.update(&call.ctx, &call.key(), part, &change).await;
    let patched = patched.map_err(|error| call.refused(error))?;
    response::written(call, &negotiated, StatusCode::OK, &patched)
}

/// The patch and the fields it gives twice.
fn read(call: &Call<'_>) -> Result<(PatchDocument, Vec<String>), StatusError> {
    let media_type = decode::media_type(&call.parts.headers);
    if ![JSON_PATCH, MERGE_PATCH].contains(&media_type.as_str()) {
        return Err(decode::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH]));
    }
    let Document { value, duplicates } = Document::from_json(&call.body)
        .map_err(|why| StatusError::bad_request(format!("the patch cannot be decoded: {why}")))?;
    if media_type == JSON_PATCH {
        return Ok((PatchDocument::Json(JsonPatch::read(value)?), duplicates));
    }
    if !value.is_object() {
        return Err(StatusError::bad_request("a merge patch must be a JSON object"));
    }
    Ok((PatchDocument::Merge(value), duplicates))
}

impl ObjectChange for Patch<'_> {
    fn apply(&self, current: &Object) -> Result<Object, RegistryError> {
        let served = self.storage.served(current)?;
        let current = served.as_ref();
        let mut value =
            serde_json::to_value(current).map_err(|error| RegistryError::Internal(error.to_string()))?;
        match &self.document {
            PatchDocument::Json(patch) => patch
                .apply(&mut value)
                .map_err(|why| self.refused(current, why))?,
            PatchDocument::Merge(patch) => json_patch::merge(&mut value, patch),
        }
        self.check_type(current, &value)?;
        let decoded = self
            .storage
            .decode(value)
            .map_err(|error| self.refused(current, error.to_string()))?;
        let problems = decode::problems(&self.duplicates, &decoded.unknown_fields);
        match self.validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => problems.into_iter().for_each(|problem| self.ctx.warn(problem)),
            FieldValidation::Strict if problems.is_empty() => {}
            FieldValidation::Strict => {
                let why = format!("strict decoding error: {}", problems.join(", "));
                return Err(self.refused(current, why));
            }
        }
        let meta = &current.metadata;
        check_name(&decoded.object, meta.name.as_deref().unwrap_or_default())?;
        check_namespace(&decoded.object, meta.namespace.as_deref().unwrap_or_default())?;
        Ok(decoded.object)
    }
}

impl Patch<'_> {
    /// A patch cannot turn an object into one of another kind or version.
    fn check_type(&self, current: &Object, value: &Value) -> Result<(), RegistryError> {
        let unchanged =
            value["kind"] == current.kind.as_str() && value["apiVersion"] == current.api_version.as_str();
        if unchanged {
            return Ok(());
        }
        Err(self.refused(current, "kind and apiVersion cannot be changed".to_owned()))
    }

    /// The patch is well-formed, but does not fit the object.
    fn refused(&self, current: &Object, why: String) -> RegistryError {
        RegistryError::Invalid {
            kind: self.storage.info().kind.to_owned(),
            name: current.metadata.name.clone().unwrap_or_default(),
            errors: vec![FieldError::invalid("patch", "the patch", why)],
        }
    }
}
