//! A hub that is away, or has no Agent object for a while: work goes on and its report waits.

use std::time::Duration;

use brokkr_agent::agent::Agent;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::hub::HubDouble;
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

/// The second process runs in the test's own runtime, whose clock can be put forward.
#[tokio::test]
async fn claims_are_taken_over_however_late_the_hub_is_back() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "NonIdempotent");
    let first = Process::start(&hub, &engine, "h1");
    hub.until_started().await;
    drop(first);

    hub.state().down = true;
    let config = Settings::default().completed(&hub, "h2");
    let second = Agent::new(config, handlers(&engine)).unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(second.serve(stop.clone()));
    until_turned_away(&hub, "/renew").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(600)).await;
    tokio::time::resume();
    hub.state().down = false;

    hub.until("taken over", |state| {
        (state.orders[0].holder == "h2").then_some(())
    })
    .await;
    engine.finish("order-1");
    hub.until_phase("order-1", "Succeeded").await;
    stop.cancel();
    serving.await.unwrap();
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
