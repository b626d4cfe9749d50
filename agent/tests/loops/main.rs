//! The agent's loops against a hub and an engine in memory: claiming, renewing, cancelling, losing, draining.
//!
//! What the real hub and the real engines do with the same calls is the end-to-end suite's business.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod away;
mod claiming;
mod config;
mod ends;
mod engine;
mod hub;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brokkr_agent::agent::Agent;
use brokkr_agent::config::WorkOrdersConfig;
use brokkr_agent::handler::{Handlers, WorkHandler};
use brokkr_agent::options::CompletedConfig;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use engine::Engine;
use hub::{AGENT, HubDouble};

/// An agent process: a runtime of its own, so that killing it ends everything it had begun.
struct Process {
    stop: CancellationToken,
    ended: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

/// What a test may choose of a process.
struct Settings {
    drain_timeout: Duration,
    metrics_bind_address: Option<SocketAddr>,
    work_orders: WorkOrdersConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain_timeout: Duration::from_millis(200),
            metrics_bind_address: None,
            work_orders: WorkOrdersConfig {
                poll_interval_seconds: 3600,
                ..WorkOrdersConfig::default()
            },
        }
    }
}

impl Settings {
    fn completed(self, hub: &HubDouble, holder: &str) -> CompletedConfig {
        let mut hub = kube::Config::new(hub.address.parse().unwrap());
        hub.default_retry = false;
        CompletedConfig {
            name: AGENT.to_owned(),
            holder: holder.to_owned(),
            cluster: hub.clone(),
            hub,
            hub_id: None,
            runner_account: "brokkr-runner".to_owned(),
            drain_timeout: self.drain_timeout,
            metrics_bind_address: self.metrics_bind_address,
            work_orders: self.work_orders,
        }
    }
}

fn handlers(engine: &Engine) -> Handlers {
    Handlers::of([Arc::new(engine.clone()) as Arc<dyn WorkHandler>])
}

impl Process {
    /// Starts the agent with the given holder.
    fn start(hub: &HubDouble, engine: &Engine, holder: &str) -> Self {
        Self::with(hub, engine, holder, Settings::default())
    }

    fn draining_for(hub: &HubDouble, engine: &Engine, holder: &str, drain_timeout: Duration) -> Self {
        let settings = Settings {
            drain_timeout,
            ..Settings::default()
        };
        Self::with(hub, engine, holder, settings)
    }

    fn with(hub: &HubDouble, engine: &Engine, holder: &str, settings: Settings) -> Self {
        let config = settings.completed(hub, holder);
        let handlers = handlers(engine);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let ended = runtime.spawn(async move { Agent::new(config, handlers).unwrap().serve(stopped).await });
        Self {
            stop,
            ended: Some(ended),
            runtime: Some(runtime),
        }
    }

    /// SIGTERM.
    fn terminate(&self) {
        self.stop.cancel();
    }

    /// Waits for the end of the process.
    async fn ended(mut self) {
        self.ended.take().unwrap().await.unwrap();
    }
}

impl Drop for Process {
    /// SIGKILL, if it is still running.
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

#[tokio::test]
async fn a_rung_agent_claims_runs_and_reports() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    let process = Process::start(&hub, &engine, "h1");
    hub.until("the first claim came back empty", |state| {
        (!state.claims.is_empty()).then_some(())
    })
    .await;

    hub.submit("order-1", "build", "Idempotent");
    let child = hub
        .until("the name of the run", |state| {
            state.orders[0].progress.first().cloned()
        })
        .await;
    assert_eq!(child["childRef"]["name"], "wo-000000010000-a1");
    assert_eq!(child["phase"], "Running");
    engine.finish("order-1");

    hub.until_phase("order-1", "Succeeded").await;
    process.terminate();
    process.ended().await;
    assert_eq!(engine.started(), ["order-1"]);
}

#[tokio::test]
async fn the_agent_holds_no_more_than_its_concurrency_and_claims_as_places_are_freed() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.state().concurrency = Some(json!({"total": 2}));
    for name in ["order-1", "order-2", "order-3"] {
        hub.submit(name, "build", "Idempotent");
    }
    let process = Process::start(&hub, &engine, "h1");
    hub.until_phase("order-2", "Claimed").await;
    hub.until("both run", |_| (engine.started().len() == 2).then_some(()))
        .await;
    assert_eq!(hub.state().orders[2].phase, "Pending");

    engine.finish("order-1");

    hub.until_phase("order-3", "Claimed").await;
    process.terminate();
    process.ended().await;
    assert!(
        hub.state()
            .claims
            .iter()
            .all(|claim| claim["max"].as_i64() <= Some(2))
    );
}

#[tokio::test]
async fn a_cancel_stops_the_run_and_is_confirmed() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "NonIdempotent");
    let process = Process::start(&hub, &engine, "h1");
    hub.until_started().await;

    hub.change("order-1", |order| order.cancel = Some("superseded".to_owned()));

    hub.until_phase("order-1", "Cancelled").await;
    assert!(engine.was_cancelled("order-1"));
    assert_eq!(hub.state().completions[0]["childConfirmedEnded"], true);
    process.terminate();
    process.ended().await;
}

