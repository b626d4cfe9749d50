//! What a test needs of kube-apiserver: a loopback server that records what it is asked and answers as the
//! test says. Plain HTTP, because kube's client is not what is tested.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    /// The trace that the caller names.
    pub(crate) traceparent: Option<String>,
}

/// What to answer.
pub(crate) enum Reply {
    Json(u16, Value),
    /// Lines of a watch; the stream ends with its sender.
    Watch(mpsc::Receiver<Value>),
    /// Never.
    Silence,
    /// None: the connection is closed instead.
    HangUp,
}

/// A running fake; it stops when dropped.
pub(crate) struct KubeApiserver {
    pub(crate) client: kube::Client,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: JoinHandle<()>,
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

impl KubeApiserver {
    /// Starts one that answers as `script` says.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn(serve(listener, Arc::clone(&asked), Arc::new(script)));
        let config = kube::Config::new(format!("http://{address}").parse().expect("a URI"));
        let client = kube::Client::try_from(config).expect("a client");
        Self {
            client,
            asked,
            serving,
        }
    }

    /// All requests for the path so far.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("not poisoned");
        asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

impl Drop for KubeApiserver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, asked: Arc<Mutex<Vec<Asked>>>, script: Arc<Script>) {
    // Aborts all connections when the fake stops.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (asked, script) = (Arc::clone(&asked), Arc::clone(&script));
        connections.spawn(async move {
            let answering = service_fn(|request| answer(request, Arc::clone(&asked), Arc::clone(&script)));
            drop(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answering)
                    .await,
            );
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    record: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Script>,
) -> io::Result<Response<UnsyncBoxBody<Bytes, Infallible>>> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let asked = Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        traceparent: parts
            .headers
            .get("traceparent")
            .map(|value| value.to_str().expect("ASCII").to_owned()),
    };
    record.lock().expect("not poisoned").push(asked.clone());
    let (code, body) = match script(&asked) {
        Reply::Json(code, json) => (code, Full::from(json.to_string()).boxed_unsync()),
        Reply::Watch(lines) => (200, watch_body(lines)),
        Reply::Silence => std::future::pending().await,
        Reply::HangUp => return Err(io::Error::other("hangs up")),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).expect("a code");
    response
        .headers_mut()
        .insert("content-type", "application/json".parse().expect("a value"));
    Ok(response)
}

fn watch_body(lines: mpsc::Receiver<Value>) -> UnsyncBoxBody<Bytes, Infallible> {
    let frames = futures::stream::unfold(lines, |mut lines| async {
        let line = format!("{}\n", lines.recv().await?);
        Some((Ok(Frame::data(Bytes::from(line))), lines))
    });
    StreamBody::new(frames.boxed()).boxed_unsync()
}

/// An error as kube-apiserver words it.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> Reply {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    Reply::Json(code, status)
}
