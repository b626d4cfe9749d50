//! A client that sends what it is told, well-formed or not, and checks of every error what must hold for
//! all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brokkr_certs::IssuedCertificate;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No answer takes longer than this, on however busy a machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// One user's connection; clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    sender: http2::SendRequest<Full<Bytes>>,
}

/// A request as data, so that tables can hold them.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, path).typed("application/json", body.to_string())
    }

    pub(crate) fn put(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::PUT, path).typed("application/json", body.to_string())
    }

    pub(crate) fn merge(path: impl Into<String>, patch: &Value) -> Self {
        Self::new(Method::PATCH, path).typed("application/merge-patch+json", patch.to_string())
    }

    pub(crate) fn json_patch(path: impl Into<String>, patch: &Value) -> Self {
        Self::new(Method::PATCH, path).typed("application/json-patch+json", patch.to_string())
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn typed(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut typed = self.header("content-type", content_type);
        typed.body = body.into();
        typed
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Client {
    pub(crate) async fn connect(
        address: SocketAddr,
        ca: &str,
        certificate: Option<&IssuedCertificate>,
    ) -> Self {
        let config = Arc::new(config(ca, certificate));
        let tls = tls(address, &config, b"h2").await;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self {
            address,
            config,
            sender,
        }
    }

    pub(crate) async fn send(&self, call: &Call) -> Answer {
        let answer = self.try_send(call).await.expect("an answer");
        answer.check();
        answer
    }

    /// The answer, or why none came; with errors that are not checked.
    pub(crate) async fn try_send(&self, call: &Call) -> hyper::Result<Answer> {
        let answering = async {
            let (parts, body) = self.begin(call).await?.into_parts();
            Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.collect().await?.to_bytes(),
            })
        };
        tokio::time::timeout(SOON, answering)
            .await
            .expect("an answer in time")
    }

    /// Begins a watch, which is answered with 200.
    pub(crate) async fn watch(&self, call: &Call) -> Watch {
        let begun = tokio::time::timeout(SOON, self.begin(call)).await;
        let response = begun.expect("an answer in time").unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{call:?}");
        Watch {
            body: response.into_body(),
            rest: BytesMut::new(),
        }
    }

    async fn begin(&self, call: &Call) -> hyper::Result<Response<Incoming>> {
        let uri = format!("https://api.brokkr.svc{}", call.path);
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body.clone())).unwrap();
        let mut sender = self.sender.clone();
        sender.ready().await?;
        sender.send_request(request).await
    }

    /// Sends these bytes over HTTP/1.1 and returns all that comes back.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let mut tls = tls(self.address, &self.config, b"http/1.1").await;
        let exchange = async {
            // A server that has heard enough answers and closes before it has read everything.
            let _ = tls.write_all(request).await;
            let mut answer = Vec::new();
            let _ = tls.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(SOON, exchange)
            .await
            .expect("an answer in time")
    }
}

/// The frames of a watch.
pub(crate) struct Watch {
    body: Incoming,
    rest: BytesMut,
}

impl Watch {
    /// The object of the next frame, which is of this type.
    pub(crate) async fn expect(&mut self, event_type: &str) -> Value {
        let mut frame = self.next().await.expect("an event");
        assert_eq!(frame["type"], event_type, "{frame}");
        frame["object"].take()
    }

    /// The next frame; None when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(SOON, self.body.frame()).await;
            let frame = frame.expect("a frame in time")?.unwrap();
            self.rest.extend_from_slice(&frame.into_data().unwrap());
        }
    }
}

impl Answer {
    /// What holds of every error: it is a whole Status, whatever was asked for.
    fn check(&self) {
        if !self.status.is_client_error() && !self.status.is_server_error() {
            return;
        }
        let status = self.json();
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        assert_eq!(
            (&status["kind"], &status["apiVersion"], &status["status"]),
            (&"Status".into(), &"v1".into(), &"Failure".into()),
            "{self:?}"
        );
        assert_eq!(status["code"], self.status.as_u16(), "{self:?}");
        for field in ["reason", "message"] {
            let given = status[field].as_str().is_some_and(|text| !text.is_empty());
            assert!(given, "{field}: {self:?}");
        }
        if let Some(seconds) = status["details"]["retryAfterSeconds"].as_u64() {
            assert_eq!(self.header("retry-after"), seconds.to_string(), "{self:?}");
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The object of an answer with this code.
    pub(crate) fn expect(self, code: u16) -> Value {
        assert_eq!(self.status.as_u16(), code, "{self:?}");
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The texts of the Warning headers.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let all = self.headers.get_all("warning").iter();
        all.map(|value| value.to_str().unwrap()).collect()
    }
}

async fn tls(address: SocketAddr, config: &Arc<ClientConfig>, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut config = config.as_ref().clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("api.brokkr.svc").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

fn config(ca: &str, certificate: Option<&IssuedCertificate>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let Some(certificate) = certificate else {
        return builder.with_no_client_auth();
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate.certificate_pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.private_key_pem().as_bytes()).unwrap();
    builder.with_client_auth_cert(chain, key).unwrap()
}
