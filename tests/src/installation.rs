//! A whole installation: control plane, PostgreSQL, server, agent.
//!
//! One is brought up for a test binary and removed when its process ends, however it ends: a guard
//! process waits for the end of a pipe that only the test process holds.
//!
//! `BROKKR_TEST_KUBECONFIG` points at another control plane, which must carry the label
//! `work.brokkr.io/test=allowed` on its namespace kube-system; `KUBECONFIG` is never read.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::OnceCell;

use crate::kubectl::Kubectl;

/// A program that a test may stop and start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `brokkr-apiserver`
    Server,
    /// The second replica of it, where there is one.
    SecondServer,
    /// `brokkr-agent`
    Agent,
    /// kube-apiserver, which is always killed and comes back at its address.
    KubeApiserver,
    /// The private PostgreSQL, which is always stopped fast: sessions are cut off.
    Postgres,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::SecondServer => "server-2",
            Self::Agent => "agent",
            Self::KubeApiserver => "kube-apiserver",
            Self::Postgres => "postgres",
        }
    }
}

/// A running installation.
#[derive(Debug)]
pub struct Installation {
    directory: PathBuf,
    kubectl_program: PathBuf,
    /// Holds the pipe whose end removes the installation.
    _guard: Child,
}

static SHARED: OnceCell<Installation> = OnceCell::const_new();

impl Installation {
    /// The installation of this test binary, brought up by the first test that asks.
    pub async fn shared() -> &'static Self {
        SHARED
            .get_or_init(|| async {
                let up = tokio::task::spawn_blocking(|| Self::up(&[]));
                up.await.expect("it comes up")
            })
            .await
    }

    /// Brings an installation of its own up, with these arguments of `hack/local-up.sh` besides, such as
    /// `--replicas 2`.
    ///
    /// # Panics
    /// When it does not come up; the output says why.
    #[must_use]
    pub fn up(arguments: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("brokkr-e2e-{}", uuid::Uuid::new_v4().simple()));
        let guard = guard(&directory);
        let mut all = vec!["up", "--no-demo"];
        all.extend(arguments);
        let given = std::env::var("BROKKR_TEST_KUBECONFIG");
        if let Ok(kubeconfig) = &given {
            require_permission(kubeconfig);
            all.extend(["--kubeconfig", kubeconfig]);
        }
        run_script(&directory, &all);
        let program = std::fs::read_to_string(directory.join("kubectl-path")).expect("the path of kubectl");
        let installation = Self {
            kubectl_program: program.trim().into(),
            directory,
            _guard: guard,
        };
        installation.let_builds_run_side_by_side();
        installation
    }

    /// Tests share the agent: builds that one of them lets hang must not keep those of others waiting.
    fn let_builds_run_side_by_side(&self) {
        let status = Command::new(&self.kubectl_program)
            .arg("--kubeconfig")
            .arg(self.directory.join("kubeconfig"))
            .args(["patch", "agent", "local", "--type=merge"])
            .args(["-p", r#"{"spec":{"concurrency":{"total":50}}}"#])
            .stdout(Stdio::null())
            .status()
            .expect("kubectl starts");
        assert!(status.success(), "the agent's concurrency was not raised");
    }

    /// kubectl as the cluster's administrator.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.kubectl_program, &self.directory.join("kubeconfig"))
    }

    /// Debian's kubectl, years older than the control plane, as the cluster's administrator.
    ///
    /// # Panics
    /// When it is not there and cannot be downloaded.
    #[must_use]
    pub fn old_kubectl(&self) -> Kubectl {
        let output = Command::new("bash")
            .args(["-c", "set -e; source \"$0\"; debian_kubectl"])
            .arg(repository().join("hack/lib/prerequisites.sh"))
            .output()
            .expect("bash starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let program = text(&output.stdout);
        Kubectl::new(Path::new(program.trim()), &self.directory.join("kubeconfig"))
    }

    /// kubectl as a service account, with nothing but a token of it.
    pub async fn kubectl_as(&self, namespace: &str, account: &str) -> Kubectl {
        Kubectl::new(
            &self.kubectl_program,
            &self.account_kubeconfig(namespace, account).await,
        )
    }

    /// kubectl as a service account that asks the server itself, past kube-apiserver.
    pub async fn kubectl_of_server_as(&self, namespace: &str, account: &str) -> Kubectl {
        Kubectl::new(
            &self.kubectl_program,
            &self.server_kubeconfig(namespace, account).await,
        )
    }

    /// A client as the cluster's administrator.
    pub async fn client(&self) -> kube::Client {
        client_of(&self.directory.join("kubeconfig")).await
    }

    /// A client as a service account, with nothing but a token of it.
    pub async fn client_as(&self, namespace: &str, account: &str) -> kube::Client {
        client_of(&self.account_kubeconfig(namespace, account).await).await
    }

    /// A kubeconfig that holds nothing but a token of a service account.
    pub async fn account_kubeconfig(&self, namespace: &str, account: &str) -> PathBuf {
        let config = self.kubeconfig_of(namespace, account).await;
        self.write(&format!("{namespace}-{account}.kubeconfig"), &config)
    }

    /// The same for asking the server itself, past kube-apiserver.
    pub async fn server_kubeconfig(&self, namespace: &str, account: &str) -> PathBuf {
        let port = std::fs::read_to_string(self.directory.join("server-port")).expect("the server's port");
        let authority = self.directory.join("certificates/ca.crt");
        let mut config = self.kubeconfig_of(namespace, account).await;
        for cluster in &mut config.clusters {
            cluster.cluster = Some(kube::config::Cluster {
                server: Some(format!("https://localhost:{}", port.trim())),
                certificate_authority: Some(authority.display().to_string()),
                ..kube::config::Cluster::default()
            });
        }
        self.write(&format!("{namespace}-{account}-server.kubeconfig"), &config)
    }

    async fn kubeconfig_of(&self, namespace: &str, account: &str) -> Kubeconfig {
        let token = self
            .kubectl()
            .run(&format!("create token {account} -n {namespace}"))
            .await
            .ok();
        let mut config = Kubeconfig::read_from(self.directory.join("kubeconfig")).expect("a kubeconfig");
        for user in &mut config.auth_infos {
            user.auth_info = Some(kube::config::AuthInfo {
                token: Some(token.trim().to_owned().into()),
                ..kube::config::AuthInfo::default()
            });
        }
        config
    }

    fn write(&self, name: &str, config: &Kubeconfig) -> PathBuf {
        let path = self.directory.join(name);
        // JSON is YAML.
        std::fs::write(&path, serde_json::to_vec(config).expect("a writable kubeconfig")).expect("a file");
        path
    }

    /// Ends a program with a signal, such as `KILL`, and waits until it is gone.
    pub async fn stop(&self, part: Part, signal: &'static str) {
        self.script(&["stop", part.name(), "--signal", signal]).await;
    }

    /// Starts a program and waits until it is ready.
    pub async fn start(&self, part: Part) {
        self.script(&["start", part.name()]).await;
    }

    /// Where its files are: kubeconfigs, certificates, logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    async fn script(&self, arguments: &[&'static str]) {
        let (directory, arguments) = (self.directory.clone(), arguments.to_vec());
        tokio::task::spawn_blocking(move || run_script(&directory, &arguments))
            .await
            .expect("the script runs");
    }
}

