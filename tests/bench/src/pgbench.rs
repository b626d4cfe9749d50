//! The probe: pgbench with statements of our own on a database beside the server's, in the same PostgreSQL.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::options::Options;
use crate::sample::{Latency, Sample};
use crate::usage::Processes;

const DATABASE: &str = "probe";

/// The probe's database and how to reach it.
pub(crate) struct Pgbench<'o> {
    options: &'o Options,
}

impl<'o> Pgbench<'o> {
    /// Makes the probe's database anew.
    pub(crate) async fn prepare(options: &'o Options) -> Result<Self> {
        let probe = Self { options };
        let drop = format!("drop database if exists {DATABASE}");
        let create = format!("create database {DATABASE}");
        probe.psql("postgres", &["-c", &drop, "-c", &create]).await?;
        probe.psql(DATABASE, &["-f", &probe.script("schema.sql")]).await?;
        Ok(probe)
    }

    /// Creates by so many connections.
    pub(crate) async fn creates(&self, connections: usize, processes: &Processes) -> Result<Sample> {
        self.run("create.sql", connections, 1, processes).await
    }

    /// Claims and completions of so many orders at once.
    pub(crate) async fn claims(
        &self,
        connections: usize,
        batch: usize,
        processes: &Processes,
    ) -> Result<Sample> {
        // More than anybody claims in the time: empty claims would count like full ones.
        let per_second = if batch == 1 { 15_000.0 } else { 40_000.0 };
        let orders = format!("orders={}", (per_second * self.options.seconds.ceil()) as u64);
        self.psql(DATABASE, &["-v", &orders, "-f", &self.script("fill.sql")])
            .await?;
        let sample = self.run("claim.sql", connections, batch, processes).await?;
        let left = self
            .psql(
                DATABASE,
                &["-c", "select count(*) from orders where status = 'PENDING'"],
            )
            .await?;
        ensure!(left.trim() != "0", "the probe ran out of orders");
        Ok(sample)
    }

    async fn run(
        &self,
        script: &str,
        connections: usize,
        batch: usize,
        processes: &Processes,
    ) -> Result<Sample> {
        let before = processes.cpu()?;
        let seconds = (self.options.seconds.ceil() as u64).to_string();
        let threads = connections.min(2).to_string();
        let connections = connections.to_string();
        let batch_flag = format!("batch={batch}");
        let script = self.script(script);
        let flags = [
            "--no-vacuum",
            "--protocol=prepared",
            "--time",
            &seconds,
            "--client",
            &connections,
            "--jobs",
            &threads,
            "--define",
            &batch_flag,
            "--file",
            &script,
            DATABASE,
        ];
        let text = self.program("pgbench", &flags).await?;
        let transactions = number(&text, "number of transactions actually processed: ")?;
        let operations = transactions as u64 * batch as u64;
        let mean = number(&text, "latency average = ")?;
        Ok(Sample {
            operations,
            rate: number(&text, "tps = ")? * batch as f64,
            latency: Latency {
                mean,
                ..Latency::default()
            },
            cpu: processes.cpu()?.each_since(&before, operations),
        })
    }

    fn script(&self, name: &str) -> String {
        self.options.probe.join(name).display().to_string()
    }

    async fn psql(&self, database: &str, arguments: &[&str]) -> Result<String> {
        let common = [
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--set=ON_ERROR_STOP=1",
            "--dbname",
            database,
        ];
        self.program("psql", &[&common, arguments].concat()).await
    }

    async fn program(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.options.postgres_bin.join(name))
            .arg("--host")
            .arg(&self.options.postgres_socket)
            .args(["--username", "brokkr"])
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("{name} could not be started"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{name}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }
}

/// The number after a label of pgbench's report.
fn number(text: &str, label: &str) -> Result<f64> {
    let (_before, rest) = text
        .split_once(label)
        .with_context(|| format!("pgbench reports no {label:?}"))?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    Ok(rest[..end].parse()?)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_of_the_report_are_read() {
        let text = "number of transactions actually processed: 903\nlatency average = 1.107 ms\ntps = 903.4 (without)";
        assert_eq!(number(text, "tps = ").unwrap(), 903.4);
        assert_eq!(number(text, "latency average = ").unwrap(), 1.107);
        assert!(number(text, "absent ").is_err());
    }
}
