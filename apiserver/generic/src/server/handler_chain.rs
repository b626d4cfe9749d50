//! The list of filters every request passes, in order.
//!
//! Upstream concept: `server.DefaultBuildHandlerChain`. Read [`HandlerChain::serve`] from top to bottom.

use std::sync::Arc;
use std::time::{self, Duration};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request};
use http_body::Body;
use hyper::body::Incoming;
use telemetry::{MetricsRegistry, TEXT_FORMAT};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Handler;
use super::body::{Held, ServedBody};
use super::connection::Connection;
use super::health::HealthChecks;
use super::version::VersionInfo;
use crate::authentication::{Authentication, Authenticator};
use crate::authorization::Authorizer;
use crate::endpoints::{ApiRequest, Response, StatusError, full_body};
use crate::filters::max_in_flight::MaxInFlight;
use crate::filters::request_log::RequestLog;
use crate::filters::request_metrics::RequestMetrics;
use crate::filters::{
    Refusal, audit_id, authentication, authorization, cache_control, impersonation, panic_recovery,
    request_deadline, trace_context, warnings,
};
use crate::registry::RequestContext;
use crate::request_info::RequestInfo;

/// How long after its deadline a client may take to read an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The filters and what is behind them.
pub(crate) struct HandlerChain {
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) authorizer: Arc<dyn Authorizer>,
    pub(super) max_in_flight: MaxInFlight,
    pub(super) metrics: RequestMetrics,
    /// What `/metrics` shows.
    pub(super) registry: MetricsRegistry,
    pub(super) health: HealthChecks,
    pub(super) version: VersionInfo,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) request_timeout: Duration,
    pub(super) draining: CancellationToken,
}

/// What the filters find out about a request, kept outside of the work on it, which may panic.
struct Record {
    log: RequestLog,
    place: Option<OwnedSemaphorePermit>,
    long_running: bool,
}

