//! Which trace a request belongs to.
//!
//! Upstream concept: `endpoints/filters.WithTracing`. A context from outside is believed only from a known
//! caller: it would let strangers tie their requests to the traces of others, and choose what is looked
//! at. Left out: spans and their export.

use http::HeaderMap;
use http::header::HeaderName;
use telemetry::TraceContext;
use telemetry::trace_context::TRACEPARENT;

use crate::authentication::UserInfo;

/// Further headers of a trace; what they hold is meant for collectors, which we have none of.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// The trace that the caller names, or one that begins here. Headers that are not believed are removed.
pub(crate) fn adopt(headers: &mut HeaderMap, user: &UserInfo) -> TraceContext {
    let named = TraceContext::of(headers).filter(|_| !user.is_anonymous());
    if named.is_none() {
        for header in [TRACEPARENT, TRACESTATE, BAGGAGE] {
            headers.remove(header);
        }
    }
    named.unwrap_or_else(TraceContext::begin)
}
