//! The server as a process, with what its pod would have.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use brokkr_tests::eventually;
use http::{Request, StatusCode};
use kube::client::Body;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use crate::plane::{LIMIT, Plane, client};

/// A running brokkr-apiserver. Killed when dropped.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// How a server is started.
pub(crate) struct Setup<'a> {
    pub(crate) kubeconfig: &'a Path,
    pub(crate) database_url: &'a str,
    pub(crate) address: SocketAddr,
    /// Where tls.crt and tls.key are.
    pub(crate) certificates: &'a Path,
}

/// Who calls, besides trusting a CA.
#[derive(Clone, Default)]
pub(crate) struct Caller {
    /// A bearer token.
    pub(crate) token: Option<String>,
    /// A client certificate and its key, in PEM.
    pub(crate) certificate: Option<(String, String)>,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl Server {
    /// Starts one; its log is in the plane's directory.
    pub(crate) fn start(plane: &Plane, setup: &Setup<'_>) -> Self {
        let log = plane
            .directory()
            .join(format!("server-{}.log", uuid::Uuid::new_v4().simple()));
        let database_url = log.with_extension("database-url");
        fs::write(&database_url, setup.database_url).expect("written");
        let process = Command::new(program("brokkr-apiserver"))
            .arg("--kubeconfig")
            .arg(setup.kubeconfig)
            .arg("--database-url-file")
            .arg(database_url)
            .arg("--tls-cert-file")
            .arg(setup.certificates.join("tls.crt"))
            .arg("--tls-private-key-file")
            .arg(setup.certificates.join("tls.key"))
            .arg(format!("--bind-address={}", setup.address.ip()))
            .arg(format!("--secure-port={}", setup.address.port()))
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log"))
            .spawn()
            .expect("the server starts");
        Self {
            process,
            address: setup.address,
            log,
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends SIGTERM, as the kubelet does.
    pub(crate) fn terminate(&self) {
        let pid = self.process.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.is_ok_and(|status| status.success()), "kill");
    }

    /// Ends it as the kubelet does, and waits for it.
    pub(crate) async fn end(server: Arc<Self>) {
        server.terminate();
        let server = Mutex::new(Arc::into_inner(server).expect("the only one"));
        eventually("the server ends", LIMIT, || async {
            (!server.lock().expect("not poisoned").runs()).then_some(())
        })
        .await;
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().expect("a child").is_none()
    }

    /// A client of it over a connection of its own, that trusts these PEM certificates.
    pub(crate) fn client(&self, trusted: &str, caller: &Caller) -> kube::Client {
        let url = format!("https://{}", self.address).parse().expect("a URL");
        let mut config = kube::Config::new(url);
        let roots = CertificateDer::pem_slice_iter(trusted.as_bytes());
        config.root_cert = Some(roots.map(|root| root.expect("PEM").to_vec()).collect());
        config.tls_server_name = Some("brokkr-apiserver.brokkr-system.svc".to_owned());
        config.auth_info.token = caller.token.clone().map(Into::into);
        if let Some((certificate, key)) = &caller.certificate {
            config.auth_info.client_certificate_data = Some(base64(certificate));
            config.auth_info.client_key_data = Some(base64(key).into());
        }
        config.default_retry = false;
        client(config)
    }

    /// GETs a path over a connection of its own; None when there is no answer at all.
    pub(crate) async fn get(
        &self,
        trusted: &str,
        caller: &Caller,
        path: &str,
    ) -> Option<(StatusCode, String)> {
        let mut request = Request::get(path);
        for (name, value) in &caller.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let answer = self.client(trusted, caller).send(request).await.ok()?;
        let status = answer.status();
        let body = answer.into_body().collect_bytes().await.ok()?;
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// The status of a path for nobody in particular.
    pub(crate) async fn status(&self, trusted: &str, path: &str) -> Option<StatusCode> {
        Some(self.get(trusted, &Caller::default(), path).await?.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}", self.log());
        }
    }
}

fn base64(pem: &str) -> String {
    brokkr_certs::base64_bundle(pem)
}

/// A program of this workspace, built beside the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let program = test.ancestors().nth(2).expect("a directory").join(name);
    assert!(program.exists(), "run `cargo build --workspace --bins` first");
    program
}

/// The object of a JSON text.
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
