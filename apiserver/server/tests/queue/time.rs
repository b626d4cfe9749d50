//! What time does to orders.

use brokkr_apis::work::v1alpha1::{AttemptOutcome, LogOutcome, WorkOrderPhase};

use crate::ask::success;
use crate::fixture::Fixture;
use crate::outage::sweep_now;

const PAST: &str = "clock_timestamp() - interval '1 second'";

#[tokio::test]
async fn backoff_that_elapsed_puts_the_order_back_with_a_new_turn() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.fail(&grant, "east", "GitRemoteFailed").await;
    fixture.sweep().await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::RetryPending);
    let turn = fixture.count("select turn from work.work_orders").await;

    fixture
        .sql(&format!("update work.work_orders set next_retry_after = {PAST}"))
        .await;
    fixture.sweep().await;

    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Pending);
    assert_eq!(fixture.count("select turn from work.work_orders").await, turn + 1);
    assert_eq!(fixture.claimed("east", "one").await.attempt, 2);
}

#[tokio::test]
async fn orders_too_large_to_be_swept_together_are_swept_by_fewer() {
    // Given five orders of which the database takes two in one statement.
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        fixture.order(name).await;
        let grant = fixture.claimed("east", name).await;
        fixture.fail(&grant, "east", "GitRemoteFailed").await;
    }
    fixture
        .sql(&format!("update work.work_orders set next_retry_after = {PAST}"))
        .await;
    fixture
        .sql(
            "create function refuse_three() returns trigger language plpgsql as
                'begin if (select count(*) from changed) > 2 then raise ''too many''; end if; return null; end'",
        )
        .await;
    fixture
        .sql(
            "create trigger refuse_three after update on work.work_orders
                referencing new table as changed for each statement execute function refuse_three()",
        )
        .await;

    // When it is swept again and again, then all of them have their turn.
    let mut failed = 0;
    for _ in 0..20 {
        failed += usize::from(fixture.sweeper.serve().await.is_err());
    }
    assert!(failed > 0, "the database has refused some");
    for name in names {
        assert_eq!(fixture.phase(name).await, WorkOrderPhase::Pending, "{name}");
    }
}

#[tokio::test]
async fn attempt_cap_ends_the_attempt_and_spends_its_fence() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .order_with("one", |order| order.spec.claim_timeout_seconds = Some(60))
        .await;
    let grant = fixture.claimed("east", "one").await;
    fixture
        .change_order("one", |order| {
            let claim = order.status.as_mut().unwrap().claim.as_mut().unwrap();
            claim.claimed_at.0 -= jiff::SignedDuration::from_secs(120);
        })
        .await;

    fixture.sweep().await;

    let status = fixture.find("one").await.unwrap().status.unwrap();
    assert_eq!(status.attempts[0].outcome, Some(AttemptOutcome::Unknown));
    assert_eq!(status.phase, WorkOrderPhase::RetryPending);
    assert!(fixture.complete(&grant, "east", success(&grant)).await.is_err());
}

#[tokio::test]
async fn active_deadline_ends_waiting_orders_and_cancels_running_ones() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for name in ["running", "waiting"] {
        fixture
            .order_with(name, |order| order.spec.active_deadline_seconds = Some(3600))
            .await;
    }
    fixture.claimed("east", "running").await;
    for name in ["running", "waiting"] {
        fixture
            .change_order(name, |order| order.spec.active_deadline_seconds = Some(-10))
            .await;
    }

    fixture.sweep().await;

    assert_eq!(fixture.phase("waiting").await, WorkOrderPhase::Failed);
    assert_eq!(
        fixture.entries("waiting").await[0].status.clone().unwrap().reason,
        "DeadlineExceeded"
    );
    assert_eq!(fixture.phase("running").await, WorkOrderPhase::Cancelling);
    assert_eq!(
        fixture
            .count("select count(*) from work.work_orders where cancel_deadline is not null")
            .await,
        1
    );
}

#[tokio::test]
async fn cancellation_that_nobody_confirms_ends_at_its_deadline() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    fixture.claimed("east", "one").await;
    fixture.cancel("one", "no longer needed").await;
    fixture.sweep().await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Cancelling);

    fixture
        .sql(&format!("update work.work_orders set cancel_deadline = {PAST}"))
        .await;
    fixture.sweep().await;

    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Cancelled);
    let status = fixture.entries("one").await.remove(0).status.unwrap();
    assert_eq!(
        (status.outcome, status.outcome_unknown),
        (LogOutcome::Cancelled, true)
    );
    assert_eq!(fixture.count("select count(*) from work.work_leases").await, 0);
}

#[tokio::test]
async fn success_while_cancelling_counts() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.cancel("one", "too late").await;

    let answer = fixture.complete(&grant, "east", success(&grant)).await.unwrap();

    assert_eq!(answer.phase, Some(WorkOrderPhase::Succeeded));
}

#[tokio::test]
async fn finished_order_goes_after_its_ttl_without_another_entry() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.complete(&grant, "east", success(&grant)).await.unwrap();
    fixture.sweep().await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Succeeded);

    fixture
        .change_order("one", |order| {
            order.status.as_mut().unwrap().completion_time.as_mut().unwrap().0 -=
                jiff::SignedDuration::from_secs(7200);
        })
        .await;
    fixture.sweep().await;

    assert_eq!(fixture.find("one").await, None);
    assert_eq!(fixture.entries("one").await.len(), 1);
}

#[tokio::test]
async fn nothing_is_requeued_in_a_terminating_namespace() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.terminate(crate::fixture::TEAM);
    fixture.age_lease(&grant.uid).await;

    fixture.sweep().await;

    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Failed);
    assert_eq!(
        fixture.entries("one").await[0].status.clone().unwrap().reason,
        "NamespaceTerminating"
    );
}

