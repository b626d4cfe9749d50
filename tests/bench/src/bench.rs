//! The parts in their order, with the contestants in turns.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use http::Uri;
use serde::Deserialize;

use crate::claims::{self, Form};
use crate::client::{Target, uri};
use crate::creates::{Creates, USER};
use crate::options::{Options, Part};
use crate::orders::{self, Api};
use crate::pgbench::Pgbench;
use crate::progress;
use crate::report::{ClaimResults, CreateResults, Report};
use crate::server::Server;
use crate::starts;
use crate::usage::Processes;
use crate::wakes;

/// Orders that are there before claims are measured, per second of measuring: more than anybody claims.
const SINGLE_ORDERS_PER_SECOND: f64 = 2_500.0;
const BATCHED_ORDERS_PER_SECOND: f64 = 8_000.0;

/// What a worker claims to show that it works, so that few orders are needed for it.
const SMOKE_CYCLES: usize = 2;

/// Names that are never used twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<AtomicU64>);

impl Names {
    pub(crate) fn next(&self) -> String {
        orders::order_name(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What is used of the control plane's state.json.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ControlPlane {
    #[serde(rename = "serverURL")]
    server_url: String,
    ca_file: PathBuf,
    front_proxy_cert_file: PathBuf,
    front_proxy_key_file: PathBuf,
    pids: Pids,
}

#[derive(Debug, Deserialize)]
struct Pids {
    #[serde(rename = "kube-apiserver")]
    kube_apiserver: u32,
    etcd: u32,
}

/// Everything that is needed to measure.
pub(crate) struct Bench<'o> {
    options: &'o Options,
    ours: Target,
    kube_apiserver: Target,
    pids: Pids,
    names: Names,
    /// Orders of ours that nobody has claimed yet.
    pending: u64,
}

impl<'o> Bench<'o> {
    pub(crate) fn new(options: &'o Options) -> Result<Self> {
        let text = fs::read(&options.control_plane).context("--control-plane")?;
        let plane: ControlPlane = serde_json::from_slice(&text).context("--control-plane")?;
        let target = |address: SocketAddr, ca: &PathBuf| {
            Target::new(
                address,
                ca,
                &plane.front_proxy_cert_file,
                &plane.front_proxy_key_file,
            )
        };
        Ok(Self {
            options,
            ours: target(options.server_address, &options.server_ca)?,
            kube_apiserver: target(address(&plane.server_url)?, &plane.ca_file)?,
            pids: plane.pids,
            names: Names::default(),
            pending: 0,
        })
    }

    pub(crate) async fn run(&mut self) -> Result<Report> {
        let options = self.options;
        let mut report = Report::default();
        // The first start migrates the database, which is no part of any figure.
        Server::start(options, &self.ours).await?.end().await?;
        if self.wants(Part::Starts) {
            report.starts = starts::measure(options, &self.ours).await?;
        }
        let server = Server::start(options, &self.ours).await?;
        let processes = Processes {
            server: server.pid()?,
            database: options.postmaster,
            kube_apiserver: self.pids.kube_apiserver,
            etcd: self.pids.etcd,
        };
        let probe = Pgbench::prepare(options).await?;
        if self.wants(Part::Wakes) {
            self.wakes(&mut report).await?;
        }
        if self.wants(Part::Creates) || self.wants(Part::Claims) {
            self.register_agents().await?;
        }
        if self.wants(Part::Creates) {
            report.creates = self.creates(&probe, &processes).await?;
        }
        if self.wants(Part::Claims) {
            for form in [claims::SINGLE, claims::BATCHED] {
                report.claims.push(self.claims(form, &probe, &processes).await?);
            }
        }
        report.memory_after = server.memory()?;
        server.end().await?;
        Ok(report)
    }

