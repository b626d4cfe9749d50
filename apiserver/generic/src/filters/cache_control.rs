//! Keeps caches between client and server from storing answers.
//!
//! Upstream concept: `endpoints/filters.WithCacheControl`.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderValue};

/// Sets `Cache-Control` unless the handler did, as discovery and OpenAPI do.
pub(crate) fn set_default(headers: &mut HeaderMap) {
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, private"));
}
