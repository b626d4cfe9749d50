//! The doorbell: the agent watches its own object on the hub, and answers when it is rung.
//!
//! A ring is any change of `status.wake`, a change of the spec (more places, unschedulable lifted), or a new start of
//! the watch, behind which a ring may have been missed. Polling covers what is left.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::{Agent, AgentSpec};
use brokkr_apis::work::{defaults, v1alpha1::AgentStatus};
use futures::StreamExt;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::runtime::{WatchStreamExt, watcher as watch_agents};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::hub::Hub;

/// What the agent knows of its own object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnAgent {
    /// How often it was rung.
    pub rings: u64,
    /// Whether the object exists.
    pub registered: bool,
    /// Its generation.
    pub generation: Option<i64>,
    /// Its spec; the defaults until it was seen.
    pub spec: AgentSpec,
    /// Its status.
    pub status: AgentStatus,
}

impl OwnAgent {
    /// How long a claim lives without a renewal.
    pub fn lease(&self) -> Duration {
        let seconds = self.spec.lease_seconds.unwrap_or(defaults::LEASE_SECONDS);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default().clamp(15, 600))
    }

    /// How many orders may be held.
    pub fn places(&self) -> usize {
        let total = self
            .spec
            .concurrency
            .as_ref()
            .and_then(|concurrency| concurrency.total);
        usize::try_from(total.unwrap_or(defaults::CONCURRENCY_TOTAL)).unwrap_or_default()
    }

    /// How many orders of one type may be held, if that has a limit of its own.
    pub fn places_of(&self, work_type: &str) -> Option<usize> {
        let limit = self.spec.concurrency.as_ref()?.by_type.get(work_type)?;
        usize::try_from(*limit).ok()
    }

    /// Takes over what was seen; whether that is a ring.
    fn see(&mut self, agent: Agent, restarted: bool) -> bool {
        let status = agent.status.unwrap_or_default();
        let rung =
            restarted || !self.registered || status.wake != self.status.wake || agent.spec != self.spec;
        *self = Self {
            rings: self.rings + u64::from(rung),
            registered: true,
            generation: agent.metadata.generation,
            spec: agent.spec,
            status,
        };
        rung
    }
}

/// How a broken watch is started again. Faster than the client's own rule, which may leave the bell unheard for half a
/// minute after the hub is back.
pub(crate) fn reconnect() -> ExponentialBackoff {
    backon::ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter()
        .into()
}

/// Watches the agent's own object until stopped, and publishes what it sees.
pub async fn watch_own_agent(hub: &Hub, own: &watch::Sender<OwnAgent>, stop: &CancellationToken) {
    let only_own = watcher::Config::default().fields(&format!("metadata.name={}", hub.agent()));
    let events = watch_agents(hub.agents(), only_own).backoff(reconnect());
    let mut events = std::pin::pin!(events);
    let mut seen = false;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Ok(Event::Init)) => seen = false,
            Some(Ok(Event::InitApply(agent))) => {
                seen = true;
                publish(own, agent, true);
            }
            Some(Ok(Event::Apply(agent))) => publish(own, agent, false),
            Some(Ok(Event::InitDone)) if seen => {}
            Some(Ok(Event::InitDone | Event::Delete(_))) => unregistered(hub, own),
            Some(Err(error)) => warn!(%error, "cannot watch the agent's own object; polling meanwhile"),
        }
    }
}

fn publish(own: &watch::Sender<OwnAgent>, agent: Agent, restarted: bool) {
    own.send_if_modified(|own| {
        let rung = own.see(agent, restarted);
        debug!(rung, wake = own.status.wake, "own object seen");
        true
    });
}

fn unregistered(hub: &Hub, own: &watch::Sender<OwnAgent>) {
    info!(
        agent = hub.agent(),
        "the hub has no Agent of this name; a fleet administrator creates it, with the user this process calls the \
         hub with as spec.identity"
    );
    own.send_modify(|own| own.registered = false);
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::AgentConcurrency;

    use super::*;

    fn agent(wake: i64, total: Option<i64>) -> Agent {
        Agent {
            spec: AgentSpec {
                concurrency: total.map(|total| AgentConcurrency {
                    total: Some(total),
                    ..AgentConcurrency::default()
                }),
                ..AgentSpec::default()
            },
            status: Some(AgentStatus {
                wake,
                version: Some("1".to_owned()),
                ..AgentStatus::default()
            }),
            ..Agent::default()
        }
    }

    #[test]
    fn wake_spec_and_reconnects_ring_and_nothing_else_does() {
        let mut own = OwnAgent::default();
        assert!(own.see(agent(0, None), true), "the first sight");
        assert!(!own.see(agent(0, None), false), "the same again");
        assert!(own.see(agent(1, None), false), "a raised wake");
        assert!(own.see(agent(1, Some(7)), false), "more places");
        assert!(own.see(agent(1, Some(7)), true), "a reconnect");
        let mut reported = agent(1, Some(7));
        reported.status.as_mut().unwrap().version = Some("2".to_owned());
        assert!(!own.see(reported, false), "the agent's own report");
        assert_eq!((own.rings, own.places()), (4, 7));
    }
}