    fn wants(&self, part: Part) -> bool {
        self.options.parts.contains(&part)
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    /// With an empty queue, so before the creates.
    async fn wakes(&self, report: &mut Report) -> Result<()> {
        for repeat in 0..self.options.repeats {
            let seed = self.options.seed + u64::from(repeat);
            let latency = wakes::measure(&self.ours, &self.names, self.time() * 2, seed).await?;
            progress(&format!(
                "create to claim: p50 {:.2} ms, p99 {:.2} ms",
                latency.p50, latency.p99
            ));
            report.wakes.push(latency);
        }
        Ok(())
    }

    /// The agents of the claims; they are there for the creates too, busy and so not rung.
    async fn register_agents(&self) -> Result<()> {
        let mut creator = self.ours.connect(USER).await?;
        for worker in 0..claims::SINGLE.workers {
            let agent = orders::agent(&claims::agent(worker));
            creator.create(&agents()?, agent).await?;
        }
        Ok(())
    }

    async fn creates(&mut self, probe: &Pgbench<'_>, processes: &Processes) -> Result<Vec<CreateResults>> {
        let options = self.options;
        let mut all: Vec<_> = options
            .clients
            .iter()
            .map(|&clients| CreateResults::of(clients))
            .collect();
        for api in [Api::Ours, Api::Custom] {
            self.creators(api, processes)
                .fill(16, if options.smoke { 16 } else { 500 })
                .await?;
        }
        for repeat in 0..options.repeats {
            for results in &mut all {
                for contestant in 0..3 {
                    self.create_in_turn((repeat + contestant) % 3, results, probe, processes)
                        .await?;
                }
                progress(&results.last_repeat());
            }
        }
        Ok(all)
    }

    /// The probe, ours or the custom resource.
    async fn create_in_turn(
        &mut self,
        contestant: u32,
        results: &mut CreateResults,
        probe: &Pgbench<'_>,
        processes: &Processes,
    ) -> Result<()> {
        let (clients, time) = (results.clients, self.time());
        match contestant {
            0 => results.pgbench.push(probe.creates(clients, processes).await?),
            1 => {
                let ours = self.creators(Api::Ours, processes).run_for(clients, time).await?;
                self.pending += ours.operations;
                results.ours.push(ours);
            }
            _ => {
                let custom = self
                    .creators(Api::Custom, processes)
                    .run_for(clients, time)
                    .await?;
                results.custom.push(custom);
            }
        }
        Ok(())
    }

    fn creators<'b>(&'b self, api: Api, processes: &'b Processes) -> Creates<'b> {
        Creates {
            target: match api {
                Api::Ours => &self.ours,
                Api::Custom => &self.kube_apiserver,
            },
            api,
            names: &self.names,
            processes,
        }
    }

    async fn claims(
        &mut self,
        form: Form,
        probe: &Pgbench<'_>,
        processes: &Processes,
    ) -> Result<ClaimResults> {
        let mut results = ClaimResults::of(form);
        for _ in 0..self.options.repeats {
            let pgbench = probe.claims(form.workers, form.batch, processes).await?;
            results.pgbench.push(pgbench);
            self.fill(form, processes).await?;
            let ours = claims::measure(&self.ours, form, self.time(), self.cycles_max(), processes).await?;
            self.pending = self
                .pending
                .saturating_sub(ours.operations + form.warm_up_orders());
            results.ours.push(ours);
            progress(&results.last_repeat());
        }
        Ok(results)
    }

    const fn cycles_max(&self) -> usize {
        if self.options.smoke {
            SMOKE_CYCLES
        } else {
            usize::MAX
        }
    }

    /// Creates what is missing, so that the queue does not run empty.
    async fn fill(&mut self, form: Form, processes: &Processes) -> Result<()> {
        let per_second = if form.batch == 1 {
            SINGLE_ORDERS_PER_SECOND
        } else {
            BATCHED_ORDERS_PER_SECOND
        };
        let wanted = match self.options.smoke {
            true => form.warm_up_orders() * (1 + SMOKE_CYCLES as u64),
            false => (per_second * self.options.seconds) as u64,
        };
        let missing = wanted.saturating_sub(self.pending);
        self.creators(Api::Ours, processes).fill(64, missing).await?;
        self.pending += missing;
        Ok(())
    }
}

fn agents() -> Result<Uri> {
    uri(&orders::agent_path(""))
}

fn address(url: &str) -> Result<SocketAddr> {
    let authority = url
        .strip_prefix("https://")
        .context("serverURL is no https address")?;
    authority.parse().context("serverURL names no address")
}
