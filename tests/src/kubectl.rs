//! The real kubectl, run as a user would.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// kubectl with the kubeconfig of one user.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

/// What a command of kubectl printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error: warnings and errors.
    pub stderr: String,
}

impl Kubectl {
    /// This kubectl with this kubeconfig.
    #[must_use]
    pub fn new(program: &Path, kubeconfig: &Path) -> Self {
        Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// Runs a command line, split at blanks.
    ///
    /// # Panics
    /// When kubectl cannot be started.
    pub async fn run(&self, command_line: &str) -> Output {
        self.run_with_input(command_line, "").await
    }

    /// Runs a command line with text on standard input (`-f -`).
    ///
    /// # Panics
    /// When kubectl cannot be started.
    pub async fn run_with_input(&self, command_line: &str, input: &str) -> Output {
        self.finish(&mut self.command(command_line), input).await
    }

    /// `kubectl edit`, with a command line that changes the file whose name is put behind it.
    ///
    /// # Panics
    /// When kubectl cannot be started.
    pub async fn edit(&self, command_line: &str, editor: &str) -> Output {
        let mut command = self.command(command_line);
        self.finish(command.env("KUBE_EDITOR", editor), "").await
    }

    async fn finish(&self, command: &mut Command, input: &str) -> Output {
        let mut child = command.spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        stdin
            .write_all(input.as_bytes())
            .await
            .expect("kubectl reads its input");
        drop(stdin);
        let output = child.wait_with_output().await.expect("kubectl ends");
        Output {
            success: output.status.success(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A command not yet started, for what runs on (`--watch`); it ends with the test.
    #[must_use]
    pub fn command(&self, command_line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(command_line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Output {
    /// Standard output of a command that must succeed.
    ///
    /// # Panics
    /// When it failed.
    pub fn ok(self) -> String {
        assert!(self.success, "kubectl failed: {}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard error of a command that must fail.
    ///
    /// # Panics
    /// When it succeeded.
    pub fn err(self) -> String {
        assert!(!self.success, "kubectl succeeded: {}", self.stdout);
        self.stderr
    }
}
