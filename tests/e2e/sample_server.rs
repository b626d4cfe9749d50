//! The sample server of `tests/wardle` as a process of its own, registered with the control plane of all
//! tests. One test has it at a time, on a database of its own, and takes it away again.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use brokkr_certs::{CertificateAuthority, ServingRequest, Validity, base64_bundle};
use brokkr_tests::{Installation, Kubectl, eventually, free_port};
use test_postgres::{TestDatabase, TestPostgres};
use tokio::sync::{Mutex, MutexGuard};

const APISERVICE: &str = include_str!("../wardle/apiservice.yaml");

const LIMIT: Duration = Duration::from_secs(60);

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A registered server; dropped, it is taken out of the cluster and ended.
pub(crate) struct SampleServer {
    pub(crate) kubectl: Kubectl,
    /// The namespace of its account and Service; what is cluster scoped begins with its name.
    pub(crate) namespace: String,
    port: u16,
    manifests: String,
    directory: PathBuf,
    process: Child,
    _database: TestDatabase,
    _turn: MutexGuard<'static, ()>,
}

impl SampleServer {
    /// Starts it with the flags of upstream's conformance test and registers it once it is ready: an
    /// APIService without a server behind it would stop namespace deletions of all other tests.
    pub(crate) async fn start(installation: &Installation) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let kubectl = installation.kubectl();
        let namespace = format!("wardle-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let directory = installation.directory().join(&namespace);
        std::fs::create_dir_all(&directory).expect("a folder");
        let ca = certificates(&directory, &namespace);
        let port = free_port(Ipv4Addr::LOCALHOST.into());
        let manifests = APISERVICE
            .replace("${NAMESPACE}", &namespace)
            .replace("${CA_BUNDLE}", &base64_bundle(&ca))
            .replace("${PORT}", &port.to_string());
        let registration = manifests.find("apiVersion: apiregistration.k8s.io/v1");
        let (account, registration) = manifests.split_at(registration.expect("APIServices, at the end"));
        kubectl.run_with_input("apply -f -", account).await.ok();
        let registration = registration.to_owned();

        let database = TestPostgres::shared()
            .create_database()
            .await
            .expect("a database");
        let kubeconfig = installation.account_kubeconfig(&namespace, "apiserver").await;
        let process = process(&directory, &kubeconfig, port, &database.url());
        let server = Self {
            kubectl,
            namespace,
            port,
            manifests,
            directory,
            process,
            _database: database,
            _turn: turn,
        };
        eventually("the sample server is ready", LIMIT, || async {
            server.get("/readyz", "").await.map(|_| ())
        })
        .await;
        server
            .kubectl
            .run_with_input("apply -f -", &registration)
            .await
            .ok();
        let wait = "wait --for=condition=Available --timeout=60s apiservice -l sample=wardle";
        server.kubectl.run(wait).await.ok();
        for version in ["v1alpha1", "v1beta1"] {
            server.described(version).await;
        }
        server
    }

    /// Waits until the aggregator has fetched what kubectl validates by, and shows it.
    pub(crate) async fn described(&self, version: &str) -> String {
        let get = format!("get --raw /openapi/v3/apis/wardle.example.com/{version}");
        eventually("the aggregator has the document", LIMIT, || async {
            let output = self.kubectl.run(&get).await;
            output.success.then_some(output.stdout)
        })
        .await
    }

    /// Asks the server directly, not through kube-apiserver, with a bearer token if there is one; `None`
    /// unless it answers with success.
    pub(crate) async fn get(&self, path: &str, token: &str) -> Option<String> {
        let mut command = tokio::process::Command::new("curl");
        command
            .args(["--silent", "--fail", "--noproxy", "*", "--max-time", "10"])
            .args(["--resolve", &format!("{}:127.0.0.1", self.host())])
            .arg("--cacert")
            .arg(self.directory.join("ca.crt"))
            .arg(format!("https://{}{path}", self.host()));
        if !token.is_empty() {
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        let output = command.output().await.expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }

    fn host(&self) -> String {
        format!("api.{}.svc:{}", self.namespace, self.port)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).expect("a log")
    }
}

impl Drop for SampleServer {
    /// Also when a test fails. The APIServices go before the server.
    fn drop(&mut self) {
        delete(&self.kubectl, "apiservice -l sample=wardle", "");
        // The end of its standard input ends the process.
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait() {
            eprintln!("the sample server did not end: {error}");
        }
        delete(&self.kubectl, "--wait=false -f -", &self.manifests);
    }
}

/// Deletes without a runtime, which may be ending; what fails is told and left to the installation's end.
fn delete(kubectl: &Kubectl, what: &str, input: &str) {
    let run = || {
        let mut command = kubectl.command(&format!("delete --ignore-not-found {what}"));
        let mut child = command.as_std_mut().spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    };
    match run() {
        Ok(output) if output.status.success() => {}
        other => eprintln!("{what} of the sample server was not deleted: {other:?}"),
    }
}

/// Writes a serving pair and returns its CA.
fn certificates(directory: &Path, namespace: &str) -> String {
    let authority = CertificateAuthority::create("ca", Validity::authority_default()).expect("a CA");
    let serving = authority.issue_serving(&ServingRequest::new("api", namespace));
    serving
        .expect("a certificate")
        .write(directory, "tls")
        .expect("two files");
    let ca = authority.certificate_pem().expect("PEM");
    std::fs::write(directory.join("ca.crt"), &ca).expect("a file");
    ca
}

/// Runs until its standard input is closed, in whatever way this process ends.
fn process(directory: &Path, kubeconfig: &Path, port: u16, database: &str) -> Child {
    let program = std::env::current_exe().expect("the path of this test");
    let program = program
        .parent()
        .and_then(Path::parent)
        .expect("two folders above")
        .join("wardle-apiserver");
    assert!(program.exists(), "hack/test.sh e2e builds {}", program.display());
    let log = std::fs::File::create(directory.join("log")).expect("a log");
    let kubeconfig = kubeconfig.display();
    let file = |name: &str| directory.join(name).display().to_string();
    Command::new("sh")
        .args(["-c", "\"$0\" \"$@\" & cat >/dev/null; kill $!; wait $!"])
        .arg(program)
        .arg("--etcd-servers=http://localhost:2379")
        .arg(format!("--tls-cert-file={}", file("tls.crt")))
        .arg(format!("--tls-private-key-file={}", file("tls.key")))
        .args([
            "--audit-log-path=-",
            "--audit-log-maxage=0",
            "--audit-log-maxbackup=0",
        ])
        .arg(format!("--kubeconfig={kubeconfig}"))
        .arg(format!("--authentication-kubeconfig={kubeconfig}"))
        .arg(format!("--authorization-kubeconfig={kubeconfig}"))
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--secure-port={port}"))
        .env("DATABASE_URL", database)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("sh starts")
}
