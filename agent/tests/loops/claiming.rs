//! How many orders are claimed, however many come in one answer.

use crate::Process;
use crate::engine::Engine;
use crate::hub::HubDouble;

#[tokio::test]
async fn an_answer_that_was_cut_short_is_not_taken_for_the_last() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.state().answer_max = Some(1);
    for name in ["order-1", "order-2", "order-3"] {
        hub.submit(name, "build", "Idempotent");
    }

    let process = Process::start(&hub, &engine, "h1");

    for name in ["order-1", "order-2", "order-3"] {
        hub.until_phase(name, "Claimed").await;
    }
    process.terminate();
    process.ended().await;
}
