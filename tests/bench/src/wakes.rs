//! From a create to the claim: idle agents watch their own objects, orders arrive at random times, and
//! each order rings one of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use http::Uri;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::bench::Names;
use crate::claims::{claim, complete};
use crate::client::{Connection, Target, uri};
use crate::creates::USER;
use crate::orders::{self, Api, OrderTemplate};
use crate::sample::Latency;

const AGENTS: usize = 8;

/// Orders arrive so many times a second, each independently of the others.
const ARRIVALS_PER_SECOND: f64 = 50.0;

/// The longest an order may stay unclaimed after the last one was created.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(10);

/// When each order's create was sent, and when its claim was answered.
#[derive(Clone, Debug, Default)]
struct Moments(Arc<Mutex<HashMap<String, Moment>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    sent: Option<Instant>,
    claimed: Option<Instant>,
}

impl Moments {
    fn note(&self, order: &str, change: impl FnOnce(&mut Moment)) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(moments.entry(order.to_owned()).or_default());
    }

    /// The times of all orders, once each has both moments.
    fn complete(&self) -> Option<Vec<Duration>> {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = |moment: &Moment| Some(moment.claimed?.duration_since(moment.sent?));
        moments.values().map(time).collect()
    }
}

/// Creates orders for a time and gives how long each waited for its claim.
pub(crate) async fn measure(target: &Target, names: &Names, time: Duration, seed: u64) -> Result<Latency> {
    let mut creator = target.connect(USER).await?;
    let moments = Moments::default();
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        let agent = Agent::register(&mut creator, target, format!("waiter-{number}"), &moments).await?;
        agents.spawn(agent.work());
    }
    let orders = create_at_random(&creator, names, &moments, time, seed);
    tokio::select! {
        created = orders => created?,
        Some(ended) = agents.join_next() => return ended?.and_then(|()| bail!("an agent stopped")),
    }
    let times = all_claimed(&moments).await?;
    agents.shutdown().await;
    for number in 0..AGENTS {
        creator
            .delete(&orders::agent_path(&format!("/waiter-{number}")))
            .await?;
    }
    Ok(Latency::of(times))
}

async fn create_at_random(
    creator: &Connection,
    names: &Names,
    moments: &Moments,
    time: Duration,
    seed: u64,
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let template = OrderTemplate::new(Api::Ours);
    let path = uri(&Api::Ours.orders_path())?;
    let started = Instant::now();
    let mut arrival = Duration::ZERO;
    let mut creates = JoinSet::new();
    while arrival < time {
        // Gaps between independent arrivals are distributed exponentially.
        let gap = -(1.0 - random.random::<f64>()).ln() / ARRIVALS_PER_SECOND;
        arrival += Duration::from_secs_f64(gap);
        tokio::time::sleep_until((started + arrival).into()).await;
        let name = names.next();
        let order = template.order(&name);
        creates.spawn(create(
            creator.clone(),
            path.clone(),
            order,
            name,
            moments.clone(),
        ));
    }
    while let Some(created) = creates.join_next().await {
        created??;
    }
    Ok(())
}

async fn create(
    mut connection: Connection,
    path: Uri,
    order: Bytes,
    name: String,
    moments: Moments,
) -> Result<()> {
    moments.note(&name, |moment| moment.sent = Some(Instant::now()));
    connection.create(&path, order).await?;
    Ok(())
}

async fn all_claimed(moments: &Moments) -> Result<Vec<Duration>> {
    let deadline = Instant::now() + CLAIM_TIMEOUT;
    loop {
        if let Some(times) = moments.complete() {
            return Ok(times);
        }
        if Instant::now() > deadline {
            bail!("orders were not claimed within {CLAIM_TIMEOUT:?}: no agent was woken for them");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An agent that does nothing but claim and complete.
struct Agent {
    name: String,
    connection: Connection,
    watch: Events,
    moments: Moments,
}

impl Agent {
    /// Registers it and begins to watch its object.
    async fn register(
        creator: &mut Connection,
        target: &Target,
        name: String,
        moments: &Moments,
    ) -> Result<Self> {
        creator
            .create(&uri(&orders::agent_path(""))?, orders::agent(&name))
            .await?;
        let mut connection = target.connect(&orders::identity(&name)).await?;
        let query = format!("?watch=true&fieldSelector=metadata.name%3D{name}");
        let response = connection.get(&orders::agent_path(&query)).await?;
        anyhow::ensure!(response.status().is_success(), "watch: {}", response.status());
        Ok(Self {
            name,
            connection,
            watch: Events::of(response.into_body()),
            moments: moments.clone(),
        })
    }

    /// Claims until there is nothing, then waits for its bell. Ends only with an error.
    async fn work(mut self) -> Result<()> {
        let mut answered = 0;
        loop {
            while self.claim_one().await? {}
            let mut wake = answered;
            while wake <= answered {
                wake = self.watch.next_wake().await?;
            }
            answered = wake;
        }
    }

    /// Whether there was an order.
    async fn claim_one(&mut self) -> Result<bool> {
        let claimed = claim(&mut self.connection, &self.name, 1).await?;
        let Some(order) = claimed.first() else {
            return Ok(false);
        };
        self.moments
            .note(&order.name, |moment| moment.claimed = Some(Instant::now()));
        complete(&mut self.connection, order).await?;
        Ok(true)
    }
}

/// The events of a watch, one JSON text a line.
struct Events {
    body: Incoming,
    read: BytesMut,
}

#[derive(Deserialize)]
struct Event {
    object: Watched,
}

#[derive(Deserialize)]
struct Watched {
    #[serde(default)]
    status: WatchedStatus,
}

#[derive(Default, Deserialize)]
struct WatchedStatus {
    #[serde(default)]
    wake: u64,
}

impl Events {
    fn of(body: Incoming) -> Self {
        Self {
            body,
            read: BytesMut::new(),
        }
    }

    /// `status.wake` of the next event.
    async fn next_wake(&mut self) -> Result<u64> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line = self.read.split_to(end + 1);
                let event: Event = serde_json::from_slice(&line).context("an event of the watch")?;
                return Ok(event.object.status.wake);
            }
            let frame = self.body.frame().await.context("the watch ended")??;
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}
