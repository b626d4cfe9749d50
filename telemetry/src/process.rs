//! What the operating system says of this process, with the names every Prometheus client uses.
//!
//! Read from `/proc`; where there is none, the metrics are there without samples.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{MetricsRegistry, Reading, Readings};

/// `USER_HZ`: the unit of processor time in `/proc/self/stat`, the same on every architecture of Linux
/// that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the metrics of the process. Called at its start, which it takes for now.
pub fn register(registry: &mut MetricsRegistry) {
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    registry.register(
        "process_start_time_seconds",
        &[],
        "When the process started, in seconds since 1970",
        Readings::gauge(move || vec![Reading::plain(started)]),
    );
    registry.register(
        "process_cpu_seconds_total",
        &[],
        "Processor time used, by user and system together",
        Readings::counter(|| reading(cpu_seconds())),
    );
    registry.register(
        "process_resident_memory_bytes",
        &[],
        "Memory in use that is not swapped out",
        Readings::gauge(|| reading(status_bytes("VmRSS:"))),
    );
    registry.register(
        "process_virtual_memory_bytes",
        &[],
        "Address space in use",
        Readings::gauge(|| reading(status_bytes("VmSize:"))),
    );
    registry.register(
        "process_open_fds",
        &[],
        "Open file descriptors",
        Readings::gauge(|| reading(open_files())),
    );
    registry.register(
        "process_max_fds",
        &[],
        "The most file descriptors that may be open",
        Readings::gauge(|| reading(open_files_max())),
    );
}

fn reading(value: Option<f64>) -> Vec<Reading> {
    value.map(Reading::plain).into_iter().collect()
}

/// The name of the program, in parentheses, may hold spaces: fields are counted behind it.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// A field of `/proc/self/status`, which is in KiB.
fn status_bytes(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Less the one that counting them opens.
fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}

fn open_files_max() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn process_is_measured() {
        let kept: Vec<u64> = (0..2_000_000).collect();
        assert!(status_bytes("VmRSS:").unwrap() > 8.0 * kept.len() as f64);
        assert!(status_bytes("VmSize:").unwrap() > status_bytes("VmRSS:").unwrap());
        assert!(open_files().unwrap() >= 3.0 && open_files().unwrap() <= open_files_max().unwrap());
        while cpu_seconds().unwrap() == 0.0 {
            std::hint::black_box((0..1_000_000_u64).sum::<u64>());
        }
        let mut registry = MetricsRegistry::default();
        register(&mut registry);
        let text = registry.exposition();
        for described in registry.described() {
            assert!(text.contains(&format!("\n{} ", described.name)), "{text}");
        }
    }
}
