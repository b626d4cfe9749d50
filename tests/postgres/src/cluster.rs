//! One cluster: its directory, its server process and the watchdog that outlives neither.
//!
//! The server runs under a small shell that reads from a pipe held by the test process. When the test
//! process goes, even killed, the pipe closes, and the shell ends the server and removes the directory.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sqlx::postgres::PgConnectOptions;

/// Whether commits survive a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is flushed: fast, and enough where the server is not killed.
    None,
    /// As in production.
    Full,
}

/// Runs the server; the first line on stdin names the signal that ends it. No line, only the end of
/// the pipe: the test process is gone, and the directory goes too. A server that has not yet set its
/// signal handlers ignores SIGQUIT, as all background children of a shell do, but not SIGTERM. KILL goes
/// to all its processes at once; until the last is gone, a new server would find their memory in use.
const WATCHDOG: &str = r#"
directory=$1; shift
"$@" &
server=$!
if read -r signal; then
    if [ "$signal" = KILL ]; then children=$(cat /proc/$server/task/$server/children); fi
    kill -s "$signal" $server $children; wait $server
    for child in $children; do while kill -0 $child 2>/dev/null; do sleep 0.02; done; done
else
    kill -s TERM $server; kill -s QUIT $server; wait $server; rm -rf "$directory"
fi
"#;

#[derive(Debug)]
pub(crate) struct Cluster {
    directory: PathBuf,
    programs: PathBuf,
    durability: Durability,
    running: Option<(Child, ChildStdin)>,
}

impl Cluster {
    pub(crate) fn start(durability: Durability) -> Result<Self> {
        let mut cluster = Self::empty(durability)?;
        let initdb = [
            "initdb",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ];
        cluster.create_data(&[&initdb[..], &["--no-sync"]].concat())?;
        cluster.run(Duration::from_secs(30))?;
        Ok(cluster)
    }

    /// Starts a standby that streams from this cluster.
    pub(crate) fn standby(&self) -> Result<Self> {
        let mut standby = Self::empty(self.durability)?;
        let primary = self
            .directory
            .to_str()
            .context("the temporary directory has an odd name")?;
        let copy = [
            "pg_basebackup",
            "--username=postgres",
            "--host",
            primary,
            "--checkpoint=fast",
            "--no-sync",
        ];
        standby.create_data(&[&copy[..], &["--write-recovery-conf"]].concat())?;
        standby.run(Duration::from_secs(30))?;
        Ok(standby)
    }