#[tokio::test]
async fn a_lost_claim_is_left_running_unless_running_twice_does_harm() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    hub.submit("order-2", "build", "NonIdempotent");
    let process = Process::start(&hub, &engine, "h1");
    for order in [0, 1] {
        hub.until("the run started", |state| {
            state.orders[order].progress.first().cloned()
        })
        .await;
    }

    for name in ["order-1", "order-2"] {
        hub.change(name, |order| {
            (order.fence, order.phase) = (0, "Requeued".to_owned());
        });
    }

    hub.until("order-2 is stopped", |_| {
        engine.was_cancelled("order-2").then_some(())
    })
    .await;
    let late = hub
        .until("a late report", |state| state.completions.first().cloned())
        .await;
    assert_eq!(late["outcome"], "Cancelled");
    assert!(!engine.was_cancelled("order-1"));
    process.terminate();
    process.ended().await;
}

#[tokio::test]
async fn the_next_process_takes_over_and_the_former_leaves_the_run_alone() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "NonIdempotent");
    let first = Process::start(&hub, &engine, "h1");
    hub.until_started().await;

    let second = Process::start(&hub, &engine, "h2");
    hub.until("taken over", |state| {
        (state.orders[0].holder == "h2").then_some(())
    })
    .await;
    first.terminate();
    first.ended().await;
    engine.finish("order-1");

    hub.until_phase("order-1", "Succeeded").await;
    assert_eq!(
        engine.started(),
        ["order-1"],
        "the run was adopted, not started again"
    );
    assert!(!engine.was_cancelled("order-1"));
    second.terminate();
    second.ended().await;
}

#[tokio::test]
async fn a_killed_process_loses_nothing() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let first = Process::start(&hub, &engine, "h1");
    hub.until("the run started", |_| {
        (!engine.started().is_empty()).then_some(())
    })
    .await;
    drop(first);
    engine.finish("order-1");

    let second = Process::start(&hub, &engine, "h2");

    hub.until_phase("order-1", "Succeeded").await;
    assert_eq!(engine.started(), ["order-1"]);
    second.terminate();
    second.ended().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_request_id() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    hub.state().lose_next_claim = true;
    let process = Process::start(&hub, &engine, "h1");

    hub.until_started().await;
    engine.finish("order-1");

    hub.until_phase("order-1", "Succeeded").await;
    let claims = hub
        .until("the claim came again", |state| {
            (state.claims.len() >= 2).then(|| state.claims.clone())
        })
        .await;
    process.terminate();
    process.ended().await;
    assert_eq!(claims[0]["requestID"], claims[1]["requestID"]);
    assert_eq!(engine.started(), ["order-1"]);
}

#[tokio::test]
async fn draining_waits_for_what_ends_in_time_and_claims_nothing_more() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let process = Process::draining_for(&hub, &engine, "h1", Duration::from_secs(20));
    hub.until_started().await;

    process.terminate();
    hub.submit("order-2", "build", "Idempotent");
    engine.finish("order-1");
    process.ended().await;

    assert_eq!(hub.state().orders[0].phase, "Succeeded");
    assert_eq!(hub.state().orders[1].phase, "Pending");
}

#[tokio::test]
async fn draining_leaves_what_does_not_end_for_the_next_process() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "NonIdempotent");
    let process = Process::start(&hub, &engine, "h1");
    hub.until_started().await;

    process.terminate();
    process.ended().await;

    assert_eq!(hub.state().orders[0].phase, "Claimed");
    assert!(!engine.was_cancelled("order-1") && hub.state().completions.is_empty());
}

#[tokio::test]
async fn an_order_of_a_type_the_agent_does_not_run_is_given_back() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "job", "Idempotent");
    let process = Process::start(&hub, &engine, "h1");

    let release = hub
        .until("a release", |state| state.releases.first().cloned())
        .await;

    assert!(
        release["spec"]["reason"]
            .as_str()
            .unwrap()
            .contains("does not run work type \"job\"")
    );
    assert_eq!(
        hub.state().claims[0]["workTypes"],
        json!(["build"]),
        "it had not asked for it"
    );
    process.terminate();
    process.ended().await;
}

#[tokio::test]
async fn a_claim_that_lapsed_and_came_back_goes_on_with_its_run() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let process = Process::start(&hub, &engine, "h1");
    hub.until_started().await;

    // The claim is lost and granted anew before the agent has learnt of the loss.
    hub.change("order-1", hub::Order::regrant_with_unfinished_child);
    hub.until("the run is reported again", |state| {
        state.orders[0].progress.get(1).cloned()
    })
    .await;
    engine.finish("order-1");

    hub.until_phase("order-1", "Succeeded").await;
    assert_eq!(engine.started(), ["order-1"]);
    assert!(!engine.was_cancelled("order-1"));
    process.terminate();
    process.ended().await;
}
