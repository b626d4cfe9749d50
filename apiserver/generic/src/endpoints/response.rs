//! The only writer of bodies of success.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`. An object that is not
//! transformed is sent as the bytes that storage keeps, unless another version is served than stored.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use super::handlers::Call;
use super::metadata::{PartialObjectMetadata, PartialObjectMetadataList};
use super::negotiation::{Negotiated, Transform, not_acceptable};
use super::options::Query;
use super::table::{IncludeObject, Tables};
use super::{Response, ResponseBody, StatusError, full_body};
use crate::object::Object;
use crate::storage::{Key, ListPage, ResourceVersion, Stored};

/// The metadata of a list or table; what is empty is left out.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListMetadata {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub(crate) continue_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remaining_item_count: Option<u64>,
}

impl ListMetadata {
    /// That of one page.
    fn of(page: &ListPage) -> Self {
        Self {
            resource_version: page.version.to_string(),
            continue_token: page.continue_token.clone(),
            remaining_item_count: page.remaining,
        }
    }

    /// That of the table of one object.
    pub(crate) fn at(version: &str) -> Self {
        Self {
            resource_version: version.to_owned(),
            ..Self::default()
        }
    }
}

/// The answer with one object.
pub(crate) fn object(
    call: &Call<'_>,
    negotiated: &Negotiated,
    code: StatusCode,
    stored: &Stored,
) -> Result<Response, StatusError> {
    let api_version = negotiated.meta_api_version;
    match negotiated.transform {
        Transform::None => encoded(code, text_of(call, stored)?, negotiated.pretty),
        Transform::PartialObjectMetadata => json(
            code,
            &PartialObjectMetadata::new(api_version, stored),
            negotiated.pretty,
        ),
        Transform::Table => {
            let version = stored.metadata.resource_version.as_deref().unwrap_or_default();
            let table = tables(call, api_version)?.table(&ListMetadata::at(version), [stored], true)?;
            json(code, &table, negotiated.pretty)
        }
        Transform::PartialObjectMetadataList => Err(wrong_shape("PartialObjectMetadata")),
    }
}

/// Refuses, before anything is written, a form that one object cannot be answered in.
pub(crate) fn check_single(call: &Call<'_>, negotiated: &Negotiated) -> Result<(), StatusError> {
    match negotiated.transform {
        Transform::PartialObjectMetadataList => Err(wrong_shape("PartialObjectMetadata")),
        Transform::Table => tables(call, negotiated.meta_api_version).map(|_| ()),
        Transform::None | Transform::PartialObjectMetadata => Ok(()),
    }
}

/// As [`check_single`], for the objects that a deletecollection deletes.
pub(crate) fn check_collection(call: &Call<'_>, negotiated: &Negotiated) -> Result<(), StatusError> {
    match negotiated.transform {
        Transform::PartialObjectMetadata => Err(wrong_shape("PartialObjectMetadataList")),
        Transform::Table => tables(call, negotiated.meta_api_version).map(|_| ()),
        Transform::None | Transform::PartialObjectMetadataList => Ok(()),
    }
}

/// The answer with an object that comes from a write.
pub(crate) fn written(
    call: &Call<'_>,
    negotiated: &Negotiated,
    code: StatusCode,
    written: &Object,
) -> Result<Response, StatusError> {
    object(call, negotiated, code, &stored_form(written)?)
}

/// The answer with a page of a list.
pub(crate) fn list(
    call: &Call<'_>,
    negotiated: &Negotiated,
    page: &ListPage,
) -> Result<Response, StatusError> {
    let items = || page.items.iter().map(AsRef::as_ref);
    collection(call, negotiated, &ListMetadata::of(page), items)
}

/// The answer with the objects a deletecollection has deleted.
pub(crate) fn deleted(
    call: &Call<'_>,
    negotiated: &Negotiated,
    objects: &[Object],
) -> Result<Response, StatusError> {
    let items = objects.iter().map(stored_form).collect::<Result<Vec<_>, _>>()?;
    collection(call, negotiated, &ListMetadata::default(), || items.iter())
}