    fn empty(durability: Durability) -> Result<Self> {
        let name = format!("test-postgres-{}", uuid::Uuid::new_v4().simple());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory)?;
        Ok(Self {
            directory,
            programs: programs()?,
            durability,
            running: None,
        })
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.directory)
            .port(5432)
            .username("postgres")
            .database("postgres")
    }

    /// Runs a program that creates the data directory.
    fn create_data(&self, command: &[&str]) -> Result<()> {
        if let Some(account) = account() {
            std::os::unix::fs::chown(&self.directory, Some(account.uid), Some(account.gid))?;
        }
        std::fs::set_permissions(&self.directory, std::fs::Permissions::from_mode(0o755))?;
        let (program, arguments) = command.split_first().context("a program")?;
        let output = unprivileged(&self.programs.join(program))
            .args(arguments)
            .arg("-D")
            .arg(self.directory.join("data"))
            .current_dir(&self.directory)
            .output()
            .with_context(|| format!("{program} could not be started"))?;
        ensure!(
            output.status.success(),
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn run(&mut self, wait: Duration) -> Result<()> {
        ensure!(self.running.is_none(), "the server runs already");
        // One that was killed has left it behind, and it says that the server is ready.
        let stale = self.directory.join("data/postmaster.pid");
        if stale.exists() {
            std::fs::remove_file(stale)?;
        }
        let mut watchdog = unprivileged(Path::new("/bin/sh"));
        watchdog.args(["-c", WATCHDOG, "watchdog"]).arg(&self.directory);
        watchdog
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.directory.join("data"));
        watchdog.arg("-k").arg(&self.directory);
        for setting in self.settings() {
            watchdog.args(["-c", setting]);
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())?;
        // A process group of its own: an interrupt typed at the test reaches the test alone.
        watchdog.current_dir(&self.directory).process_group(0);
        watchdog
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = watchdog.spawn().context("PostgreSQL could not be started")?;
        let stdin = child.stdin.take().context("the watchdog has a pipe")?;
        self.running = Some((child, stdin));
        self.wait_until_ready(wait)
    }

    fn settings(&self) -> Vec<&'static str> {
        let mut settings = vec![
            "listen_addresses=",
            "max_connections=300",
            "shared_buffers=64MB",
            "log_checkpoints=off",
            // A standby looks for its primary often, and so notices soon that it is to be promoted.
            "wal_retrieve_retry_interval=100ms",
            "unix_socket_permissions=0777",
            // A stop waits for clients that have connected and said nothing yet: a test that waits for the stop on
            // the thread that serves its client would keep both waiting for a minute.
            "authentication_timeout=5",
        ];
        if self.durability == Durability::None {
            settings.extend(["fsync=off", "full_page_writes=off"]);
        }
        settings
    }

    fn wait_until_ready(&self, wait: Duration) -> Result<()> {
        let deadline = Instant::now() + wait;
        loop {
            // The eighth line is the state of the server.
            let state =
                std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap_or_default();
            if state
                .lines()
                .nth(7)
                .is_some_and(|line| ["ready", "standby"].contains(&line.trim()))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "PostgreSQL did not come up: {}",
                    std::fs::read_to_string(self.log()).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the server with a signal and waits for its end.
    pub(crate) fn stop(&mut self, signal: &str) -> Result<()> {
        let (mut child, mut stdin) = self.running.take().context("the server does not run")?;
        writeln!(stdin, "{signal}")?;
        child.wait()?;
        Ok(())
    }

    /// Stops or continues all processes of the server, as a machine that hangs does.
    pub(crate) fn signal_all(&self, signal: &str) -> Result<()> {
        let pid = std::fs::read_to_string(self.directory.join("data/postmaster.pid"))?;
        let postmaster = pid
            .lines()
            .next()
            .context("the server has no process")?
            .to_owned();
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"))?;
        // The postmaster first: it starts no further process then.
        send(signal, &postmaster)?;
        // A child that has ended meanwhile is not missed.
        let _ = Command::new("kill")
            .args(["-s", signal])
            .args(children.split_whitespace())
            .stderr(Stdio::null())
            .status()?;
        Ok(())
    }

    /// Keeps a copy of the files, as a snapshot of the disk does.
    pub(crate) fn copy_data(&self) -> Result<()> {
        self.replace_directory("data", "copy")
    }

    /// Puts the copy in the place of the files.
    pub(crate) fn restore_data(&self) -> Result<()> {
        ensure!(self.running.is_none(), "the server runs");
        self.replace_directory("copy", "data")
    }

    fn replace_directory(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.directory.join(from), self.directory.join(to));
        if to.exists() {
            std::fs::remove_dir_all(&to)?;
        }
        let copied = Command::new("cp").arg("--archive").args([&from, &to]).status()?;
        ensure!(copied.success(), "{} was not copied", from.display());
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((mut child, stdin)) = self.running.take() {
            // One that a failed test has left frozen could not end; one that runs is not disturbed.
            let _ = self.signal_all("CONT");
            drop(stdin);
            // Nothing can be done about a failure here; the directory is removed below either way.
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Sends a signal to one process.
pub(crate) fn send(signal: &str, pid: &str) -> Result<()> {
    let kill = Command::new("kill").args(["-s", signal, pid]).status()?;
    ensure!(kill.success(), "process {pid} was not signalled");
    Ok(())
}

/// Where initdb and postgres are: Debian keeps them out of the search path, one folder per version.
fn programs() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.filter_map(|version| Some(version.ok()?.path().join("bin"))));
    }
    // Followed to where the link leads: the other programs are there.
    let found = folders
        .into_iter()
        .find_map(|folder| folder.join("initdb").canonicalize().ok());
    found
        .and_then(|initdb| initdb.parent().map(Path::to_owned))
        .context("initdb was not found: install PostgreSQL or set DATABASE_URL")
}

struct Account {
    uid: u32,
    gid: u32,
}

/// PostgreSQL refuses to run as root: then it runs as `postgres`, or as `nobody`.
fn account() -> Option<Account> {
    let own = std::fs::metadata("/proc/self")
        .ok()
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m));
    if own != Some(0) {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let line = accounts
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2);
        Some(Account {
            uid: ids.next()?.parse().ok()?,
            gid: ids.next()?.parse().ok()?,
        })
    };
    find("postgres").or_else(|| find("nobody"))
}

fn unprivileged(program: &Path) -> Command {
    let Some(account) = account() else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", account.uid))
        .arg(format!("--regid={}", account.gid));
    command.arg("--clear-groups").arg(program);
    command
}
