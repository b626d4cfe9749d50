//! A client of one HTTP/2 connection. It checks of every answer what must hold for all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brokkr_certs::IssuedCertificate;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// No answer and no event takes longer than this, on however busy a machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A connection as one user; clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    sender: http2::SendRequest<Full<Bytes>>,
}

/// A request under construction.
pub(crate) struct Call<'c> {
    client: &'c Client,
    request: http::request::Builder,
    body: Bytes,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// The events of a watch.
pub(crate) struct Events {
    body: Incoming,
    read: BytesMut,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, ca: &str, certificate: &IssuedCertificate) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("api.brokkr.svc").unwrap();
        let connector = TlsConnector::from(Arc::new(config(ca, certificate)));
        let tls = connector.connect(name, stream).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call {
            client: self,
            request: Request::builder()
                .method(method)
                .uri(format!("https://api.brokkr.svc{path}")),
            body: Bytes::new(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path).json(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PUT, path).json(body).send().await
    }

    pub(crate) async fn merge(&self, path: &str, patch: Value) -> Answer {
        self.call(Method::PATCH, path)
            .typed("application/merge-patch+json", patch.to_string())
            .send()
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path).send().await
    }

    /// Opens a watch; the headers have come when this returns.
    pub(crate) async fn watch(&self, path: &str) -> Events {
        self.watch_as(path, "application/json").await
    }

    pub(crate) async fn watch_as(&self, path: &str, accept: &str) -> Events {
        let response = self.call(Method::GET, path).header("accept", accept).open().await;
        let (parts, body) = response.into_parts();
        assert_eq!(parts.status, StatusCode::OK, "{path}");
        Events {
            body,
            read: BytesMut::new(),
        }
    }
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.typed("application/json", body.to_string())
    }

    pub(crate) fn typed(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.request = self.request.header("content-type", content_type);
        self.body = body.into();
        self
    }

    pub(crate) async fn open(self) -> http::Response<Incoming> {
        let request = self.request.body(Full::new(self.body)).unwrap();
        let sent = self.client.sender.clone().send_request(request);
        tokio::time::timeout(SOON, sent)
            .await
            .expect("headers soon")
            .unwrap()
    }

    pub(crate) async fn send(self) -> Answer {
        let (parts, body) = self.open().await.into_parts();
        let bytes = tokio::time::timeout(SOON, body.collect())
            .await
            .expect("a body soon");
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.unwrap().to_bytes().to_vec()).unwrap(),
        };
        answer.check();
        answer
    }
}

impl Answer {
    /// What holds for every answer: errors are Statuses, objects carry kind and version.
    fn check(&self) {
        assert!(self.headers.contains_key("cache-control"), "{self:?}");
        assert!(
            !self.status.is_redirection() || self.status == StatusCode::NOT_MODIFIED,
            "{self:?}"
        );
        if !self.status.is_client_error() && !self.status.is_server_error() {
            return;
        }
        let status = self.json();
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        assert_eq!(status["kind"], "Status", "{self:?}");
        assert_eq!(status["apiVersion"], "v1", "{self:?}");
        assert_eq!(status["status"], "Failure", "{self:?}");
        assert_eq!(status["code"], self.status.as_u16(), "{self:?}");
        assert!(
            status["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
            "{self:?}"
        );
        assert!(
            status["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{self:?}"
        );
        if let Some(seconds) = status["details"]["retryAfterSeconds"].as_u64() {
            assert_eq!(self.header("retry-after"), seconds.to_string(), "{self:?}");
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The texts of the Warning headers.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let all = self.headers.get_all("warning").iter();
        all.map(|value| value.to_str().unwrap().strip_prefix("299 - ").unwrap())
            .collect()
    }

    /// The body of a success with this code.
    #[track_caller]
    pub(crate) fn expect(&self, code: u16) -> Value {
        assert_eq!(self.status.as_u16(), code, "{self:?}");
        self.json()
    }

    /// The Status of a failure with this code and reason.
    #[track_caller]
    pub(crate) fn refused(&self, code: u16, reason: &str) -> Value {
        let status = self.expect(code);
        assert_eq!(status["reason"], reason, "{self:?}");
        status
    }

    /// The names of the items of a list, in their order.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        let list = self.expect(200);
        let items = list["items"].as_array().unwrap();
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect()
    }
}

impl Events {
    /// The next event; `None` when the stream ended cleanly.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(SOON, self.body.frame()).await;
            let Some(frame) = frame.expect("an event soon") else {
                assert!(self.read.is_empty(), "a frame was cut: {:?}", self.read);
                return None;
            };
            self.read.extend(frame.unwrap().into_data().unwrap());
        }
    }

    /// The next events in short: type, name and, if there is one, the mark of the initial events' end.
    pub(crate) async fn short(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("a further event");
            let metadata = &event["object"]["metadata"];
            let name = metadata["name"].as_str().unwrap_or("-");
            let end = metadata["annotations"]["k8s.io/initial-events-end"] == "true";
            let mark = if end { "!" } else { "" };
            events.push(format!("{} {name}{mark}", event["type"].as_str().unwrap()));
        }
        events
    }

    /// The events until the stream ends.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// Trusts the CA and shows the certificate.
pub(crate) fn config(ca: &str, certificate: &IssuedCertificate) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(authority.unwrap()).unwrap();
    }
    let chain = CertificateDer::pem_slice_iter(certificate.certificate_pem().as_bytes())
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.private_key_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
