//! A handler that answers what it was asked, and misbehaves on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use generic_apiserver::endpoints::{ApiRequest, Response, ResponseBody, ServedResource, full_body};
use generic_apiserver::server::Handler;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Counts the requests it has in work.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) in_work: Arc<AtomicUsize>,
}

#[async_trait]
impl Handler for Echo {
    fn served(&self) -> Vec<ServedResource> {
        let resource = |subresource: &str| ServedResource {
            resource: "flunders".to_owned(),
            subresource: subresource.to_owned(),
            group: "g.io".to_owned(),
            version: "v1".to_owned(),
        };
        vec![resource(""), resource("status"), resource("log")]
    }

    async fn handle(&self, request: ApiRequest<Incoming>) -> Response {
        let _working = Working::start(&self.in_work);
        match request.info.name.as_str() {
            "panics" => panic!("asked to panic"),
            "hangs" => std::future::pending().await,
            "very-slow" => tokio::time::sleep(Duration::from_millis(1100)).await,
            "slow" => tokio::time::sleep(Duration::from_millis(300)).await,
            "warns" => {
                request.context.warn("beware");
                request.context.warn("beware");
                request.context.warn("say \"please\"");
            }
            _ => {}
        }
        if request.info.verb == "watch" {
            let pause = match request.info.name.as_str() {
                "quiet" => Duration::from_secs(3600),
                _ => Duration::from_millis(20),
            };
            return Response::new(ticks(pause, request.shutdown));
        }
        let mut response = Response::new(full_body(description(&request).to_string()));
        if request.info.name == "cached" {
            response
                .headers_mut()
                .insert("cache-control", "public".parse().expect("a value"));
        }
        response
    }
}

fn description(request: &ApiRequest<Incoming>) -> Value {
    let user = &request.context.user;
    json!({
        "user": {"name": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra},
        "frontProxy": request.context.front_proxy,
        "verb": request.info.verb,
        "resource": request.info.resource,
        "name": request.info.name,
        "headers": names(&request.parts.headers),
        "onward": telemetry::TraceContext::current().map(|context| context.trace_id().to_string()),
        "auditID": request.parts.headers.get("audit-id").and_then(|id| id.to_str().ok()),
    })
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

/// A line, and more after each pause until the server drains; a line begun is always finished.
fn ticks(pause: Duration, shutdown: CancellationToken) -> ResponseBody {
    let ticks = futures::stream::unfold(0_u32, move |tick| {
        let shutdown = shutdown.clone();
        async move {
            if tick > 0 {
                tokio::time::timeout(pause, shutdown.cancelled())
                    .await
                    .is_err()
                    .then_some(())?;
            }
            let line = format!("{{\"tick\":{tick}}}\n");
            Some((Ok(Frame::data(Bytes::from(line))), tick + 1))
        }
    });
    StreamBody::new(ticks.boxed()).boxed_unsync()
}

struct Working(Arc<AtomicUsize>);

impl Working {
    fn start(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
