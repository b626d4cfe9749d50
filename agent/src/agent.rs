//! The agent as a process: takes over what an earlier process left, claims, renews, and drains.
//!
//! Four loops share one [`ClaimTable`](crate::claim::ClaimTable): the doorbell watches, this one claims, another renews,
//! a fourth reports on the agent itself. Each order runs in a task of its own. What a kubelet is told of it all is in
//! [`crate::health`].

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brokkr_apis::work::v1alpha1::{Fence, HeldClaim};
use telemetry::{MetricsRegistry, TraceContext, process};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};
use uuid::Uuid;

use crate::claim::Claim;
use crate::cluster::{Cluster, ClusterError};
use crate::doorbell::{self, OwnAgent};
use crate::handler::Handlers;
use crate::health::Health;
use crate::hub::{Hub, HubError};
use crate::options::CompletedConfig;
use crate::renewal::Renewer;
use crate::status;
use crate::status_listener::{StatusListener, Told};
use crate::worker::Worker;

/// The most orders the hub hands out in one call.
const CLAIM_MAX: usize = 100;

/// How soon a call that failed because the hub was away is made again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How long after the hub's first answer, which may come long after its start, a process takes the claims of another
/// one for those of an earlier one, which it takes over. What is granted to another holder later means that two
/// processes have the agent's name, and taking turns at taking over would help nobody.
const TAKEOVER_PERIOD: Duration = Duration::from_secs(60);

/// How long runs get to leave after they were told to.
const DETACH_PATIENCE: Duration = Duration::from_secs(5);

/// Why the agent could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The hub's connection cannot be used.
    #[error("the hub: {0}")]
    Hub(#[from] HubError),
    /// The own cluster's connection cannot be used.
    #[error("the cluster where the work runs: {0}")]
    Cluster(#[from] ClusterError),
    /// The port of health and metrics cannot be had.
    #[error("--metrics-bind-address {address}: {problem}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        problem: std::io::Error,
    },
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    worker: Arc<Worker>,
    health: Arc<Health>,
    own: watch::Sender<OwnAgent>,
    runs: TaskTracker,
    poll_interval: Duration,
    drain_timeout: Duration,
    status_listener: Option<StatusListener>,
}

impl Agent {
    /// Prepares both connections, and the port of health and metrics if there is one; nobody is called yet.
    ///
    /// # Errors
    ///
    /// If a connection cannot be used, or the port is taken.
    pub fn new(config: CompletedConfig, handlers: Handlers) -> Result<Self, SetupError> {
        let bind = |address| {
            StatusListener::bind(address).map_err(|problem| SetupError::Listen { address, problem })
        };
        let status_listener = config.metrics_bind_address.map(bind).transpose()?;
        let worker = Worker {
            hub: Hub::new(config.hub, &config.name, &config.holder)?,
            cluster: Cluster::new(config.cluster, config.runner_account)?,
            handlers,
            claims: crate::claim::ClaimTable::default(),
            config: config.work_orders,
            hub_id: config.hub_id,
        };
        Ok(Self {
            poll_interval: Duration::from_secs(worker.config.poll_interval_seconds),
            worker: Arc::new(worker),
            health: Arc::default(),
            own: watch::Sender::default(),
            runs: TaskTracker::new(),
            drain_timeout: config.drain_timeout,
            status_listener,
        })
    }

    /// Works until stopped, then drains.
    pub async fn serve(mut self, stop: CancellationToken) {
        let listener = self.status_listener.take();
        let told = self.told(&stop);
        let hub = &self.worker.hub;
        info!(
            agent = hub.agent(),
            holder = hub.holder(),
            enabled = self.worker.config.enabled,
            "agent started"
        );
        let end = CancellationToken::new();
        let work = async {
            self.claim_until(&stop).await;
            self.health.claiming.end();
            self.drain().await;
            end.cancel();
        };
        tokio::join!(
            work,
            doorbell::watch_own_agent(hub, &self.own, &end),
            status::report_until(&self.worker, self.own.subscribe(), &end),
            self.renew_until(&end),
            async {
                if let Some(listener) = listener {
                    listener.serve_until(told, &end).await;
                }
            },
        );
        info!("agent stopped");
    }