#[tokio::test]
async fn sweeper_serves_until_it_is_told_to_stop() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.age_lease(&grant.uid).await;
    let token = tokio_util::sync::CancellationToken::new();
    let sweeper = fixture.replica().sweeper;
    let task = tokio::spawn(sweeper.run(token.clone()));

    let deadline = tokio::time::Instant::now() + crate::fixture::SOON;
    while fixture.phase("one").await != WorkOrderPhase::Pending {
        assert!(tokio::time::Instant::now() < deadline, "the lease expires");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    token.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn status_of_an_agent_says_what_it_holds_and_whether_it_is_in_touch() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("silent").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;

    assert_eq!(fixture.sweeper.attend().await.unwrap(), 1);
    assert_eq!(
        fixture.sweeper.attend().await.unwrap(),
        0,
        "nothing new, no event"
    );
    let status = fixture.find_agent("east").await.status.unwrap();
    assert_eq!(status.in_use.unwrap().by_type["build"], 1);
    assert!(status.last_renew_time.is_some());
    assert_eq!(
        (
            status.conditions[0].type_.as_str(),
            status.conditions[0].status.as_str()
        ),
        ("Ready", "True")
    );

    fixture.complete(&grant, "east", success(&grant)).await.unwrap();
    fixture.sweeper.attend().await.unwrap();
    assert_eq!(
        fixture
            .find_agent("east")
            .await
            .status
            .unwrap()
            .in_use
            .unwrap()
            .total,
        0
    );
    assert_eq!(fixture.find_agent("silent").await.status, None);
}

#[tokio::test]
async fn agent_that_holds_nothing_and_asks_for_nothing_is_in_touch_by_its_renewals() {
    let fixture = Fixture::new().await;
    fixture
        .agent_with("off", |agent| agent.spec.unschedulable = Some(true))
        .await;

    fixture.queue.note_heard("off").await.unwrap();
    fixture.sweeper.attend().await.unwrap();

    let status = fixture.find_agent("off").await.status.unwrap();
    assert_eq!(
        (
            status.conditions[0].type_.as_str(),
            status.conditions[0].status.as_str()
        ),
        ("Ready", "True")
    );
}

#[tokio::test]
async fn order_says_why_it_waits_and_when_that_has_changed() {
    let fixture = Fixture::new().await;
    fixture.order("one").await;
    let schedulable = async || {
        fixture.sweeper.reconsider().await.unwrap();
        let conditions = fixture.find("one").await.unwrap().status.unwrap().conditions;
        let condition = conditions
            .into_iter()
            .find(|one| one.type_ == "Schedulable")
            .unwrap();
        (condition.status, condition.reason)
    };
    let says = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());

    assert_eq!(schedulable().await, says("False", "NoAgentTargeted"));
    fixture
        .agent_with("jobs", |agent| agent.spec.work_types = vec!["job".to_owned()])
        .await;
    assert_eq!(schedulable().await, says("False", "WorkTypeNotServed"));
    fixture
        .agent_with("east", |agent| {
            agent.spec.concurrency.as_mut().unwrap().total = Some(1);
        })
        .await;
    assert_eq!(schedulable().await, says("True", "AgentAvailable"));

    fixture
        .order_with("busy", |order| order.spec.priority = Some(1))
        .await;
    fixture.claimed("east", "busy").await;
    assert_eq!(
        schedulable().await,
        says("True", "AgentAvailable"),
        "not before half a minute"
    );
    fixture
        .sql("update work.work_orders set ready_since = ready_since - interval '31 seconds'")
        .await;
    assert_eq!(schedulable().await, says("False", "AgentsAtCapacity"));
    assert_eq!(fixture.sweeper.reconsider().await.unwrap(), 0);
}

#[tokio::test]
async fn retry_timer_of_an_earlier_attempt_moves_nothing() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let first = fixture.claimed("east", "one").await;
    fixture.fail(&first, "east", "GitRemoteFailed").await;
    fixture
        .change_order("one", |order| {
            let status = order.status.as_mut().unwrap();
            status.next_retry_after.as_mut().unwrap().0 -= jiff::SignedDuration::from_secs(120);
        })
        .await;
    // Claimed by name when the time has come, before a sweep has seen that it has.
    let second = fixture.claimed("east", "one").await;

    assert_eq!(sweep_now(&fixture).await, 0);

    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Claimed);
    assert_eq!(fixture.count("select count(*) from work.work_leases").await, 1);
    assert!(fixture.complete(&second, "east", success(&second)).await.is_ok());
}

#[tokio::test]
async fn lapsed_claim_ends_at_the_cap_of_its_attempt_with_its_outcome_unknown() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .order_with("one", |order| {
            order.spec.work_type = "job".to_owned();
            order.spec.claim_timeout_seconds = Some(60);
        })
        .await;
    let grant = fixture.claimed("east", "one").await;
    fixture.age_lease(&grant.uid).await;
    fixture.sweep().await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Claimed);
    fixture
        .change_order("one", |order| {
            let claim = order.status.as_mut().unwrap().claim.as_mut().unwrap();
            claim.claimed_at.0 -= jiff::SignedDuration::from_secs(120);
        })
        .await;

    fixture.sweep().await;

    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Failed);
    let status = fixture.entries("one").await.remove(0).status.unwrap();
    assert_eq!(
        (status.outcome, status.outcome_unknown, status.reason.as_str()),
        (LogOutcome::Failed, true, "AgentLost")
    );
    assert!(fixture.complete(&grant, "east", success(&grant)).await.is_err());
    assert_eq!(fixture.count("select count(*) from work.late_reports").await, 1);
}
