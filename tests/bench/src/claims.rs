//! Claims and completions per second: every worker is an agent with a connection of its own that claims what is
//! next and completes it at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::{Connection, Target, uri};
use crate::orders;
use crate::sample::{Latency, Sample};
use crate::usage::Processes;

/// How agents ask for work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Agents at work.
    pub(crate) workers: usize,
    /// Orders of one claim, and of one completion.
    pub(crate) batch: usize,
}

impl Form {
    /// Orders that are claimed before the clock runs.
    pub(crate) const fn warm_up_orders(self) -> u64 {
        (self.workers * self.batch) as u64
    }
}

/// One order at a time.
pub(crate) const SINGLE: Form = Form {
    workers: 16,
    batch: 1,
};

/// Fifty at a time.
pub(crate) const BATCHED: Form = Form {
    workers: 4,
    batch: 50,
};

/// The answer to a claim, as far as it is used.
#[derive(Deserialize)]
pub(crate) struct ClaimAnswer {
    status: ClaimStatus,
}

#[derive(Deserialize)]
struct ClaimStatus {
    #[serde(default)]
    items: Vec<Claimed>,
}

/// One claimed order.
#[derive(Deserialize)]
pub(crate) struct Claimed {
    pub(crate) name: String,
    pub(crate) code: u16,
    #[serde(default)]
    message: String,
    fence: Option<Value>,
    order: Option<ClaimedOrder>,
}

#[derive(Deserialize)]
struct ClaimedOrder {
    metadata: ClaimedMetadata,
}

#[derive(Deserialize)]
struct ClaimedMetadata {
    uid: String,
}

impl Claimed {
    /// What identifies the claim in later calls.
    pub(crate) fn handle(&self) -> Result<(&str, &Value)> {
        ensure!(
            self.code == 201,
            "claim of {}: {} {}",
            self.name,
            self.code,
            self.message
        );
        let order = self.order.as_ref().context("a claim without its order")?;
        let fence = self.fence.as_ref().context("a claim without a fence")?;
        Ok((&order.metadata.uid, fence))
    }
}

/// The name of the agent of a worker.
pub(crate) fn agent(worker: usize) -> String {
    format!("claimer-{worker}")
}

/// Claims and completes for a time, each worker at most so many times. A queue that runs empty is an error: the
/// figure would be of that.
pub(crate) async fn measure(
    target: &Target,
    form: Form,
    time: Duration,
    cycles_max: usize,
    processes: &Processes,
) -> Result<Sample> {
    let mut workers = Vec::new();
    for number in 0..form.workers {
        let mut worker = Worker::connect(target, agent(number), form).await?;
        // What kube-apiserver allows is asked before the clock runs, and is remembered.
        worker.cycle().await?;
        workers.push(worker);
    }
    let before = processes.cpu()?;
    let started = Instant::now();
    let mut running = JoinSet::new();
    for worker in workers {
        running.spawn(worker.run(started + time, cycles_max));
    }
    let (mut done, mut times) = (0, Vec::new());
    while let Some(ended) = running.join_next().await {
        let (orders, cycles) = ended??;
        done += orders;
        times.extend(cycles);
    }
    let elapsed = started.elapsed();
    Ok(Sample {
        operations: done,
        rate: done as f64 / elapsed.as_secs_f64(),
        cpu: processes.cpu()?.each_since(&before, done),
        latency: Latency::of(times),
    })
}

struct Worker {
    agent: String,
    connection: Connection,
    form: Form,
}

impl Worker {
    async fn connect(target: &Target, agent: String, form: Form) -> Result<Self> {
        let connection = target.connect(&orders::identity(&agent)).await?;
        Ok(Self {
            agent,
            connection,
            form,
        })
    }

    /// How many orders were done, and how long each claim with its completion took.
    async fn run(mut self, deadline: Instant, cycles_max: usize) -> Result<(u64, Vec<Duration>)> {
        let mut times = Vec::new();
        while times.len() < cycles_max && Instant::now() < deadline {
            let asked = Instant::now();
            self.cycle().await?;
            times.push(asked.elapsed());
        }
        Ok(((times.len() * self.form.batch) as u64, times))
    }

    /// Claims and completes one batch.
    async fn cycle(&mut self) -> Result<()> {
        let claimed = claim(&mut self.connection, &self.agent, self.form.batch).await?;
        ensure!(claimed.len() == self.form.batch, "the queue ran empty");
        self.complete(&claimed).await
    }

    async fn complete(&mut self, claimed: &[Claimed]) -> Result<()> {
        if let [only] = claimed {
            return complete(&mut self.connection, only).await;
        }
        let handles: Vec<_> = claimed
            .iter()
            .map(|order| {
                order
                    .handle()
                    .map(|(uid, fence)| (order.name.as_str(), uid, fence))
            })
            .collect::<Result<_>>()?;
        let body = orders::completions(&self.agent, handles.into_iter());
        let path = orders::agent_path(&format!("/{}/complete", self.agent));
        let answer = self.connection.create(&uri(&path)?, body).await?;
        every_item_succeeded(&answer)
    }
}

/// Claims up to `max` orders.
pub(crate) async fn claim(connection: &mut Connection, agent: &str, max: usize) -> Result<Vec<Claimed>> {
    let path = orders::agent_path(&format!("/{agent}/claim"));
    let request = format!("{:032x}", rand::random::<u128>());
    let body = orders::claim(agent, &request, max);
    let answer = connection.create(&uri(&path)?, body).await?;
    let answer: ClaimAnswer = serde_json::from_slice(&answer).context("the answer to a claim")?;
    Ok(answer.status.items)
}

/// Completes one order.
pub(crate) async fn complete(connection: &mut Connection, claimed: &Claimed) -> Result<()> {
    let (uid, fence) = claimed.handle()?;
    let path = orders::order_path(&claimed.name, "complete");
    connection
        .create(&uri(&path)?, orders::completion(uid, fence))
        .await
        .map(drop)
}

fn every_item_succeeded(answer: &Bytes) -> Result<()> {
    #[derive(Deserialize)]
    struct Answer {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        code: u16,
    }
    let answer: Answer = serde_json::from_slice(answer).context("the answer to completions")?;
    let refused = answer.status.items.iter().filter(|item| item.code >= 300).count();
    ensure!(refused == 0, "{refused} completions were refused");
    Ok(())
}