fn collection<'o, I: Iterator<Item = &'o Stored>>(
    call: &Call<'_>,
    negotiated: &Negotiated,
    metadata: &ListMetadata,
    items: impl Fn() -> I,
) -> Result<Response, StatusError> {
    let (code, pretty) = (StatusCode::OK, negotiated.pretty);
    let api_version = negotiated.meta_api_version;
    match negotiated.transform {
        Transform::None => encoded(code, list_body(call, metadata, items())?, pretty),
        Transform::PartialObjectMetadataList => json(
            code,
            &PartialObjectMetadataList::new(api_version, metadata, items()),
            pretty,
        ),
        Transform::Table => {
            let table = tables(call, api_version)?.table(metadata, items(), true)?;
            json(code, &table, pretty)
        }
        Transform::PartialObjectMetadata => Err(wrong_shape("PartialObjectMetadataList")),
    }
}

/// A list put together from the bytes of its items.
fn list_body<'o>(
    call: &Call<'_>,
    metadata: &ListMetadata,
    items: impl Iterator<Item = &'o Stored>,
) -> Result<Bytes, StatusError> {
    let metadata = serde_json::to_string(metadata).map_err(StatusError::internal)?;
    let (kind, api_version) = (call.resource().kind, call.api_version());
    let mut body =
        format!(r#"{{"kind":"{kind}List","apiVersion":"{api_version}","metadata":{metadata},"items":["#)
            .into_bytes();
    for (index, stored) in items.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&text_of(call, stored)?);
    }
    body.extend_from_slice(b"]}");
    Ok(body.into())
}

/// The text of an object in the version of the call.
fn text_of(call: &Call<'_>, stored: &Stored) -> Result<Bytes, StatusError> {
    call.storage.encoded(stored).map_err(|error| call.refused(error))
}

/// What turns the objects of this call into tables.
pub(crate) fn tables<'r>(call: &'r Call<'_>, api_version: &'static str) -> Result<Tables<'r>, StatusError> {
    Ok(Tables {
        storage: call.storage.as_ref(),
        scope: &call.scope,
        api_version,
        include: IncludeObject::parse(Query::of(call.parts))?,
    })
}

pub(crate) fn wrong_shape(kind: &str) -> StatusError {
    not_acceptable(&format!(
        "application/json, application/json;as=Table;g=meta.k8s.io;v=v1, application/json;as={kind};g=meta.k8s.io;v=v1"
    ))
}

/// An answer of any serialisable value.
pub(crate) fn json(code: StatusCode, value: &impl Serialize, pretty: bool) -> Result<Response, StatusError> {
    let written = if pretty {
        serde_json::to_vec_pretty(value)
    } else {
        serde_json::to_vec(value)
    };
    let body = written.map_err(StatusError::internal)?;
    Ok(with_body(code, full_body(body)))
}

/// An answer of JSON bytes.
fn encoded(code: StatusCode, body: Bytes, pretty: bool) -> Result<Response, StatusError> {
    if pretty {
        let value: Value = serde_json::from_slice(&body).map_err(StatusError::internal)?;
        return json(code, &value, true);
    }
    Ok(with_body(code, full_body(body)))
}

/// An answer with this body of JSON.
pub(crate) fn with_body(code: StatusCode, body: ResponseBody) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A written object in the form of stored ones; a dry run has no version.
fn stored_form(object: &Object) -> Result<Stored, StatusError> {
    let metadata = &object.metadata;
    let version = metadata
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok());
    Ok(Stored {
        key: Key {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        },
        version: version.unwrap_or(ResourceVersion::ZERO),
        encoded: serde_json::to_vec(object).map_err(StatusError::internal)?.into(),
        metadata: metadata.clone(),
        fields: std::collections::BTreeMap::new(),
    })
}
