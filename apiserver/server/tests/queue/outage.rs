//! Outages of ours are nobody's loss: not served, not expired.

use std::sync::Arc;

use brokkr_apis::work::v1alpha1::WorkOrderPhase;
use brokkr_apiserver::queue::sweep::{Sweep, SweepInput};

use crate::ask::success;
use crate::fixture::Fixture;

#[tokio::test]
async fn leases_get_their_length_anew_when_the_queue_was_not_served() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.age_lease(&grant.uid).await;
    fixture
        .sql("update work.queue_state set served_at = clock_timestamp() - interval '16 seconds'")
        .await;

    fixture.sweep().await;
    assert_eq!(
        fixture.phase("one").await,
        WorkOrderPhase::Claimed,
        "not its holder's fault"
    );
    fixture.age_lease(&grant.uid).await;
    fixture.sweep().await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Pending);
}

/// A sweep whose replica has looked before whether there is anything to sweep; gives how many it moved.
pub(crate) async fn sweep_now(fixture: &Fixture) -> usize {
    let input = SweepInput {
        max: 100,
        terminating: Vec::new(),
    };
    fixture.storage.run(&Arc::new(Sweep), input).await.unwrap().len()
}

/// So many seconds pass in which the queue is served and no agent is heard of.
async fn silence(fixture: &Fixture, seconds: i64) {
    let seconds = format!("interval '{seconds} seconds'");
    for statement in [
        format!("update work.work_leases set expires_at = expires_at - {seconds}"),
        format!("update work.queue_state set heard_at = heard_at - {seconds}"),
    ] {
        fixture.sql(&statement).await;
    }
}

/// How many leases run for so many seconds at least.
async fn leases_of(fixture: &Fixture, seconds: i64) -> i64 {
    let query = format!(
        "select count(*) from work.work_leases where expires_at > clock_timestamp() + interval '{seconds} seconds'"
    );
    fixture.count(&query).await
}

/// Two agents, with a lease of so many seconds each, that hold an order each.
async fn two_holders(first: i64, second: i64) -> Fixture {
    let fixture = Fixture::new().await;
    for (agent, order, seconds) in [("east", "one", first), ("west", "two", second)] {
        fixture
            .agent_with(agent, |agent| agent.spec.lease_seconds = Some(seconds))
            .await;
        fixture.order(order).await;
        fixture.claimed(agent, order).await;
    }
    fixture
}

#[tokio::test]
async fn silence_of_all_agents_is_no_loss_for_as_long_as_it_lasts() {
    let fixture = two_holders(60, 60).await;
    // Six times 31 seconds: the hub is away for three minutes.
    for _ in 0..6 {
        silence(&fixture, 31).await;
        fixture.sweep().await;
        assert_eq!(leases_of(&fixture, 50).await, 2);
    }
    let status = fixture.find("one").await.unwrap().status.unwrap();
    assert_eq!((status.phase, status.lost_attempts), (WorkOrderPhase::Claimed, 0));
}

#[tokio::test]
async fn claim_of_a_single_agent_outlasts_a_hub_that_is_away_for_three_minutes() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;

    fixture.set_hub_away(true);
    // Three minutes, in steps that are no outage to one who looks as often.
    for _ in 0..18 {
        silence(&fixture, 10).await;
        fixture
            .sql("update work.queue_state set served_at = served_at - interval '10 seconds'")
            .await;
        fixture.sweep().await;
    }
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Claimed);

    fixture.set_hub_away(false);
    fixture.sweep().await;
    assert_eq!(leases_of(&fixture, 50).await, 1, "it has its full length anew");
    let status = fixture.find("one").await.unwrap().status.unwrap();
    assert_eq!(status.lost_attempts, 0);
    assert!(fixture.complete(&grant, "east", success(&grant)).await.is_ok());
}

#[tokio::test]
async fn agents_that_are_silent_while_another_is_heard_of_are_lost() {
    let fixture = two_holders(60, 60).await;
    for _ in 0..2 {
        silence(&fixture, 31).await;
        fixture.queue.note_heard("idle").await.unwrap();
        fixture.sweep().await;
    }
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Pending);
    assert_eq!(fixture.phase("two").await, WorkOrderPhase::Pending);
}

#[tokio::test]
async fn silence_of_a_single_holder_is_its_own() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    fixture.order("two").await;
    assert_eq!(fixture.claim("east", 2).await.len(), 2);
    silence(&fixture, 61).await;
    fixture.sweep().await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Pending);
}

#[tokio::test]
async fn short_lease_runs_out_while_the_holder_of_a_long_one_is_not_expected_yet() {
    let fixture = two_holders(15, 600).await;
    silence(&fixture, 16).await;
    fixture.sweep().await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Pending);
    assert_eq!(fixture.phase("two").await, WorkOrderPhase::Claimed);
}

#[tokio::test]
async fn stalled_sweeper_finds_out_that_it_was_before_anything_expires() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.age_lease(&grant.uid).await;
    fixture
        .sql("update work.queue_state set served_at = clock_timestamp() - interval '16 seconds'")
        .await;
    // The stamp was made, then the process stood still, and now it takes the lock.
    assert_eq!(sweep_now(&fixture).await, 0);
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Claimed);
}
