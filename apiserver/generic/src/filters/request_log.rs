//! One structured line per request, written when its last byte was sent or its client left; and its
//! metrics, which are of the same moment.
//!
//! Upstream concept: `server/httplog`. Never logged: headers, bodies, query strings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use telemetry::trace_context::TraceId;

use super::request_metrics::{Open, Series};
use crate::authentication::Authentication;
use crate::authorization::is_always_allowed_path;
use crate::request_info::RequestInfo;

/// What took longer, and was not meant to, is a warning; upstream logs a trace of it from half of this.
const SLOW: Duration = Duration::from_secs(1);

/// What is known of a request so far; the line is written when this is dropped, however that happens.
#[derive(Debug)]
pub(crate) struct RequestLog {
    started: Instant,
    audit_id: HeaderValue,
    path: String,
    info: RequestInfo,
    user: String,
    front_proxy: bool,
    trace_id: Option<TraceId>,
    /// How long the request may take; none = as long as it likes.
    limit: Option<Duration>,
    parts: Parts,
    status: Option<u16>,
    body_bytes: u64,
    complete: bool,
    series: Option<Arc<Series>>,
    open: Option<Open>,
}

/// How long the parts of a request took. What remains of its duration is the sending of the answer.
#[derive(Debug, Default)]
struct Parts {
    authentication: Option<Duration>,
    authorization: Option<Duration>,
    /// From the permission to the header of the answer.
    handler: Option<Duration>,
}

impl RequestLog {
    /// Starts the clock.
    pub(crate) fn start(path: &str, audit_id: HeaderValue) -> Self {
        Self {
            started: Instant::now(),
            audit_id,
            path: path.to_owned(),
            info: RequestInfo::default(),
            user: String::new(),
            front_proxy: false,
            trace_id: None,
            limit: None,
            parts: Parts::default(),
            status: None,
            body_bytes: 0,
            complete: false,
            series: None,
            open: None,
        }
    }

    pub(crate) fn set_info(&mut self, info: &RequestInfo, series: Arc<Series>) {
        self.info.clone_from(info);
        self.series = Some(series);
    }

    pub(crate) fn set_limit(&mut self, limit: Option<Duration>) {
        self.limit = limit;
    }

    /// Who asks; finding out began then.
    pub(crate) fn set_user(&mut self, authentication: &Authentication, begun: Instant) {
        self.user.clone_from(&authentication.user.name);
        self.front_proxy = authentication.front_proxy;
        self.parts.authentication = Some(begun.elapsed());
    }

    pub(crate) fn set_trace(&mut self, trace_id: TraceId) {
        self.trace_id = Some(trace_id);
    }

    /// The request is let through; asking began then. One that is long-running counts as open from now on.
    pub(crate) fn set_authorized(&mut self, begun: Instant) {
        self.parts.authorization = Some(begun.elapsed());
        if self.info.is_long_running() {
            self.open = self.series.clone().map(Series::open);
        }
    }

    /// The handler, which began then, has given the header of its answer.
    pub(crate) fn set_handled(&mut self, begun: Instant) {
        self.parts.handler = Some(begun.elapsed());
    }

    pub(crate) fn set_status(&mut self, status: http::StatusCode) {
        self.status = Some(status.as_u16());
    }

    pub(crate) fn add_body_bytes(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
        // Of what ends with an error before it began, the one frame is no event.
        if let Some(Open(series)) = self.open.as_ref().filter(|_| self.status == Some(200)) {
            series.sent(bytes);
        }
    }

    /// The whole answer was handed to the connection.
    pub(crate) fn set_complete(&mut self) {
        self.complete = true;
    }

    fn count(&self, took: Duration) {
        match (&self.series, self.status) {
            (Some(series), Some(code)) => series.answered(code, took, self.body_bytes),
            (Some(series), None) => series.aborted(),
            (None, _) => {}
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.count(took);
        let line = Line { log: self, took };
        // Probes come every few seconds from every node's kubelet; they would drown the rest.
        if is_always_allowed_path(&self.path) {
            line.debug();
        } else if took >= SLOW && !self.info.is_long_running() {
            line.warn();
        } else {
            line.info();
        }
    }
}

struct Line<'l> {
    log: &'l RequestLog,
    took: Duration,
}

/// Fields without a value are left out.
macro_rules! write_line {
    ($level:ident, $line:expr) => {{
        let (log, info) = ($line.log, &$line.log.info);
        tracing::$level!(
            audit_id = log.audit_id.to_str().unwrap_or_default(),
            trace_id = log.trace_id.map(tracing::field::display),
            verb = info.verb,
            path = log.path,
            resource = given(&info.resource),
            subresource = given(&info.subresource),
            namespace = given(&info.namespace),
            name = given(&info.name),
            user.name = log.user,
            front_proxy = log.front_proxy,
            status = log.status,
            body_bytes = log.body_bytes,
            complete = log.complete,
            duration_ms = milliseconds($line.took),
            limit_ms = log.limit.map(milliseconds),
            authentication_ms = log.parts.authentication.map(milliseconds),
            authorization_ms = log.parts.authorization.map(milliseconds),
            handler_ms = log.parts.handler.map(milliseconds),
            "request"
        )
    }};
}

impl Line<'_> {
    fn debug(&self) {
        write_line!(debug, self);
    }

    fn info(&self) {
        write_line!(info, self);
    }

    fn warn(&self) {
        write_line!(warn, self);
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// In steps of a microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
