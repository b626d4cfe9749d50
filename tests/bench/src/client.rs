//! One HTTP/2 connection over TLS, as the front proxy makes it: a client certificate, and the user in headers.
//!
//! kube-apiserver and the server under test both believe the front proxy, so that one client does for both.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The group of all users of the benchmark; `cluster.yaml` grants it what it needs.
const GROUP: HeaderValue = HeaderValue::from_static("brokkr-bench");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REMOTE_USER: HeaderName = HeaderName::from_static("x-remote-user");
const REMOTE_GROUP: HeaderName = HeaderName::from_static("x-remote-group");

/// A server that can be called.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// A connection, used by one user. Its clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    user: HeaderValue,
}

impl Target {
    /// A server on loopback whose certificate chains to `ca`; shows the certificate of the front proxy.
    pub(crate) fn new(address: SocketAddr, ca: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate)?;
        }
        let key = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(certificate)?, key)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address,
            tls: Arc::new(tls),
        })
    }

    /// Connects as a user.
    pub(crate) async fn connect(&self, user: &str) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let tls = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            user: HeaderValue::from_str(user)?,
        })
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = fs::read(file).with_context(|| file.display().to_string())?;
    Ok(CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>()?)
}

/// The address of a path, to be made once where it is used often.
pub(crate) fn uri(path: &str) -> Result<Uri> {
    Ok(format!("https://localhost{path}").parse()?)
}

impl Connection {
    /// Sends a GET and gives the status with the body, which may be a stream.
    pub(crate) async fn get(&mut self, path: &str) -> Result<http::Response<Incoming>> {
        let request = self.request(Method::GET, uri(path)?, Bytes::new())?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Creates, and gives the answer's body. All but 201 is an error.
    pub(crate) async fn create(&mut self, to: &Uri, body: Bytes) -> Result<Bytes> {
        let request = self.request(Method::POST, to.clone(), body)?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        ensure!(
            status == StatusCode::CREATED,
            "POST {to}: {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(answer)
    }

    /// Deletes an object.
    pub(crate) async fn delete(&mut self, path: &str) -> Result<()> {
        let request = self.request(Method::DELETE, uri(path)?, Bytes::new())?;
        self.sender.ready().await?;
        let status = self.sender.send_request(request).await?.status();
        ensure!(status.is_success(), "DELETE {path}: {status}");
        Ok(())
    }

    fn request(&self, method: Method, to: Uri, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let request = Request::builder()
            .method(method)
            .uri(to)
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, JSON)
            .header(REMOTE_USER, self.user.clone())
            .header(REMOTE_GROUP, GROUP);
        Ok(request.body(Full::new(body))?)
    }
}