    /// What is told of this process: ready while it is registered and in touch, until it is to stop.
    fn told(&self, stop: &CancellationToken) -> Told {
        let mut registry = MetricsRegistry::default();
        process::register(&mut registry);
        let (worker, own) = (Arc::clone(&self.worker), self.own.subscribe());
        self.worker.hub.metrics().register(
            &mut registry,
            move || worker.claims.usage().1,
            move || own.borrow().places(),
        );
        let (own, stop) = (self.own.subscribe(), stop.clone());
        let (alive, ready) = (Arc::clone(&self.health), Arc::clone(&self.health));
        let ready = move || {
            if stop.is_cancelled() {
                return Err("draining");
            }
            let own = own.borrow();
            match own.registered {
                true => ready.in_touch(own.lease()),
                false => Err("the Agent object has not been seen on the hub yet"),
            }
        };
        Told::new(registry, move || alive.alive(), ready)
    }

    /// Claims whenever there is room and reason to: when rung (the first sight of the own object is a ring), when a
    /// place is freed while more was to be had, and at the poll interval.
    async fn claim_until(&self, stop: &CancellationToken) {
        if !self.worker.config.enabled {
            return stop.cancelled().await;
        }
        let mut own = self.own.subscribe();
        let mut answered = 0;
        // Not before the own object was seen, which rings and says how much may be held, unless it cannot be seen.
        let mut poll = tokio::time::interval_at(Instant::now() + self.poll_interval, self.poll_interval);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut more_to_have = false;
        loop {
            self.health.claiming.beat(self.poll_interval);
            let rung = own.wait_for(|own| own.rings > answered);
            tokio::select! {
                () = stop.cancelled() => return,
                rung = rung => answered = rung.map_or(answered, |own| own.rings),
                _ = poll.tick() => {}
                () = self.worker.claims.place_freed(), if more_to_have => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                left = self.claim_all() => more_to_have = left,
            }
        }
    }

    /// Claims until there is nothing left or no room; true if there may be more when a place is freed.
    async fn claim_all(&self) -> bool {
        loop {
            let (room, work_types) = {
                let own = self.own.borrow();
                if own.spec.unschedulable == Some(true) {
                    return false;
                }
                self.worker
                    .room(own.places(), |work_type| own.places_of(work_type))
            };
            let max = room.min(CLAIM_MAX);
            if max == 0 || work_types.is_empty() {
                return true;
            }
            let Some(claimed) = self.claim_once(max, &work_types).await else {
                return false;
            };
            // An answer may hold fewer orders than there are, because they are large.
            if claimed == 0 {
                // The hub rings when there is more. A type without a place was not asked for.
                return work_types.len() < self.worker.handlers.work_types().count();
            }
        }
    }

