//! Reads bodies: their size, their media type, their kind and version, and their fields.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/handlers` (limitedReadBody, the codecs and their
//! strict decoding errors). Left out: protobuf and CBOR bodies.

mod document;
mod yaml;

use std::fmt::Display;
use std::pin::{Pin, pin};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::StatusError;
use super::options::FieldValidation;
use crate::object::Object;
use crate::registry::{Decoded, RequestContext};

pub(crate) use document::{DEPTH_MAX, Document};

/// The largest body, in bytes; upstream's default.
pub(crate) const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// At most so many problems of one body are told.
const PROBLEMS_MAX: usize = 100;

/// Reads a whole body.
pub(crate) async fn read_body<B>(headers: &HeaderMap, body: B) -> Result<Bytes, StatusError>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Display,
{
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = pin!(body);
    if let Some(length) = announced.filter(|&length: &usize| length > BODY_BYTES_MAX) {
        discard(body).await;
        return Err(too_large(&format!("it has {length}")));
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| StatusError::bad_request(format!("the body cannot be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = read.len() + data.len();
        if length > BODY_BYTES_MAX {
            discard(body).await;
            return Err(too_large(&format!("it has at least {length}")));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// Reads on, as much again at most, and throws it away: a client that is cut off while it writes would see
/// a broken connection instead of the answer. The request's deadline bounds the time.
async fn discard<B: Body<Data = Bytes>>(mut body: Pin<&mut B>) {
    let mut left = BODY_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(length) else {
            return;
        };
        left = rest;
    }
}

fn too_large(size: &str) -> StatusError {
    StatusError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLarge",
        format!("the body of the request is too large: {size} bytes, the limit is {BODY_BYTES_MAX}"),
    )
}

/// The media type of a body, in lower case and without parameters; empty = not given.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    header
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// The media type is none of the accepted.
pub(crate) fn unsupported_media_type(accepted: &[&str]) -> StatusError {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        accepted.join(", ")
    );
    StatusError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaType",
        message,
    )
}

/// Reads a JSON or YAML body.
pub(crate) async fn document(headers: &HeaderMap, body: &Bytes) -> Result<Document, StatusError> {
    let read = match media_type(headers).as_str() {
        "" | "application/json" => Document::from_json(body),
        "application/yaml" => yaml::read(body).await?,
        _ => return Err(unsupported_media_type(&["application/json", "application/yaml"])),
    };
    read.map_err(|why| StatusError::bad_request(format!("the body cannot be decoded: {why}")))
}

/// Takes a text out of an object; empty when it is absent or null.
pub(crate) fn take_text(fields: &mut Map<String, Value>, name: &str) -> Result<String, StatusError> {
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) | None => Ok(String::new()),
        Some(other) => Err(StatusError::bad_request(format!(
            "{name} must be a text, not {other}"
        ))),
    }
}

/// The kind an endpoint expects, and what reads it.
pub(crate) struct Expected<'r> {
    /// Group and version.
    pub(crate) api_version: String,
    /// The kind.
    pub(crate) kind: &'r str,
    /// Reads the body as the type does.
    pub(crate) decode: &'r (dyn Fn(Value) -> Result<Decoded, serde_json::Error> + Sync),
}

impl Expected<'_> {
    /// Sets the kind and version that are left out, and refuses others than the expected.
    pub(crate) fn check_type(&self, value: &mut Value) -> Result<(), StatusError> {
        let Value::Object(fields) = value else {
            return Err(StatusError::bad_request(format!(
                "the body must be an object of kind {}",
                self.kind
            )));
        };
        let api_version = take_text(fields, "apiVersion")?;
        if !api_version.is_empty() && api_version != self.api_version {
            return Err(StatusError::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({})",
                self.api_version
            )));
        }
        let kind = take_text(fields, "kind")?;
        if !kind.is_empty() && kind != self.kind {
            return Err(StatusError::bad_request(format!(
                "the kind in the data ({kind}) does not match the expected kind ({})",
                self.kind
            )));
        }
        fields.insert("apiVersion".to_owned(), Value::from(self.api_version.clone()));
        fields.insert("kind".to_owned(), Value::from(self.kind));
        Ok(())
    }

    /// Reads the body of a create or an update as an object.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        validation: FieldValidation,
        ctx: &RequestContext,
    ) -> Result<Object, StatusError> {
        let Document {
            mut value,
            duplicates,
        } = document(headers, body).await?;
        self.check_type(&mut value)?;
        let decoded = (self.decode)(value).map_err(|error| {
            StatusError::bad_request(format!("the body cannot be handled as a {}: {error}", self.kind))
        })?;
        let problems = problems(&duplicates, &decoded.unknown_fields);
        match validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => problems.into_iter().for_each(|problem| ctx.warn(problem)),
            FieldValidation::Strict if problems.is_empty() => {}
            FieldValidation::Strict => return Err(strict(self.kind, &problems)),
        }
        Ok(decoded.object)
    }
}

/// What strict decoding says of a body.
pub(crate) fn problems(duplicates: &[String], unknown: &[String]) -> Vec<String> {
    let duplicates = duplicates
        .iter()
        .map(|field| format!("duplicate field {field:?}"));
    let unknown = unknown.iter().map(|field| format!("unknown field {field:?}"));
    duplicates.chain(unknown).take(PROBLEMS_MAX).collect()
}

fn strict(kind: &str, problems: &[String]) -> StatusError {
    StatusError::bad_request(format!(
        "the body cannot be handled as a {kind}: strict decoding error: {}",
        problems.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    /// Reads a body of unknown length that comes in chunks of 64 KiB.
    async fn read(chunks: usize) -> Result<Bytes, StatusError> {
        let chunk = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 65536])));
        let body = StreamBody::new(stream::iter((0..chunks).map(move |_| chunk())));
        read_body(&HeaderMap::new(), body).await
    }

    #[tokio::test]
    async fn body_of_unknown_length_is_bounded() {
        assert_eq!(read(48).await.unwrap().len(), BODY_BYTES_MAX);
        let error = read(usize::MAX).await.unwrap_err();
        assert_eq!(error.code(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn media_type_without_parameters_and_case() {
        let mut headers = HeaderMap::new();
        assert_eq!(media_type(&headers), "");
        headers.insert(CONTENT_TYPE, "Application/JSON; charset=utf-8".parse().unwrap());
        assert_eq!(media_type(&headers), "application/json");
    }
}
