//! client-go and controller-runtime: the program in `tests/clientgo`, scenario by scenario.

use std::path::PathBuf;
use std::process::Stdio;

use brokkr_tests::{Installation, TestNamespace};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::agents::{agent, may_claim};
use crate::undisturbed;

static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();

/// The program, built once.
async fn program(installation: &Installation) -> &'static PathBuf {
    PROGRAM
        .get_or_init(|| async {
            let path = installation.directory().join("clientgo");
            let output = Command::new("go")
                .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/clientgo"))
                .env("CGO_ENABLED", "0")
                .args(["build", "-o"])
                .arg(&path)
                .arg(".")
                .output()
                .await
                .expect("go starts");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            path
        })
        .await
}

/// A running scenario; it ends with the test.
pub(crate) struct Scenario {
    name: &'static str,
    child: Child,
}

impl Scenario {
    pub(crate) async fn start(
        name: &'static str,
        installation: &Installation,
        namespace: &TestNamespace,
        more: &[&str],
    ) -> Self {
        let child = Command::new(program(installation).await)
            .args([name, "--namespace", &namespace.name, "--kubeconfig"])
            .arg(installation.directory().join("kubeconfig"))
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        Self { name, child }
    }

    /// Waits until it says that the server may be restarted.
    pub(crate) async fn ready(&mut self) {
        let stdout = self.child.stdout.as_mut().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await.expect("a line");
        if line.trim() != "ready" {
            self.fail().await;
        }
    }

    /// Says that the server was restarted, and waits for the end.
    pub(crate) async fn go_on(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"restarted\n").await.expect("it listens");
        self.finish().await;
    }

    /// Waits for the end, which must be a success.
    pub(crate) async fn finish(&mut self) {
        if !self.child.wait().await.expect("it ends").success() {
            self.fail().await;
        }
    }

    async fn fail(&mut self) -> ! {
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut text).await.expect("text");
        panic!("{}: {text}", self.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_go_lists_watches_creates_and_claims() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "client-go").await;
    let name = format!("{}-go", namespace.name);
    agent(installation, &namespace, &name).await;
    may_claim(&namespace, &name).await;
    let kubeconfig = installation.account_kubeconfig(&namespace.name, &name).await;
    let as_agent = [
        "--agent",
        &name,
        "--agent-kubeconfig",
        kubeconfig.to_str().expect("a path"),
    ];

    Scenario::start("claim", installation, &namespace, &as_agent)
        .await
        .finish()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c251_client_go_maps_kinds_and_works_on_metadata_alone() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "metadata").await;

    Scenario::start("metadata", installation, &namespace, &[])
        .await
        .finish()
        .await;
}