    /// One claim, repeated with the same id until it is answered, so that no order is claimed without anybody knowing.
    /// Returns how many orders were claimed; None if the hub refuses.
    async fn claim_once(
        &self,
        max: usize,
        work_types: &[brokkr_apis::work::v1alpha1::WorkType],
    ) -> Option<usize> {
        let request_id = Uuid::new_v4().to_string();
        let mut delay = RETRY_FIRST;
        loop {
            self.health.claiming.beat(delay);
            match self.worker.hub.claim(&request_id, max, work_types).await {
                Ok(items) => {
                    let claims: Vec<Claim> = items.into_iter().filter_map(Claim::from_item).collect();
                    let claimed = claims.len();
                    claims.into_iter().for_each(|claim| self.begin(claim));
                    return Some(claimed);
                }
                Err(error @ HubError::Refused { .. }) => {
                    warn!(%error, "the hub refuses claims of this agent");
                    return None;
                }
                Err(error) => warn!(%error, retry_in_s = delay.as_secs(), "cannot claim"),
            }
            sleep(delay).await;
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    /// Starts the task of a claimed order, unless it is running.
    fn begin(&self, claim: Claim) {
        let lease = self.own.borrow().lease();
        let Some(directive) = self.worker.claims.enter(&claim, lease) else {
            return;
        };
        let worker = Arc::clone(&self.worker);
        worker.hub.metrics().claimed(claim.work_type());
        // All processes that deal with the order can tell this id from its uid.
        let uid = Uuid::parse_str(&claim.uid).unwrap_or_else(|_| Uuid::new_v4());
        let trace = TraceContext::of_trace(uid.as_u128());
        let span = info_span!(
            "order",
            namespace = claim.namespace,
            name = claim.name,
            uid = claim.uid,
            attempt = claim.attempt,
            trace_id = %trace.trace_id()
        );
        self.runs
            .spawn(async move { trace.scope(worker.work(&claim, directive)).await }.instrument(span));
    }

    /// Renews until the end. The first renewal has no items and lists what an earlier process has left.
    async fn renew_until(&self, end: &CancellationToken) {
        let mut renewer = Renewer::new(&self.worker.hub, &self.worker.claims, &self.health);
        let mut own = self.own.subscribe();
        let mut answered = 0;
        let mut inherited = HashSet::new();
        loop {
            self.health.renewing.beat(renewer.rest());
            let rung = own.wait_for(|own| own.rings > answered);
            let scope = tokio::select! {
                () = end.cancelled() => return,
                scope = renewer.due() => scope,
                // It may have been for a cancel, which only a renewal tells.
                rung = rung => {
                    answered = rung.map_or(answered, |own| own.rings);
                    crate::renewal::Scope::All
                }
            };
            let lease = self.own.borrow().lease();
            let unknown = tokio::select! {
                () = end.cancelled() => return,
                unknown = renewer.renew(scope, lease) => unknown,
            };
            self.adopt(unknown, &mut inherited).await;
        }
    }

    /// Goes on with claims nobody here knows. `inherited` are those of earlier processes: what another holder had when
    /// this process began, however late it can be asked for. The fence tells them from what yet another process has
    /// got since, be it the same order.
    async fn adopt(&self, unknown: Vec<HeldClaim>, inherited: &mut HashSet<Fence>) {
        if self.begins() {
            inherited.extend(unknown.iter().map(|held| held.fence));
        }
        for held in unknown {
            self.health.renewing.beat(Duration::ZERO);
            let own = held.holder == self.worker.hub.holder();
            if !own && !inherited.contains(&held.fence) {
                warn!(
                    order = format!("{}/{}", held.namespace, held.name),
                    holder = held.holder,
                    "another process holds this claim as the same agent; run one process for one agent"
                );
                continue;
            }
            if let Some(claim) = self.worker.adopt(&held, !own).await {
                info!(
                    order = format!("{}/{}", held.namespace, held.name),
                    "claim taken over"
                );
                self.begin(claim);
            }
        }
    }

    /// Whether the hub has answered for the first time a moment ago.
    fn begins(&self) -> bool {
        let first_answer = self.health.first_renewed();
        first_answer.is_some_and(|first| first.elapsed() < TAKEOVER_PERIOD)
    }

    /// Lets orders end and be reported for a while, then leaves the rest running for the next process.
    async fn drain(&self) {
        self.runs.close();
        let (held, _) = self.worker.claims.usage();
        info!(held, timeout_s = self.drain_timeout.as_secs(), "draining");
        if timeout(self.drain_timeout, self.runs.wait()).await.is_err() {
            let (left, _) = self.worker.claims.usage();
            info!(left, "leaving orders to the next process; their runs go on");
            self.worker.claims.detach_all();
            if timeout(DETACH_PATIENCE, self.runs.wait()).await.is_err() {
                warn!("some orders were in the middle of a call");
            }
        }
    }
}
