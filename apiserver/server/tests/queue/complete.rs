//! How orders end.

use brokkr_apis::work::v1alpha1::{AttemptOutcome, FailureClass, LogOutcome, WorkOrderPhase};
use brokkr_apiserver::queue::report::{CompleteInput, ReleaseInput, ReportRefusal};

use crate::ask::{completion, failure, key, success};
use crate::fixture::Fixture;

#[tokio::test]
async fn success_writes_exactly_one_entry_and_its_repetition_gets_the_same_answer() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;

    let answers =
        futures::future::join_all((0..8).map(|_| fixture.complete(&grant, "east", success(&grant)))).await;
    let later = fixture.complete(&grant, "east", success(&grant)).await;

    let first = answers[0].clone().unwrap();
    assert_eq!(first.phase, Some(WorkOrderPhase::Succeeded));
    assert!(
        answers
            .iter()
            .chain([&later])
            .all(|answer| *answer == Ok(first.clone())),
        "{answers:?}"
    );
    let entries = fixture.entries("one").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].metadata.name, first.log_name);
    let status = entries[0].status.clone().unwrap();
    assert_eq!(
        (status.outcome, status.success, status.attempts.len()),
        (LogOutcome::Succeeded, true, 1)
    );
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Succeeded);
    assert_eq!(fixture.count("select count(*) from work.work_leases").await, 0);
}

#[tokio::test]
async fn order_with_ttl_zero_goes_with_its_end_and_repeats_are_still_answered() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .order_with("one", |order| order.spec.ttl_seconds_after_finished = Some(0))
        .await;
    let grant = fixture.claimed("east", "one").await;

    let answer = fixture.complete(&grant, "east", success(&grant)).await.unwrap();
    let again = fixture.complete(&grant, "east", success(&grant)).await.unwrap();

    assert_eq!(answer, again);
    assert_eq!(fixture.find("one").await, None);
    assert_eq!(fixture.entries("one").await.len(), 1);
}

#[tokio::test]
async fn claim_of_another_agent_cannot_be_completed() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;

    let refused = fixture.complete(&grant, "west", success(&grant)).await;

    assert_eq!(refused, Err(ReportRefusal::OtherAgent("east".to_owned())));
}

#[tokio::test]
async fn permanent_failure_is_not_retried() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;

    let answer = fixture.fail(&grant, "east", "InvalidDockerfile").await;

    assert_eq!(
        (answer.phase, answer.next_retry_after),
        (Some(WorkOrderPhase::Failed), None)
    );
    let status = fixture.entries("one").await.remove(0).status.unwrap();
    assert_eq!(
        (status.class, status.reason.as_str()),
        (Some(FailureClass::Permanent), "InvalidDockerfile")
    );
}

#[tokio::test]
async fn spent_retries_are_logged_with_every_attempt() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .order_with("one", |order| {
            let policy = order.spec.retry_policy.get_or_insert_default();
            policy.max_retries = Some(2);
            policy.backoff_seconds = Some(60);
        })
        .await;

    for attempt in 1..=3 {
        let grant = fixture.claimed("east", "one").await;
        assert_eq!(grant.attempt, attempt);
        let answer = fixture.fail(&grant, "east", "GitRemoteFailed").await;
        let expected = if attempt < 3 {
            WorkOrderPhase::RetryPending
        } else {
            WorkOrderPhase::Failed
        };
        assert_eq!(answer.phase, Some(expected));
        if attempt < 3 {
            assert!(fixture.claim("east", 1).await.is_empty(), "not before its time");
            let wait = fixture.count("select extract(epoch from next_retry_after - clock_timestamp())::bigint from work.work_orders").await;
            let base = 60 * attempt;
            assert!(
                (base - 3..=base + base / 10 + 1).contains(&wait),
                "attempt {attempt} waits {wait} s"
            );
            fixture
                .sql("update work.work_orders set next_retry_after = clock_timestamp() - interval '1 second'")
                .await;
            fixture.sweep().await;
            assert_eq!(fixture.phase("one").await, WorkOrderPhase::Pending);
        }
    }

    let entries = fixture.entries("one").await;
    assert_eq!(entries.len(), 1);
    let status = entries[0].status.clone().unwrap();
    assert_eq!((status.outcome, status.retry_count), (LogOutcome::Failed, 2));
    assert_eq!(
        status
            .attempts
            .iter()
            .map(|attempt| attempt.number)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(
        status
            .attempts
            .iter()
            .all(|attempt| attempt.outcome == Some(AttemptOutcome::Failed))
    );
}

#[tokio::test]
async fn failure_in_a_terminating_namespace_is_final() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    let mut input = completion(&grant, "east", failure(&grant, "GitRemoteFailed"));
    input.key.namespace_terminating = true;

    let answer = fixture.queue.complete(input).await.unwrap().unwrap();

    assert_eq!(answer.phase, Some(WorkOrderPhase::Failed));
    assert_eq!(
        fixture.entries("one").await[0].status.clone().unwrap().reason,
        "NamespaceTerminating"
    );
}

