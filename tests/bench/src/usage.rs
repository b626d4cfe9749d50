//! Processor time and memory of processes, from /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel counts processor time for user space in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// The processes whose processor time is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    /// The server under test.
    pub(crate) server: u32,
    /// The postmaster; its sessions are its children.
    pub(crate) database: u32,
    /// kube-apiserver: it answers access reviews, and is the contestant that serves the CRD.
    pub(crate) kube_apiserver: u32,
    /// Its store.
    pub(crate) etcd: u32,
}

/// Processor time by process: since their start, between two looks, or of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// This program.
    pub(crate) client: Duration,
    pub(crate) server: Duration,
    pub(crate) database: Duration,
    pub(crate) kube_apiserver: Duration,
    pub(crate) etcd: Duration,
}

impl Processes {
    /// Their processor time up to now.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Ok(Cpu {
            client: own(std::process::id())?,
            server: own(self.server)?,
            database: with_children(self.database)?,
            kube_apiserver: own(self.kube_apiserver)?,
            etcd: own(self.etcd)?,
        })
    }
}

impl Cpu {
    /// What was used since an earlier look, for each of so many operations.
    pub(crate) fn each_since(&self, before: &Self, operations: u64) -> Self {
        let operations = u32::try_from(operations).unwrap_or(u32::MAX).max(1);
        let each = |now: Duration, before: Duration| now.saturating_sub(before) / operations;
        Self {
            client: each(self.client, before.client),
            server: each(self.server, before.server),
            database: each(self.database, before.database),
            kube_apiserver: each(self.kube_apiserver, before.kube_apiserver),
            etcd: each(self.etcd, before.etcd),
        }
    }
}

/// Resident memory of a process, in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kibibytes.context("no VmRSS")? / 1024.0)
}

/// The numbers of /proc/PID/stat that are used here.
struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

impl Stat {
    fn read(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} is gone"))?;
        // The command may hold blanks: count from its closing parenthesis.
        let (_command, rest) = text.rsplit_once(") ").context("an unexpected stat line")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number =
            |index: usize| -> Result<u64> { Ok(fields.get(index).context("a short stat line")?.parse()?) };
        Ok(Self {
            parent: u32::try_from(number(1)?)?,
            own: number(11)? + number(12)?,
            ended_children: number(13)? + number(14)?,
        })
    }
}

fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).unwrap_or(u32::MAX)
}

fn own(pid: u32) -> Result<Duration> {
    Ok(ticks(Stat::read(pid)?.own))
}

fn with_children(pid: u32) -> Result<Duration> {
    let parent = Stat::read(pid)?;
    let mut total = parent.own + parent.ended_children;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let child = name.to_str().and_then(|name| name.parse().ok());
        // A process that ends meanwhile is among the ended children next time.
        let stat = child.and_then(|child: u32| Stat::read(child).ok());
        total += stat.filter(|stat| stat.parent == pid).map_or(0, |stat| stat.own);
    }
    Ok(ticks(total))
}
