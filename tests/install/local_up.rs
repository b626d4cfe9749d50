//! `hack/local-up.sh` does no harm: not to a cluster that it is given, and not by what it leaves running.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use brokkr_tests::local_up;

use crate::plane::{LIMIT, Plane, repository, temporary};

/// A directory for the script, and one whose programs it finds first.
struct Place {
    directory: PathBuf,
    programs: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = temporary("local-up");
        let programs = temporary("programs");
        Self { directory, programs }
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let mut command = local_up(&self.directory, arguments);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.programs.display()));
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.script(arguments);
        let run = tokio::task::spawn_blocking(move || command.output());
        run.await.expect("it ends").expect("the script starts")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.script(&["down"]).output();
        let logs = self.directory.with_added_extension("failed");
        for left in [&self.directory, &self.programs, &logs] {
            let _ = fs::remove_dir_all(left);
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether this process runs: one that nobody has asked for its end is still listed.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn write_program(path: &Path, lines: &str) {
    fs::write(path, format!("#!/bin/sh\n{lines}\n")).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_cluster_keeps_what_it_had_and_is_not_missed_when_it_is_gone() {
    let plane = Plane::up("etcd,apiserver,controller-manager").await;
    let kubectl = plane.kubectl();
    let place = Place::new();
    symlink(plane.file("kubectl"), place.programs.join("kubectl")).expect("a link");
    let kubeconfig = plane.file("kubeconfig").display().to_string();
    let up = ["up", "--no-demo", "--kubeconfig", &kubeconfig];

    // A namespace of that name is somebody's: it is named, and left alone.
    kubectl.run("create namespace team-a").await.ok();
    let refused = place.run(&up).await;
    assert!(!refused.status.success(), "{}", text(&refused));
    assert!(text(&refused).contains("namespace/team-a"), "{}", text(&refused));
    let namespaces =
        kubectl.run("get namespaces -o jsonpath={.items[*].metadata.name}={.items[*].status.phase}");
    let namespaces = namespaces.await.ok();
    assert!(
        namespaces.contains("team-a") && !namespaces.contains("Terminating"),
        "{namespaces}"
    );
    assert!(!namespaces.contains("brokkr-"), "{namespaces}");

    // Without it the cluster is taken,
    kubectl.run("delete namespace team-a --timeout=90s").await.ok();
    let taken = place.run(&up).await;
    assert!(taken.status.success(), "{}", text(&taken));
    kubectl.run("get workorders -A").await.ok();
    let postmaster = fs::read_to_string(place.directory.join("postgres/data/postmaster.pid"));
    let postmaster = postmaster
        .expect("PostgreSQL runs")
        .lines()
        .next()
        .map(str::to_owned)
        .expect("a pid");
    assert!(runs(&postmaster));

    // and when it is gone, everything else ends all the same.
    drop(plane);
    let down = place.run(&["down"]).await;
    assert!(
        !down.status.success() && text(&down).contains("does not answer"),
        "{}",
        text(&down)
    );
    assert!(!runs(&postmaster) && !place.directory.exists(), "{}", text(&down));
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_script_ends_the_step_it_was_at() {
    let place = Place::new();
    // A build that lasts.
    let (cargo, pid) = (place.programs.join("cargo"), place.programs.join("pid"));
    write_program(
        &cargo,
        &format!(
            "echo $$ >{0}.new && mv {0}.new {0}\nexec sleep 600",
            pid.display()
        ),
    );
    let mut script = place
        .script(&["up", "--no-demo"])
        .spawn()
        .expect("the script starts");
    let deadline = Instant::now() + LIMIT;
    while !pid.exists() {
        assert!(Instant::now() < deadline, "the build has not begun");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pid = fs::read_to_string(pid).expect("a pid");

    let interrupted = Command::new("kill")
        .args(["-TERM", &script.id().to_string()])
        .status();
    assert!(interrupted.expect("kill").success());
    let ended = tokio::task::spawn_blocking(move || script.wait())
        .await
        .expect("it ends");

    assert_eq!(ended.expect("a child").code(), Some(130));
    assert!(!runs(&pid), "the build goes on");
    assert!(!place.directory.exists());
}

#[test]
fn process_that_runs_is_not_started_again() {
    let directory = temporary("processes");
    let output = Command::new("bash")
        .args([
            "-euc",
            "source \"$0\"; STATE_DIR=$1
            start_process one \"$1/log\" sleep 600
            start_process one \"$1/log\" sleep 600 && echo twice
            stop_process one",
        ])
        .arg(repository().join("hack/lib/processes.sh"))
        .arg(&directory)
        .output()
        .expect("bash starts");
    fs::remove_dir_all(&directory).expect("removed");
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        output.stdout.is_empty() && text(&output).contains("one already runs"),
        "{}",
        text(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_build_the_control_plane_at_once_both_have_it() {
    let (cache, programs) = (temporary("cache"), temporary("programs"));
    // A build ends when the other has ended too: `go build -o FILE .`
    let built = "echo >\"$3\"; touch \"$0.$$\"; until [ $(ls \"$0\".* | wc -l) = 2 ]; do sleep 0.1; done";
    write_program(&programs.join("go"), built);
    let build = || {
        let mut bash = tokio::process::Command::new("bash");
        bash.args(["-euc", "ROOT=$1; source \"$0\"; build_control_plane_program"])
            .arg(repository().join("hack/lib/control-plane.sh"))
            .arg(repository())
            .env("BROKKR_CACHE_DIR", &cache)
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    programs.display(),
                    std::env::var("PATH").unwrap_or_default()
                ),
            );
        bash.output()
    };

    let (one, other) = tokio::time::timeout(LIMIT, async { tokio::join!(build(), build()) })
        .await
        .expect("both end");

    let left = fs::read_dir(cache.join("bin")).expect("a directory").count();
    for directory in [cache, programs] {
        fs::remove_dir_all(directory).expect("removed");
    }
    for output in [one, other].map(|output| output.expect("bash starts")) {
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_eq!(left, 1, "the program and nothing else");
}