#[tokio::test]
async fn released_order_can_be_claimed_at_once_and_its_fence_is_spent() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;

    let release = ReleaseInput {
        key: key(&grant, "east"),
        reason: "draining".to_owned(),
        force: false,
    };
    let phase = fixture.queue.release(release).await.unwrap().unwrap();

    assert_eq!(phase, WorkOrderPhase::Pending);
    assert!(fixture.complete(&grant, "east", success(&grant)).await.is_err());
    let again = fixture.claimed("east", "one").await;
    assert_eq!(again.attempt, 2);
    let first = fixture
        .find("one")
        .await
        .unwrap()
        .status
        .unwrap()
        .attempts
        .remove(0);
    assert_eq!(first.outcome, Some(AttemptOutcome::Released));
    assert!(first.reason.unwrap().contains("draining"));
}

#[tokio::test]
async fn operator_takes_an_order_by_force_and_is_recorded() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .order_with("one", |order| order.spec.work_type = "job".to_owned())
        .await;
    let grant = fixture.claimed("east", "one").await;
    let mut forced = ReleaseInput {
        key: key(&grant, "east"),
        reason: "stuck".to_owned(),
        force: true,
    };
    forced.key.agent = None;
    forced.key.fence = None;
    forced.key.user = "olga".to_owned();

    fixture.queue.release(forced).await.unwrap().unwrap();

    assert!(fixture.wake("east").await > 0, "the robbed holder is rung");
    let attempt = fixture
        .find("one")
        .await
        .unwrap()
        .status
        .unwrap()
        .attempts
        .remove(0);
    assert!(attempt.reason.unwrap().contains("by olga: stuck"));
}

#[tokio::test]
async fn dry_run_of_a_completion_changes_nothing() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    let before = fixture.find("one").await;
    let mut input = completion(&grant, "east", success(&grant));
    input.key.dry_run = true;

    let answer = fixture.queue.complete(input).await.unwrap().unwrap();

    assert_eq!(answer.phase, Some(WorkOrderPhase::Succeeded));
    assert_eq!(fixture.find("one").await, before);
    assert_eq!(fixture.entries("one").await, []);
}

#[tokio::test]
async fn work_under_way_goes_on_in_a_terminating_namespace_and_nothing_comes_back() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for name in ["done", "released", "backing-off"] {
        fixture.order(name).await;
    }
    let done = fixture.claimed("east", "done").await;
    let released = fixture.claimed("east", "released").await;
    let backing_off = fixture.claimed("east", "backing-off").await;
    fixture.fail(&backing_off, "east", "GitRemoteFailed").await;
    fixture.terminate(crate::fixture::TEAM);
    let terminating = |grant| {
        let mut key = key(grant, "east");
        key.namespace_terminating = true;
        key
    };

    let report = CompleteInput {
        key: terminating(&done),
        report: success(&done),
    };
    let answer = fixture.queue.complete(report).await.unwrap().unwrap();
    assert_eq!(answer.phase, Some(WorkOrderPhase::Succeeded));
    let release = ReleaseInput {
        key: terminating(&released),
        reason: "draining".to_owned(),
        force: false,
    };
    let phase = fixture.queue.release(release).await.unwrap().unwrap();
    assert_eq!(phase, WorkOrderPhase::Failed);
    fixture
        .sql(
            "update work.work_orders set next_retry_after = clock_timestamp() where status = 'RETRY_PENDING'",
        )
        .await;
    fixture.sweep().await;

    assert_eq!(
        fixture
            .count("select count(*) from work.work_orders where status in ('PENDING', 'CLAIMED', 'RETRY_PENDING')")
            .await,
        0
    );
    for name in ["released", "backing-off"] {
        let status = fixture.entries(name).await.remove(0).status.unwrap();
        assert_eq!(
            (status.outcome, status.reason.as_str()),
            (LogOutcome::Failed, "NamespaceTerminating"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn order_whose_holder_is_unreachable_is_released_by_force_and_that_is_recorded() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture
        .order_with("one", |order| order.spec.work_type = "job".to_owned())
        .await;
    let lapsed = fixture.claimed("east", "one").await;
    fixture.age_lease(&lapsed.uid).await;
    fixture.sweep().await;
    assert!(fixture.claim_named("west", "p1", "one").await.is_err());
    let mut forced = ReleaseInput {
        key: key(&lapsed, "east"),
        reason: "node is gone".to_owned(),
        force: true,
    };
    (forced.key.agent, forced.key.fence) = (None, None);
    forced.key.user = "olga".to_owned();

    fixture.queue.release(forced).await.unwrap().unwrap();

    let next = fixture.claimed("west", "one").await;
    assert_eq!(next.attempt, 2);
    let status = fixture.find("one").await.unwrap().status.unwrap();
    assert_eq!(status.attempts[0].outcome, Some(AttemptOutcome::Released));
    assert_eq!(
        status.attempts[0].reason.as_deref(),
        Some("released by force by olga: node is gone")
    );
    let unreachable = status
        .conditions
        .iter()
        .find(|one| one.type_ == "HolderUnreachable")
        .unwrap();
    assert_eq!(unreachable.status, "False");
    assert!(fixture.complete(&lapsed, "east", success(&lapsed)).await.is_err());
    assert!(fixture.complete(&next, "west", success(&next)).await.is_ok());
}