impl HandlerChain {
    /// THE list of filters, in execution order.
    pub(super) async fn serve(
        &self,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
    ) -> http::Response<ServedBody> {
        let stream = connection.open_stream();
        let (mut parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        // Audit id: first, so that every line of log and every answer, even to a panic, carries it.
        let audit_id = audit_id::ensure(&mut parts.headers);
        // Log: one line, written when the last byte is sent; so it must outlive all that follows.
        let mut record = Record {
            log: RequestLog::start(parts.uri.path(), audit_id.clone()),
            place: None,
            long_running: false,
        };
        // Panic recovery: around all work, so that no request can take the server with it.
        let work = self.work(parts, body, connection, &mut record);
        let mut response =
            panic_recovery::recover(async { work.await.unwrap_or_else(Refusal::into_response) }).await;
        // Cache-control: on every answer, refusals included, unless the handler set its own.
        cache_control::set_default(response.headers_mut());
        audit_id::echo(response.headers_mut(), audit_id);

        record.log.set_status(response.status());
        let deadline = Instant::now() + self.request_timeout + READ_TIMEOUT;
        let deadline = (!record.long_running).then_some(deadline);
        let held = Held {
            log: record.log,
            _place: record.place,
            _stream: stream,
        };
        let response = response.map(|body| ServedBody::new(body, held, deadline));
        if is_head { without_body(response) } else { response }
    }

    /// The filters that may refuse.
    async fn work(
        &self,
        mut parts: Parts,
        body: Incoming,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<Response, Refusal> {
        // Request info: before everything that depends on what is asked.
        let info = RequestInfo::parse(&parts.method, &parts.uri)
            .map_err(|error| StatusError::bad_request(error.to_string()))?;
        record.log.set_info(&info, self.metrics.series(&info, &parts));
        record.long_running = info.is_long_running();
        // Deadline: before authentication, which calls kube-apiserver and must not exceed it either; a
        // malformed one is 400 for everybody.
        let deadline = request_deadline::of(&info, parts.uri.query(), self.request_timeout)?;
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        record.log.set_limit(limit);
        request_deadline::enforce(deadline, async move {
            // Authentication: before the rest, which is about a known user; 401 even for unknown paths.
            let begun = time::Instant::now();
            let authentication = self.authenticate(&mut parts, connection).await?;
            record.log.set_user(&authentication, begun);
            // Trace: after authentication, because strangers may not name one; around all that follows, so
            // that onward calls carry it.
            let trace = trace_context::adopt(&mut parts.headers, &authentication.user);
            record.log.set_trace(trace.trace_id());
            let permitted = self.permitted(info, authentication, parts, body, record);
            trace.scope(permitted).await
        })
        .await
    }

    /// The filters that may refuse a known caller, and what is behind them.
    async fn permitted(
        &self,
        info: RequestInfo,
        authentication: Authentication,
        parts: Parts,
        body: Incoming,
        record: &mut Record,
    ) -> Result<Response, Refusal> {
        // Impersonation: refused, before anything is decided in the name of the wrong user.
        impersonation::refuse(&parts.headers)?;
        // Max in flight: after authentication, because superusers pass; before authorization, which
        // calls kube-apiserver.
        record.place = self.max_in_flight.admit(&info, &authentication.user)?;
        // Authorization: last; 403 even for unknown resources, so that they cannot be explored.
        let begun = time::Instant::now();
        let (authorizer, user) = (self.authorizer.as_ref(), &authentication.user);
        authorization::authorize(authorizer, user, &info, &self.metrics).await?;
        record.log.set_authorized(begun);
        let begun = time::Instant::now();
        let response = self.answer(info, authentication, parts, body).await;
        record.log.set_handled(begun);
        Ok(response)
    }

    /// Over HTTP/2, strangers get one request per connection: opening and resetting streams costs them
    /// next to nothing otherwise.
    async fn authenticate(
        &self,
        parts: &mut Parts,
        connection: &Connection,
    ) -> Result<Authentication, Refusal> {
        let peer = connection.peer.as_ref();
        let authenticator = self.authenticator.as_ref();
        let authentication =
            authentication::authenticate(authenticator, &mut parts.headers, peer, &self.metrics).await;
        let stranger = authentication
            .as_ref()
            .map_or(true, |known| known.user.is_anonymous());
        if connection.http2 && stranger {
            connection.close();
        }
        authentication
    }

    /// A connection did not get past its handshake.
    pub(super) fn handshake_failed(&self) {
        self.metrics.handshake_failed();
    }

    /// The metrics, if they are asked for. Whoever asks was authorized for the path like for any other.
    fn exposition(&self, info: &RequestInfo) -> Option<Response> {
        let asked = info.path == "/metrics" && matches!(info.verb.as_str(), "get" | "head");
        asked.then(|| {
            let mut response = Response::new(full_body(self.registry.exposition()));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
            response
        })
    }

    /// Health, version and metrics, or the handler with its warnings.
    async fn answer(
        &self,
        info: RequestInfo,
        authentication: Authentication,
        parts: Parts,
        body: Incoming,
    ) -> Response {
        if !info.is_resource_request {
            let own = self.health.answer(&info.path, parts.uri.query());
            let own = own.or_else(|| self.version.answer(&info.path));
            if let Some(response) = own.or_else(|| self.exposition(&info)) {
                return response;
            }
        }
        let mut context = RequestContext::new(authentication.user, Arc::clone(&self.authorizer));
        context.front_proxy = authentication.front_proxy;
        let request = ApiRequest {
            info,
            context: context.clone(),
            parts,
            body,
            shutdown: self.draining.clone(),
        };
        let mut response = self.handler.handle(request).await;
        warnings::add(response.headers_mut(), &context.warnings());
        response
    }
}

/// The answer to HEAD has the header of the answer to GET, and no body.
fn without_body(mut response: http::Response<ServedBody>) -> http::Response<ServedBody> {
    if let Some(bytes) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    response.map(ServedBody::without_bytes)
}
