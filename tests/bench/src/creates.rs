//! Creates by so many clients at once: each has a connection of its own and sends the next when the last is
//! answered.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::bench::Names;
use crate::client::{Connection, Target, uri};
use crate::orders::{Api, OrderTemplate};
use crate::sample::{Latency, Sample};
use crate::usage::Processes;

/// The user that creates.
pub(crate) const USER: &str = "bench:creator";

/// Who creates where.
pub(crate) struct Creates<'b> {
    pub(crate) target: &'b Target,
    pub(crate) api: Api,
    pub(crate) names: &'b Names,
    pub(crate) processes: &'b Processes,
}

impl Creates<'_> {
    /// Creates for a time.
    pub(crate) async fn run_for(&self, clients: usize, time: Duration) -> Result<Sample> {
        let deadline = |started: Instant| started + time;
        self.run(clients, deadline, u64::MAX).await
    }

    /// Creates at least so many orders, as fast as it goes.
    pub(crate) async fn fill(&self, clients: usize, orders: u64) -> Result<()> {
        let each = orders.div_ceil(clients as u64);
        let never = |started: Instant| started + Duration::from_secs(3600);
        self.run(clients, never, each).await.map(drop)
    }

    async fn run(&self, clients: usize, deadline: impl Fn(Instant) -> Instant, each: u64) -> Result<Sample> {
        let mut connections = Vec::with_capacity(clients);
        for _ in 0..clients {
            connections.push(self.target.connect(USER).await?);
        }
        let before = self.processes.cpu()?;
        let started = Instant::now();
        let deadline = deadline(started);
        let mut running = JoinSet::new();
        for connection in connections {
            let names = self.names.clone();
            running.spawn(client(connection, self.api, names, deadline, each));
        }
        let mut times = Vec::new();
        while let Some(ended) = running.join_next().await {
            times.extend(ended??);
        }
        let elapsed = started.elapsed();
        let cpu = self.processes.cpu()?;
        Ok(Sample {
            operations: times.len() as u64,
            rate: times.len() as f64 / elapsed.as_secs_f64(),
            cpu: cpu.each_since(&before, times.len() as u64),
            latency: Latency::of(times),
        })
    }
}

async fn client(
    mut connection: Connection,
    api: Api,
    names: Names,
    deadline: Instant,
    each: u64,
) -> Result<Vec<Duration>> {
    let template = OrderTemplate::new(api);
    let path = uri(&api.orders_path())?;
    let mut times = Vec::new();
    for _ in 0..each {
        let order = template.order(&names.next());
        let sent = Instant::now();
        if sent >= deadline {
            break;
        }
        connection.create(&path, order).await?;
        times.push(sent.elapsed());
    }
    Ok(times)
}
