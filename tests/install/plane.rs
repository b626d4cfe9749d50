//! A control plane of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use brokkr_tests::Kubectl;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

/// How long anything may take on a machine that does other things too.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// One control plane at a time, beside the shared one: each is half a gigabyte.
static ONE: Mutex<()> = Mutex::const_new(());

/// etcd, kube-apiserver and what else was asked for. Ends, and its directory goes, when dropped or when
/// this process ends: the program removes it, also that of the shared one, which nobody drops.
pub(crate) struct Plane {
    program: Child,
    directory: PathBuf,
    state: Value,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Plane {
    /// Brings one up, alone.
    pub(crate) async fn up(components: &str) -> Self {
        let alone = ONE.lock().await;
        let mut plane = Self::beside_others(components).await;
        plane._alone = Some(alone);
        plane
    }

    /// Brings one up whatever else is running.
    pub(crate) async fn beside_others(components: &str) -> Self {
        let components = components.to_owned();
        tokio::task::spawn_blocking(move || Self::start(&components))
            .await
            .expect("it comes up")
    }

    fn start(components: &str) -> Self {
        let directory = temporary("plane");
        let program = Command::new(program())
            .args([
                "up",
                "--exit-on-stdin-close",
                "--remove",
                "--components",
                components,
                "--source",
            ])
            .arg(repository().join("tests/controlplane"))
            .arg("--dir")
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the control plane starts");
        let mut plane = Self {
            program,
            directory,
            state: Value::Null,
            _alone: None,
        };
        let deadline = Instant::now() + LIMIT;
        while plane.state.is_null() {
            assert!(Instant::now() < deadline, "the control plane is not up in time");
            let ended = plane.program.try_wait().expect("a child");
            assert!(ended.is_none(), "the control plane ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(100));
            let text = fs::read_to_string(plane.directory.join("state.json"));
            plane.state = text.map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"));
        }
        plane
    }

    /// kubectl as the administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.file("kubectl"), &self.file("kubeconfig"))
    }

    /// A client as the administrator.
    pub(crate) async fn client(&self) -> kube::Client {
        let config = Kubeconfig::read_from(self.file("kubeconfig")).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
        client(config.expect("a usable kubeconfig"))
    }

    /// A kubeconfig with nothing but a token of a service account and its namespace, and the token.
    pub(crate) async fn account(&self, namespace: &str, account: &str) -> (PathBuf, String) {
        let command = format!("create token {account} -n {namespace} --duration 2h");
        let token = self.kubectl().run(&command).await.ok().trim().to_owned();
        let mut config = Kubeconfig::read_from(self.file("kubeconfig")).expect("a kubeconfig");
        for user in &mut config.auth_infos {
            user.auth_info = Some(kube::config::AuthInfo {
                token: Some(token.clone().into()),
                ..kube::config::AuthInfo::default()
            });
        }
        for context in &mut config.contexts {
            if let Some(context) = &mut context.context {
                context.namespace = Some(namespace.to_owned());
            }
        }
        let path = self.directory.join(format!("{namespace}-{account}.kubeconfig"));
        // JSON is YAML.
        fs::write(&path, serde_json::to_vec(&config).expect("a writable kubeconfig")).expect("a file");
        (path, token)
    }

    /// A path that the control plane's state names.
    pub(crate) fn file(&self, key: &str) -> PathBuf {
        self.state[key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key}"))
            .into()
    }

    /// Text of one of the control plane's logs.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.file("logs").join(name)).unwrap_or_default()
    }

    /// A directory for the test's own files.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        let _ = self.program.wait();
        // If it was killed, it has left its directory.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A client; the TLS provider is chosen here, because a test may link a second one.
pub(crate) fn client(config: kube::Config) -> kube::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    kube::Client::try_from(config).expect("a client")
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    fs::canonicalize(root.expect("the crate lies in the repository")).expect("it exists")
}

/// A new directory.
pub(crate) fn temporary(what: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("brokkr-{what}-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir_all(&path).expect("a directory");
    fs::canonicalize(path).expect("it exists")
}

/// The program of the control plane, built from this tree.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("controlplane");
        let built = Command::new("go")
            .current_dir(repository().join("tests/controlplane"))
            .env("CGO_ENABLED", "0")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "go build of the control plane"
        );
        program
    })
}
