//! Ends that do not come easily: a report the hub does not take, a run that is gone, and one that stops slowly.

use std::time::Duration;

use brokkr_agent::outcome::Failure;
use brokkr_apis::work::v1alpha1::reasons;

use crate::Process;
use crate::engine::Engine;
use crate::hub::{HubDouble, State};

/// An order whose run was started, and the process that started it.
async fn running(hub: &HubDouble, engine: &Engine, side_effects: &'static str) -> Process {
    hub.submit("order-1", "build", side_effects);
    let process = Process::start(hub, engine, "h1");
    hub.until_started().await;
    process
}

#[tokio::test]
async fn a_report_the_hub_does_not_take_is_reduced_to_what_decides() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    let process = running(&hub, &engine, "Idempotent").await;
    hub.state().wants_few_words = true;
    let failure = Failure::before_start(reasons::TASK_FAILED, "too much").with_source("CompilerCrashed");
    engine.end("order-1", failure.run_may_be_alive().into());

    hub.until_phase("order-1", "Failed").await;
    let report = hub.state().completions[0].clone();
    assert_eq!(report["reason"], reasons::TASK_FAILED);
    assert_eq!(report["executionStarted"], true);
    assert_eq!(report["childConfirmedEnded"], false);
    process.terminate();
    process.ended().await;
}

#[tokio::test]
async fn a_run_that_was_deleted_between_two_processes_is_not_started_again() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    drop(running(&hub, &engine, "NonIdempotent").await);
    engine.delete("order-1");

    let second = Process::start(&hub, &engine, "h2");

    hub.until_phase("order-1", "Failed").await;
    assert_eq!(engine.started(), ["order-1"]);
    assert_eq!(hub.state().completions[0]["message"], "the run was deleted");
    second.terminate();
    second.ended().await;
}

#[tokio::test]
async fn an_order_whose_run_the_former_process_did_not_start_is_started() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "NonIdempotent");
    hub.change("order-1", |order| order.grant(1, "h1"));

    let second = Process::start(&hub, &engine, "h2");

    hub.until_started().await;
    assert_eq!(engine.started(), ["order-1"]);
    second.terminate();
    second.ended().await;
}

#[tokio::test]
async fn a_cancelled_run_is_stopped_to_its_end_though_the_claim_is_gone() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    engine.stop_slowly();
    let process = running(&hub, &engine, "Idempotent").await;
    hub.change("order-1", |order| order.cancel = Some("superseded".to_owned()));
    hub.until("the stop is asked for", |_| {
        engine.was_cancelled("order-1").then_some(())
    })
    .await;

    // The deadline of the cancellation passes. The second answer comes when the first has been acted on.
    hub.change("order-1", |order| {
        (order.fence, order.phase) = (0, "Cancelled".to_owned());
    });
    for _ in 0..2 {
        until_renewed(&hub).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    engine.stopped("order-1");

    let late = hub
        .until("a late report", |state| state.completions.first().cloned())
        .await;
    assert_eq!(late["outcome"], "Cancelled");
    assert_eq!(late["childConfirmedEnded"], true);
    process.terminate();
    process.ended().await;
}

/// Rings, and waits until a renewal is answered.
async fn until_renewed(hub: &HubDouble) {
    let renewals = |state: &State| {
        state
            .answered
            .iter()
            .filter(|path| path.ends_with("/renew"))
            .count()
    };
    let before = renewals(&hub.state());
    hub.ring();
    hub.until("a renewal", |state| (renewals(state) > before).then_some(()))
        .await;
}
