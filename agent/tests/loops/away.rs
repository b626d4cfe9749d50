//! A hub that is away, or has no Agent object for a while: work goes on and its report waits.

use std::time::Duration;

use brokkr_agent::agent::Agent;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::hub::{HubDouble, State};
use crate::{Process, Settings, handlers};

#[tokio::test]
async fn work_goes_on_while_the_hub_is_away_and_is_reported_when_it_is_back() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let process = Process::start(&hub, &engine, "h1");
    hub.until_started().await;

    hub.state().down = true;
    engine.finish("order-1");
    until_report_is_turned_away(&hub).await;
    assert!(hub.state().completions.is_empty());
    hub.state().down = false;

    hub.until_phase("order-1", "Succeeded").await;
    process.terminate();
    process.ended().await;
}

#[tokio::test]
async fn a_report_outlasts_an_agent_object_that_is_being_replaced() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let process = Process::start(&hub, &engine, "h1");
    hub.until_started().await;

    hub.state().unregistered = true;
    engine.finish("order-1");
    until_report_is_turned_away(&hub).await;
    hub.state().unregistered = false;

    hub.until_phase("order-1", "Succeeded").await;
    process.terminate();
    process.ended().await;
}

#[tokio::test]
async fn claims_are_taken_over_however_late_the_hub_is_back() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    leave_a_claim(&hub, &engine).await;

    hub.state().down = true;
    let second = InTest::start(&hub, &engine);
    until_turned_away(&hub, "/renew").await;
    ten_minutes_pass().await;
    hub.state().down = false;

    second.takes_over_and_ends(&hub, &engine).await;
}

#[tokio::test]
async fn claims_are_taken_over_however_late_the_hub_is_back_after_it_has_listed_them() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    leave_a_claim(&hub, &engine).await;

    hub.state().down_after_renewal = true;
    let second = InTest::start(&hub, &engine);
    until_turned_away(&hub, "/order-1/claim").await;
    ten_minutes_pass().await;
    hub.state().down = false;

    second.takes_over_and_ends(&hub, &engine).await;
}

#[tokio::test]
async fn what_a_third_process_has_taken_over_meanwhile_is_left_to_it() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    leave_a_claim(&hub, &engine).await;

    hub.state().down_after_renewal = true;
    let second = InTest::start(&hub, &engine);
    until_turned_away(&hub, "/order-1/claim").await;
    hub.change("order-1", |order| order.grant(order.fence + 1000, "h3"));
    ten_minutes_pass().await;
    hub.state().down = false;
    let calls = |state: &State| {
        state
            .answered
            .iter()
            .filter(|path| path.ends_with("/renew"))
            .count()
    };
    let before = calls(&hub.state());
    hub.until("it has been listed, and passed over", |state| {
        (calls(state) >= before + 2).then_some(())
    })
    .await;

    assert_eq!(hub.state().orders[0].holder, "h3");
    second.end().await;
}

/// A first process holds an order and is killed.
async fn leave_a_claim(hub: &HubDouble, engine: &Engine) {
    hub.submit("order-1", "build", "NonIdempotent");
    let first = Process::start(hub, engine, "h1");
    hub.until_started().await;
    drop(first);
}

/// A second process, in the test's own runtime, whose clock can be put forward.
struct InTest {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl InTest {
    fn start(hub: &HubDouble, engine: &Engine) -> Self {
        let config = Settings::default().completed(hub, "h2");
        let second = Agent::new(config, handlers(engine)).unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(second.serve(stop.clone()));
        Self { stop, serving }
    }

    async fn takes_over_and_ends(self, hub: &HubDouble, engine: &Engine) {
        hub.until("taken over", |state| {
            (state.orders[0].holder == "h2").then_some(())
        })
        .await;
        engine.finish("order-1");
        hub.until_phase("order-1", "Succeeded").await;
        assert_eq!(engine.started(), ["order-1"]);
        self.end().await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

async fn ten_minutes_pass() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(600)).await;
    tokio::time::resume();
}

async fn until_report_is_turned_away(hub: &HubDouble) {
    until_turned_away(hub, "/complete").await;
}

async fn until_turned_away(hub: &HubDouble, call: &str) {
    let is_such = |path: &String| path.ends_with(call);
    hub.until("the call is turned away", |state| {
        state.turned_away.iter().any(is_such).then_some(())
    })
    .await;
}
