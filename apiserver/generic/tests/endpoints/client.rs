//! A client that shows whole answers, and the frames of watches.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::SHARED;

/// No condition in a test takes longer than this, on however busy a machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

/// A request before it is sent.
pub(crate) struct Call {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    /// The body, decompressed.
    pub(crate) text: String,
    /// How many bytes were sent for it.
    pub(crate) sent: usize,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            address: SHARED.address,
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn to(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    pub(crate) fn header(mut self, name: impl ToString, value: &str) -> Self {
        self.headers.push((name.to_string(), value.to_owned()));
        self
    }

    pub(crate) fn accept(self, value: &str) -> Self {
        self.header(ACCEPT, value)
    }

    pub(crate) fn body(mut self, media_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE, media_type)
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.body("application/json", body.to_string())
    }

    async fn begin(self) -> http::Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header("host", "test");
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body)).unwrap();
        timeout(SOON, sender.send_request(request))
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn send(self) -> Answer {
        let (parts, body) = self.begin().await.into_parts();
        let body = timeout(SOON, body.collect()).await.unwrap().unwrap().to_bytes();
        let mut text = String::new();
        match parts.headers.get(CONTENT_ENCODING) {
            Some(encoding) if encoding == "gzip" => GzDecoder::new(&body[..]).read_to_string(&mut text),
            Some(other) => panic!("an unknown encoding {other:?}"),
            None => (&body[..]).read_to_string(&mut text),
        }
        .unwrap();
        Answer {
            code: parts.status.as_u16(),
            headers: parts.headers,
            text,
            sent: body.len(),
        }
    }

    /// Begins a watch that is answered with 200.
    pub(crate) async fn watch(self) -> Watch {
        let response = self.begin().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        Watch {
            body: response.into_body(),
            rest: BytesMut::new(),
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The object of an answer with this code.
    #[track_caller]
    pub(crate) fn object(&self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        self.json()
    }

    /// The Status of a failure with this code and reason.
    #[track_caller]
    pub(crate) fn failure(&self, code: u16, reason: &str) -> Value {
        let status = self.object(code);
        assert_eq!(status["kind"], "Status", "{status}");
        assert_eq!(status["apiVersion"], "v1", "{status}");
        assert_eq!(status["status"], "Failure", "{status}");
        assert_eq!(status["reason"], reason, "{status}");
        assert_eq!(status["code"], code, "{status}");
        assert!(!status["message"].as_str().unwrap().is_empty());
        status
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.headers
            .get_all("warning")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }
}

/// The frames of a watch.
pub(crate) struct Watch {
    body: Incoming,
    rest: BytesMut,
}

impl Watch {
    /// The next frame; `None` when the stream has ended cleanly.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                return Some(serde_json::from_slice(&line).unwrap());
            }
            match timeout(SOON, self.body.frame())
                .await
                .expect("a frame or the end")
            {
                Some(frame) => self.rest.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                None => {
                    assert!(self.rest.is_empty(), "a frame without a newline: {:?}", self.rest);
                    return None;
                }
            }
        }
    }

    /// The next frame, which is of this type; its object.
    pub(crate) async fn expect(&mut self, event_type: &str) -> Value {
        let frame = self.next().await.expect("an event");
        assert_eq!(frame["type"], event_type, "{frame}");
        frame["object"].clone()
    }

    /// Asserts that nothing is still to come: what happens now is what comes next.
    pub(crate) async fn has_shown_all_of(&mut self, namespace: &str) {
        let last = create(namespace, "last").await;
        assert_eq!(self.expect("ADDED").await, last);
    }
}

pub(crate) fn get(path: impl Into<String>) -> Call {
    Call::new(Method::GET, path)
}

pub(crate) fn post(path: impl Into<String>, body: Value) -> Call {
    Call::new(Method::POST, path).json(body)
}

pub(crate) fn put(path: impl Into<String>, body: Value) -> Call {
    Call::new(Method::PUT, path).json(body)
}

pub(crate) fn delete(path: impl Into<String>) -> Call {
    Call::new(Method::DELETE, path)
}

pub(crate) fn merge_patch(path: impl Into<String>, body: Value) -> Call {
    Call::new(Method::PATCH, path).body("application/merge-patch+json", body.to_string())
}

pub(crate) fn json_patch(path: impl Into<String>, body: Value) -> Call {
    Call::new(Method::PATCH, path).body("application/json-patch+json", body.to_string())
}

/// The collection of widgets of a namespace.
pub(crate) fn widgets(namespace: &str) -> String {
    format!("/apis/test.example.com/v1/namespaces/{namespace}/widgets")
}

/// A widget that can be created.
pub(crate) fn widget(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"name": name}}, "spec": spec})
}

/// Creates a widget of size 1.
pub(crate) async fn create(namespace: &str, name: &str) -> Value {
    create_on(SHARED.address, namespace, name).await
}

/// Creates it on a server of the test's own.
pub(crate) async fn create_on(address: SocketAddr, namespace: &str, name: &str) -> Value {
    let body = widget(name, json!({"size": 1}));
    post(widgets(namespace), body)
        .to(address)
        .send()
        .await
        .object(201)
}

pub(crate) fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}
