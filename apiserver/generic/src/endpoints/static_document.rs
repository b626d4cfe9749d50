//! A JSON document written once, when the server is built.
//!
//! Its ETag is the hash of its bytes, so that all replicas of one build send the same.

use bytes::Bytes;
use flate2::Compression;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, HeaderValue, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::negotiation::{json_clauses, not_acceptable};
use super::options::Query;
use super::{Response, StatusError, compression, full_body};

/// How long a document that was asked for by its hash may be kept: for good, which is written so.
const A_YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A document, its media type and its hash.
#[derive(Clone, Debug)]
pub(crate) struct StaticDocument {
    body: Bytes,
    /// The body compressed, of a document that may be cached.
    gzipped: Option<Bytes>,
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
            gzipped: None,
            content_type: HeaderValue::from_static("application/json"),
            cached: false,
            lenient: true,
        }
    }

    /// A document with an ETag, refused to clients that do not accept JSON.
    pub(crate) fn cached(value: &Value) -> Self {
        let plain = Self::plain(value);
        Self {
            cached: true,
            lenient: false,
            gzipped: compression::gzip(&plain.body, Compression::best()).ok(),
            ..plain
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
    pub(crate) fn respond(&self, parts: &Parts) -> Result<Response, StatusError> {
        if !self.lenient && json_clauses(&parts.headers).is_empty() {
            return Err(not_acceptable("application/json"));
        }
        let mut response = match self.cached && knows(&parts.headers, &self.tag()) {
            true => not_modified(),
            false => self.whole(&parts.headers),
        };
        if self.cached {
            let asked = Query::of(parts).text("hash");
            self.let_cache(response.headers_mut(), asked == self.hash);
        }
        Ok(response)
    }

    fn whole(&self, headers: &HeaderMap) -> Response {
        let gzipped = self
            .gzipped
            .as_ref()
            .filter(|_| compression::is_accepted(headers));
        let mut response = Response::new(full_body(gzipped.unwrap_or(&self.body).clone()));
        if gzipped.is_some() {
            compression::mark(response.headers_mut());
        }
        response
            .headers_mut()
            .insert(CONTENT_TYPE, self.content_type.clone());
        response
    }

    /// Lets caches keep the answer: for good, when it was asked for by its hash.
    fn let_cache(&self, headers: &mut HeaderMap, by_hash: bool) {
        let control = if by_hash { "public, immutable" } else { "public" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
        headers.append(VARY, HeaderValue::from_static("Accept"));
        // Hexadecimal digits and quotes are always a valid header.
        if let Ok(tag) = HeaderValue::try_from(self.tag()) {
            headers.insert(ETAG, tag);
        }
        let expires = DateTimePrinter::new().timestamp_to_rfc9110_string(&(Timestamp::now() + A_YEAR));
        let expires = expires.ok().and_then(|date| HeaderValue::try_from(date).ok());
        if let Some(expires) = expires.filter(|_| by_hash) {
            headers.insert(EXPIRES, expires);
        }
    }

    fn tag(&self) -> String {
        format!("\"{}\"", self.hash)
    }
}

fn not_modified() -> Response {
    let mut response = Response::new(full_body(Bytes::new()));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
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
