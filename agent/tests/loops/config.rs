//! What the configuration says about orders: whether any are run, and in which namespace.

use brokkr_agent::config::WorkOrdersConfig;

use crate::engine::Engine;
use crate::hub::{HubDouble, State};
use crate::{Process, Settings};

fn configured(hub: &HubDouble, engine: &Engine, change: impl FnOnce(&mut WorkOrdersConfig)) -> Process {
    let mut settings = Settings::default();
    change(&mut settings.work_orders);
    Process::with(hub, engine, "h1", settings)
}

#[tokio::test]
async fn an_agent_that_is_not_enabled_reports_itself_and_claims_nothing() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let process = configured(&hub, &engine, |config| config.enabled = false);
    let times = |state: &State, call: &str| state.answered.iter().filter(|path| path.ends_with(call)).count();
    hub.until("its status", |state| (times(state, "/status") > 0).then_some(()))
        .await;

    // It hears its doorbell: each ring is answered by a renewal.
    for _ in 0..2 {
        let before = times(&hub.state(), "/renew");
        hub.ring();
        hub.until("a renewal", |state| {
            (times(state, "/renew") > before).then_some(())
        })
        .await;
    }

    process.terminate();
    process.ended().await;
    assert_eq!(times(&hub.state(), "/claim"), 0);
    assert_eq!(hub.state().orders[0].phase, "Pending");
}

/// Where the run of an order of team-a is started.
async fn namespace_with(change: impl FnOnce(&mut WorkOrdersConfig)) -> String {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let process = configured(&hub, &engine, change);
    let child = hub
        .until("the name of the run", |state| {
            state.orders[0].progress.first().cloned()
        })
        .await;
    engine.finish("order-1");
    hub.until_phase("order-1", "Succeeded").await;
    process.terminate();
    process.ended().await;
    child["childRef"]["namespace"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_order_runs_in_its_own_namespace_unless_the_configuration_names_another() {
    let map = |from: &str| [(from.to_owned(), "builds".to_owned())].into();
    assert_eq!(namespace_with(|_| ()).await, "team-a");
    assert_eq!(
        namespace_with(|config| config.namespace_map = map("team-b")).await,
        "team-a"
    );
    assert_eq!(
        namespace_with(|config| config.namespace_map = map("team-a")).await,
        "builds"
    );
    let fixed = namespace_with(|config| {
        config.namespace_map = map("team-a");
        config.namespace = "work".to_owned();
    });
    assert_eq!(fixed.await, "work");
}
