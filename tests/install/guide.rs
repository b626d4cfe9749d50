//! The commands of the installation guide, typed in their order by a machine.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use test_postgres::TestPostgres;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::plane::{Plane, repository};
use crate::server::{Server, program};
use crate::site::Machine;

/// Commands that are not run here, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("cargo build", "the programs are built already"),
    (
        "kubectl -n brokkr-system rollout status",
        "no kubelet runs the pods",
    ),
    ("kubectl -n brokkr-system logs", "no kubelet runs the pods"),
    ("brokkr-apiserver", "started below, with the same flags"),
    (
        "kubectl create -f docs/samples/build.yaml",
        "Shipwright is not installed here",
    ),
    ("kubectl get workorders -n team-a -w", "watches for ever"),
];

/// What a reader does with a block of the guide.
enum Step {
    Type(String),
    Apply(String),
}

/// The blocks of the guide: each command, continued lines joined, and each object of ours.
fn steps(guide: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (index, block) in guide.split("\n```").enumerate() {
        // Every second part is inside a fence, and begins with its language.
        let Some((language, text)) = block.split_once('\n').filter(|_| index % 2 == 1) else {
            continue;
        };
        match language {
            "yaml" => steps.push(Step::Apply(text.to_owned())),
            "sh" => {
                let joined = text.replace("\\\n", " ");
                let commands = joined.lines().map(str::trim);
                let commands = commands.filter(|line| !line.is_empty() && !line.starts_with('#'));
                steps.extend(commands.map(|line| Step::Type(line.to_owned())));
            }
            _ => {}
        }
    }
    steps
}

/// A reader with a copy of the repository and the programs on the path.
struct Reader {
    directory: PathBuf,
    path: String,
    kubeconfig: PathBuf,
}

impl Reader {
    fn new(plane: &Plane) -> Self {
        let directory = plane.directory().join("reader");
        let programs = directory.join("programs");
        std::fs::create_dir_all(&programs).expect("a directory");
        symlink(plane.file("kubectl"), programs.join("kubectl")).expect("a link");
        symlink(program("brokkr-certs"), programs.join("brokkr-certs")).expect("a link");
        for folder in ["apiservice", "docs"] {
            copy(&repository().join(folder), &directory.join(folder));
        }
        // What the guide tells the reader to have.
        std::fs::write(directory.join("postgresql.url"), "postgresql://unused\n").expect("written");
        Self {
            path: format!(
                "{}:{}",
                programs.display(),
                std::env::var("PATH").unwrap_or_default()
            ),
            kubeconfig: plane.file("kubeconfig"),
            directory,
        }
    }

    async fn types(&self, command: &str, input: &str) {
        let mut shell = Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(&self.directory)
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash starts");
        let mut stdin = shell.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).await.expect("it reads");
        drop(stdin);
        let output = shell.wait_with_output().await.expect("bash ends");
        assert!(
            output.status.success(),
            "$ {command}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// kustomize follows no links out of a folder, so the files are copied.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(from)
        .arg(to)
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "cp -r {}",
        from.display()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_installation_guide_work_in_their_order() {
    let plane = Plane::up("etcd,apiserver,controller-manager").await;
    let reader = Reader::new(&plane);
    let machine = Machine::free();
    let guide = repository().join("docs/guides/install-hub.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let database = TestPostgres::shared()
        .create_database()
        .await
        .expect("a database");
    let mut left_out: Vec<&str> = Vec::new();
    let mut server: Option<Arc<Server>> = None;
    let mut typed = 0;

    for step in steps(&guide) {
        let command = match step {
            Step::Apply(object) => {
                reader.types("kubectl apply -f -", &object).await;
                continue;
            }
            Step::Type(command) => command,
        };
        if let Some((left, _)) = LEFT_OUT.iter().find(|(start, _)| command.starts_with(start)) {
            left_out.push(left);
            continue;
        }
        reader.types(&command, "").await;
        typed += 1;
        if command.starts_with("sed -i") {
            // The reader sets what belongs to this hub: here, that its server is no pod.
            machine.patch(&reader.directory.join("hub/kustomization.yaml"));
        }
        if command == "kubectl apply -k hub" && server.is_none() {
            let (kubeconfig, _) = plane.account("brokkr-system", "brokkr-apiserver").await;
            let certificates = reader.directory.join("certificates");
            server = Some(machine.server(&plane, &kubeconfig, &database, &certificates));
        }
    }

    assert!(typed >= 35, "only {typed} commands were typed");
    for (left, why) in LEFT_OUT {
        assert!(left_out.contains(left), "the guide no longer says {left} ({why})");
    }
}