/// A cluster that was not made for tests is left alone unless it says that it may be used.
fn require_permission(kubeconfig: &str) {
    let output = Command::new("kubectl")
        .args(["--kubeconfig", kubeconfig, "get", "namespace", "kube-system"])
        .args(["--output", r"jsonpath={.metadata.labels.work\.brokkr\.io/test}"])
        .output()
        .expect("kubectl starts");
    assert!(
        output.stdout == b"allowed",
        "the cluster of BROKKR_TEST_KUBECONFIG may not be used for tests; its administrator allows it with: \
         kubectl label namespace kube-system work.brokkr.io/test=allowed"
    );
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

fn script() -> PathBuf {
    repository().join("hack/local-up.sh")
}

/// `hack/local-up.sh` with its files in this directory.
#[must_use]
pub fn local_up(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(script());
    // What cargo tells this test about its own crate is no business of the build in the script: with these
    // set, build scripts that look at them run again, and all that depends on them is compiled anew.
    for (name, _) in std::env::vars_os() {
        if is_about_this_crate(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .arg("--dir")
        .arg(directory)
        .stdin(Stdio::null());
    command
}

fn run_script(directory: &Path, arguments: &[&str]) {
    let output = local_up(directory, arguments)
        .output()
        .expect("hack/local-up.sh starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

fn is_about_this_crate(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

/// Removes the installation once this process is gone: then its end of the pipe is closed.
fn guard(directory: &Path) -> Child {
    Command::new("sh")
        .args([
            "-c",
            "trap '' INT TERM HUP; cat >/dev/null; exec \"$0\" down --dir \"$1\" >/dev/null 2>&1",
        ])
        .arg(script())
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts")
}

async fn client_of(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    // A second provider may be linked by a test: the choice is made here, once.
    let _ = rustls::crypto::ring::default_provider().install_default();
    kube::Client::try_from(config.expect("a usable kubeconfig")).expect("a client")
}
