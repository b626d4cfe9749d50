//! A small HTTPS client that shows what one connection does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brokkr_certs::IssuedCertificate;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What the client offers by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    /// No ALPN at all, as old clients do; speaks HTTP/1.1.
    NoAlpn,
}

pub(crate) const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// How to connect.
pub(crate) struct Client {
    address: SocketAddr,
    roots: RootCertStore,
    protocol: Protocol,
    certificate: Option<(String, String)>,
}

/// One connection.
pub(crate) struct Connection {
    sender: Sender,
    pub(crate) tls: TlsFacts,
    pub(crate) ended: JoinHandle<()>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What the handshake agreed on.
pub(crate) struct TlsFacts {
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) version: rustls::ProtocolVersion,
    pub(crate) server_certificate: Vec<u8>,
    pub(crate) resumed: bool,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, ca: &str, protocol: Protocol) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("a CA");
        }
        Self {
            address,
            roots,
            protocol,
            certificate: None,
        }
    }

    /// Presents a certificate.
    pub(crate) fn with(self, certificate: &IssuedCertificate) -> Self {
        self.with_chain(certificate.certificate_pem(), certificate)
    }

    /// Presents a certificate of the test's own for the key of another.
    pub(crate) fn with_chain(mut self, chain: &str, of_key: &IssuedCertificate) -> Self {
        self.certificate = Some((chain.to_owned(), of_key.private_key_pem().to_owned()));
        self
    }

    pub(crate) async fn connect(&self) -> Connection {
        self.try_connect(self.config()).await.expect("connects")
    }

    /// Connects with a TLS configuration of the test's own.
    pub(crate) async fn try_connect(&self, config: ClientConfig) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("api.brokkr.svc").expect("a name");
        let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let facts = TlsFacts::of(&tls);
        let io = TokioIo::new(tls);
        let (sender, ended) = if self.protocol == Protocol::Http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(std::io::Error::other)?;
            (
                Sender::Http2(sender),
                tokio::spawn(async { drop(connection.await) }),
            )
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(std::io::Error::other)?;
            (
                Sender::Http1(sender),
                tokio::spawn(async { drop(connection.await) }),
            )
        };
        Ok(Connection {
            sender,
            tls: facts,
            ended,
        })
    }

    pub(crate) fn config(&self) -> ClientConfig {
        self.config_of(rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn config_of(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("known versions")
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(|der| der.expect("PEM"));
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                builder
                    .with_client_auth_cert(chain.collect(), key)
                    .expect("a pair")
            }
        };
        config.alpn_protocols = match self.protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
            Protocol::NoAlpn => Vec::new(),
        };
        config
    }

    /// One request over a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    /// One request with headers over a connection of its own.
    pub(crate) async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.connect().await.request(method, path, headers).await
    }
}

impl Connection {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    pub(crate) async fn request(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let response = self.open(method, path, headers).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        }
    }

    /// Sends a request and leaves the body of the answer to the test.
    pub(crate) async fn open(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> hyper::Result<http::Response<Incoming>> {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match &mut self.sender {
            Sender::Http1(sender) => {
                let request = request.uri(path).header("host", "api.brokkr.svc");
                sender.ready().await?;
                sender
                    .send_request(request.body(Full::default()).expect("a request"))
                    .await
            }
            Sender::Http2(sender) => {
                let request = request.uri(format!("https://api.brokkr.svc{path}"));
                sender.ready().await?;
                sender
                    .send_request(request.body(Full::default()).expect("a request"))
                    .await
            }
        }
    }

    /// Waits until the server closed the connection.
    pub(crate) async fn closed(self) {
        let deadline = Duration::from_secs(5);
        tokio::time::timeout(deadline, self.ended)
            .await
            .expect("the server closes")
            .expect("no panic");
    }
}

impl TlsFacts {
    fn of(tls: &TlsStream<TcpStream>) -> Self {
        let (_stream, session) = tls.get_ref();
        Self {
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            version: session.protocol_version().expect("a version"),
            server_certificate: session.peer_certificates().expect("a certificate")[0].to_vec(),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        }
    }
}
