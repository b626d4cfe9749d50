//! A JSON document written once, when the server is built.
//!
//! Its ETag is the hash of its bytes, so that all replicas of one build send the same.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::negotiation::{json_clauses, not_acceptable};
use super::{Response, StatusError, full_body};

/// A document, its media type and its hash.
#[derive(Clone, Debug)]
pub(crate) struct StaticDocument {
    body: Bytes,
    hash: String,
    content_type: HeaderValue,
    /// Whether caches may keep it, and whoever asks again may be told that nothing changed.
    cached: bool,
    /// Whether JSON is sent even to clients that do not accept it.
    lenient: bool,
}

impl StaticDocument {
    /// A document without validators.
    pub(crate) fn plain(value: &Value) -> Self {
        let body = value.to_string();
        let digest = ring::digest::digest(&ring::digest::SHA512, body.as_bytes());
        Self {
            hash: digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect(),
            body: body.into(),
            content_type: HeaderValue::from_static("application/json"),
            cached: false,
            lenient: true,
        }
    }

    /// A document with an ETag, refused to clients that do not accept JSON.
    pub(crate) fn cached(value: &Value) -> Self {
        Self {
            cached: true,
            lenient: false,
            ..Self::plain(value)
        }
    }

    /// Sets the media type.
    pub(crate) fn with_content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = HeaderValue::from_static(content_type);
        self
    }

    /// The SHA-512 of the body in upper-case hexadecimal digits.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// The answer: the document, or 304 when the client has it.
    pub(crate) fn respond(&self, headers: &HeaderMap) -> Result<Response, StatusError> {
        if !self.lenient && json_clauses(headers).is_empty() {
            return Err(not_acceptable("application/json"));
        }
        let tag = format!("\"{}\"", self.hash);
        let known = self.cached && knows(headers, &tag);
        let mut response = Response::new(full_body(if known { Bytes::new() } else { self.body.clone() }));
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            response
                .headers_mut()
                .insert(CONTENT_TYPE, self.content_type.clone());
        }
        if self.cached {
            let headers = response.headers_mut();
            headers.insert(VARY, HeaderValue::from_static("Accept"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
            // Hexadecimal digits and quotes are always a valid header.
            if let Ok(tag) = HeaderValue::try_from(tag) {
                headers.insert(ETAG, tag);
            }
        }
        Ok(response)
    }
}

/// Whether the client names this tag as one it has.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let named = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    named
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().trim_start_matches("W/"))
        .any(|value| value == tag || value == "*")
}
