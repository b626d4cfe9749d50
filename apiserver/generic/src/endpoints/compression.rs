//! Gzip for whoever accepts it, of answers that are worth it.
//!
//! Upstream concept: the feature APIResponseCompression of `responsewriters`. Left out: everything that is
//! streamed, above all watches, whose events would be held back.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY};
use http::{HeaderMap, Response as HttpResponse};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::{Response, full_body};

/// Smaller answers are sent as they are; upstream's number.
const THRESHOLD_BYTES: u64 = 128 * 1024;

/// Whether the client takes gzip: named, and not with a weight of zero.
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let clauses = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    clauses.into_iter().any(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let mut weights = parts.filter_map(|parameter| parameter.strip_prefix("q="));
        gzip && !weights.any(|weight| weight.parse() == Ok(0.0))
    })
}

/// The bytes compressed.
pub(crate) fn gzip(bytes: &[u8], level: Compression) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.into())
}

/// Says that the body is compressed for this client.
pub(crate) fn mark(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// Compresses a large answer that is at hand as a whole, off the threads that serve requests.
pub(crate) async fn compress(response: Response) -> Response {
    let size = response.body().size_hint().exact();
    if size.is_none_or(|size| size < THRESHOLD_BYTES) || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    let body = body.to_bytes();
    let plain = body.clone();
    match tokio::task::spawn_blocking(move || gzip(&plain, Compression::fast())).await {
        Ok(Ok(compressed)) => {
            mark(&mut parts.headers);
            HttpResponse::from_parts(parts, full_body(compressed))
        }
        _ => HttpResponse::from_parts(parts, full_body(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_by_name_unless_its_weight_is_zero() {
        let accepts = |value: &'static str| {
            is_accepted(&HeaderMap::from_iter([(
                ACCEPT_ENCODING,
                HeaderValue::from_static(value),
            )]))
        };
        for value in ["gzip", "br, GZIP;q=0.5", "gzip ; q=1.0"] {
            assert!(accepts(value), "{value}");
        }
        for value in ["", "identity", "gzip;q=0", "br, gzip; q=0.0", "x-gzip"] {
            assert!(!accepts(value), "{value}");
        }
        assert!(!is_accepted(&HeaderMap::new()));
    }
}
