//! A hub that is away, or has no Agent object for a while: work goes on and its report waits.

use crate::Process;
use crate::engine::Engine;
use crate::hub::HubDouble;

#[tokio::test]
async fn work_goes_on_while_the_hub_is_away_and_is_reported_when_it_is_back() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let process = Process::start(&hub, &engine, "h1");
    hub.until("the run started", |state| {
        state.orders[0].progress.first().cloned()
    })
    .await;

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
    hub.until("the run started", |state| {
        state.orders[0].progress.first().cloned()
    })
    .await;

    hub.state().unregistered = true;
    engine.finish("order-1");
    until_report_is_turned_away(&hub).await;
    hub.state().unregistered = false;

    hub.until_phase("order-1", "Succeeded").await;
    process.terminate();
    process.ended().await;
}

async fn until_report_is_turned_away(hub: &HubDouble) {
    let is_report = |path: &String| path.ends_with("/complete");
    hub.until("the report is turned away", |state| {
        state.turned_away.iter().any(is_report).then_some(())
    })
    .await;
}
