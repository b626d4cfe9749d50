//! The context of a trace: which of many requests belong together.
//!
//! The header `traceparent` of the W3C recommendation "Trace Context", version 00. Spans are not exported:
//! the id of the trace stands in log lines, and goes along with onward calls, so that the lines of
//! kube-apiserver, this process and the next can be found together. `tracestate` is not kept, because
//! nothing here reads or extends it.

use std::fmt;
use std::future::Future;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use rand::Rng;

/// The header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A trace, and the span of it that called last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

impl TraceContext {
    /// A trace that begins here and is not sampled.
    #[must_use]
    pub fn begin() -> Self {
        Self::of_trace(rand::rng().random_range(1..=u128::MAX))
    }

    /// The trace with this id, which must not be zero, at a new span; not sampled. An id that both ends
    /// know, such as the uid of an object, ties calls together that do not follow from each other.
    #[must_use]
    pub fn of_trace(trace_id: u128) -> Self {
        Self {
            trace_id,
            parent_id: span_id(),
            flags: 0,
        }
    }

    /// The context that a request names. None when the header is absent, malformed or given twice.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        Self::parse(value.to_str().ok()?)
    }

    /// Reads `version-traceid-parentid-flags`. Of versions to come, what follows is passed over.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(5, '-');
        let version = hexadecimal(fields.next()?, 2)?;
        let trace_id = hexadecimal(fields.next()?, 32)?;
        let parent_id = hexadecimal(fields.next()?, 16)?;
        let flags = hexadecimal(fields.next()?, 2)?;
        let more = fields.next().is_some();
        let valid = version != 0xff && !(version == 0 && more) && trace_id != 0 && parent_id != 0;
        valid.then_some(Self {
            trace_id,
            parent_id: u64::try_from(parent_id).ok()?,
            flags: u8::try_from(flags).ok()?,
        })
    }

    /// The id of the trace, as log lines show it: 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn trace_id(self) -> TraceId {
        TraceId(self.trace_id)
    }

    /// The header of a call that is made in this context: the same trace, a new span.
    fn onward(self) -> HeaderValue {
        let text = format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, span_id(), self.flags);
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    /// Runs `work` in this context.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// The context of the running task, if it is in one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }
}

/// The id of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The request with the context of the running task. To be called by who makes the request, because
/// clients run their calls in tasks of their own.
#[must_use]
pub fn carry<B>(mut request: http::Request<B>) -> http::Request<B> {
    if let Some(context) = TraceContext::current() {
        request.headers_mut().insert(TRACEPARENT, context.onward());
    }
    request
}

/// An id that no other span of the trace has; zero is not one.
fn span_id() -> u64 {
    rand::rng().random_range(1..=u64::MAX)
}

/// Exactly so many lower-case hexadecimal digits.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (plain && text.len() == digits)
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn c070_traceparent_is_read_strictly() {
        let context = TraceContext::parse(GIVEN).unwrap();
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        // A later version may say more; version 00 may not.
        assert!(TraceContext::parse(&format!("cc{}-more", &GIVEN[2..])).is_some());
        for wrong in [
            "",
            "00",
            &format!("{GIVEN}-more"),
            &format!("ff{}", &GIVEN[2..]),
            &GIVEN.to_uppercase(),
            &GIVEN.replace("4bf9", "4bg9"),
            &GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GIVEN.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GIVEN.replace("4bf9", "+bf9"),
            &GIVEN[1..],
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
        let mut twice = HeaderMap::new();
        twice.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        assert!(TraceContext::of(&twice).is_some());
        twice.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        assert!(TraceContext::of(&twice).is_none(), "whose trace is it?");
    }

    #[tokio::test]
    async fn c070_onward_calls_carry_the_trace_with_a_span_of_their_own() {
        assert!(carry(http::Request::new(())).headers().is_empty());

        let context = TraceContext::parse(GIVEN).unwrap();
        let sent = context.scope(async { carry(http::Request::new(())) }).await;
        let onward = TraceContext::of(sent.headers()).unwrap();
        assert_eq!((onward.trace_id, onward.flags), (context.trace_id, context.flags));
        assert_ne!(onward.parent_id, context.parent_id);
        assert_ne!(TraceContext::begin(), TraceContext::begin());
    }
}
