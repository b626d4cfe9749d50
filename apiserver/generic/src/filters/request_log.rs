//! One structured line per request, written when its last byte was sent or its client left.
//!
//! Upstream concept: `server/httplog`. Never logged: headers, bodies, query strings.

use std::time::Instant;

use http::header::HeaderValue;

use crate::authentication::Authentication;
use crate::authorization::is_always_allowed_path;
use crate::request_info::RequestInfo;

/// What is known of a request so far; the line is written when this is dropped, however that happens.
#[derive(Debug)]
pub(crate) struct RequestLog {
    started: Instant,
    audit_id: HeaderValue,
    path: String,
    verb: String,
    user: String,
    front_proxy: bool,
    status: Option<u16>,
    body_bytes: u64,
    complete: bool,
}

impl RequestLog {
    /// Starts the clock.
    pub(crate) fn start(path: &str, audit_id: HeaderValue) -> Self {
        Self {
            started: Instant::now(),
            audit_id,
            path: path.to_owned(),
            verb: String::new(),
            user: String::new(),
            front_proxy: false,
            status: None,
            body_bytes: 0,
            complete: false,
        }
    }

    pub(crate) fn set_info(&mut self, info: &RequestInfo) {
        self.verb.clone_from(&info.verb);
    }

    pub(crate) fn set_user(&mut self, authentication: &Authentication) {
        self.user.clone_from(&authentication.user.name);
        self.front_proxy = authentication.front_proxy;
    }

    pub(crate) fn set_status(&mut self, status: http::StatusCode) {
        self.status = Some(status.as_u16());
    }

    pub(crate) fn add_body_bytes(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
    }

    /// The whole answer was handed to the connection.
    pub(crate) fn set_complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let line = Line(self);
        // Probes come every few seconds from every node's kubelet; they would drown the rest.
        if is_always_allowed_path(&self.path) {
            line.debug();
        } else {
            line.info();
        }
    }
}

struct Line<'l>(&'l RequestLog);

macro_rules! write_line {
    ($level:ident, $log:expr) => {
        tracing::$level!(
            audit_id = $log.audit_id.to_str().unwrap_or_default(),
            verb = $log.verb,
            path = $log.path,
            user.name = $log.user,
            front_proxy = $log.front_proxy,
            status = $log.status,
            body_bytes = $log.body_bytes,
            complete = $log.complete,
            duration_ms = u64::try_from($log.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        )
    };
}

impl Line<'_> {
    fn debug(&self) {
        write_line!(debug, self.0);
    }

    fn info(&self) {
        write_line!(info, self.0);
    }
}
