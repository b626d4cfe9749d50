//! Keeping a claim, and losing it.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::{
    AttemptOutcome, ChildReference, Fence, Progress, ProgressPhase, WorkOrderPhase, WorkOrderRenewalSpec,
    conditions,
};
use brokkr_apiserver::queue::claim::Grant;
use brokkr_apiserver::queue::report::ReportRefusal;
use brokkr_apiserver::queue::{Renewal, RenewedClaim, Renewer};

use crate::ask::success;
use crate::fixture::{Fixture, SOON};

fn renewal(grant: &Grant, progress: Option<Progress>) -> Renewal {
    let spec = WorkOrderRenewalSpec {
        uid: grant.uid.clone(),
        fence: grant.fence.unwrap_or(Fence(0)),
        progress,
    };
    Renewal {
        namespace: grant.namespace.clone(),
        name: grant.name.clone(),
        spec,
    }
}

fn by(agent: &str) -> Renewer {
    Renewer {
        agent: agent.to_owned(),
        holder: Some("p1".to_owned()),
        user: agent.to_owned(),
    }
}

pub(crate) async fn renew(
    fixture: &Fixture,
    grant: &Grant,
    progress: Option<Progress>,
) -> Result<RenewedClaim, ReportRefusal> {
    fixture
        .queue
        .renew(&by("east"), &[renewal(grant, progress)])
        .await
        .unwrap()
        .remove(0)
}

pub(crate) fn saying(message: &str) -> Progress {
    Progress {
        message: Some(message.to_owned()),
        ..Progress::default()
    }
}

pub(crate) fn attempt_message(order: &brokkr_apis::work::v1alpha1::WorkOrder) -> &str {
    &order.status.as_ref().unwrap().attempts.last().unwrap().message
}

#[tokio::test]
async fn renewal_lengthens_the_lease_and_writes_no_version() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    let before = fixture.storage.current_version().await.unwrap();

    let renewed = renew(&fixture, &grant, None).await.unwrap();

    assert!(renewed.expires_at > grant.expires_at);
    assert_eq!(renewed.cancel, None);
    assert_eq!(fixture.storage.current_version().await.unwrap(), before);
}

#[tokio::test]
async fn batch_renewal_fails_item_by_item_and_lists_every_claim() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for name in ["one", "two", "three"] {
        fixture.order(name).await;
    }
    let grants = fixture.claim("east", 3).await;
    let mut spent = renewal(&grants[1], None);
    spent.spec.fence = Fence(1);

    let results = fixture
        .queue
        .renew(&by("east"), &[renewal(&grants[0], None), spent])
        .await
        .unwrap();

    assert!(results[0].is_ok());
    let Err(ReportRefusal::State {
        current: Some(current),
        phase,
        ..
    }) = &results[1]
    else {
        panic!("{results:?}")
    };
    assert_eq!(
        (Some(current.fence), *phase),
        (grants[1].fence, WorkOrderPhase::Claimed)
    );
    let held = fixture.queue.held_claims("east").await.unwrap();
    assert_eq!(
        held.iter().map(|claim| claim.name.as_str()).collect::<Vec<_>>(),
        ["one", "three", "two"]
    );
}

#[tokio::test]
async fn child_is_written_at_once_and_messages_at_most_every_five_seconds() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    let child = ChildReference {
        kind: "BuildRun".to_owned(),
        name: "wo-1-a1".to_owned(),
        ..ChildReference::default()
    };
    let started = Progress {
        phase: Some(ProgressPhase::Running),
        child_ref: Some(child.clone()),
        ..saying("started")
    };

    renew(&fixture, &grant, Some(started.clone())).await.unwrap();
    let running = fixture.find("one").await.unwrap();
    let version = fixture.storage.current_version().await.unwrap();
    renew(&fixture, &grant, Some(started)).await.unwrap();
    renew(&fixture, &grant, Some(saying("step 1"))).await.unwrap();
    renew(&fixture, &grant, Some(saying("step 2"))).await.unwrap();

    let status = running.status.clone().unwrap();
    assert_eq!(
        (status.phase, status.build_run_name.as_deref()),
        (WorkOrderPhase::Running, Some("wo-1-a1"))
    );
    assert_eq!(status.attempts[0].child, Some(child));
    assert_eq!(
        fixture.storage.current_version().await.unwrap(),
        version,
        "nothing new, or too soon"
    );
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let order = fixture.find("one").await.unwrap();
        if attempt_message(&order) == "step 2" {
            break;
        }
        assert_eq!(attempt_message(&order), "started");
        assert!(
            tokio::time::Instant::now() < deadline,
            "the last message is written in the end"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn lost_lease_requeues_and_counts_until_the_limit() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .order_with("one", |order| {
            order.spec.retry_policy.get_or_insert_default().max_lost_attempts = Some(1);
        })
        .await;

    let grant = fixture.claimed("east", "one").await;
    fixture.age_lease(&grant.uid).await;
    fixture.sweep().await;
    let status = fixture.find("one").await.unwrap().status.unwrap();
    assert_eq!(
        (status.phase, status.lost_attempts, status.retry_count),
        (WorkOrderPhase::Pending, 1, 0)
    );
    assert_eq!(status.attempts[0].outcome, Some(AttemptOutcome::Lost));
    assert!(renew(&fixture, &grant, None).await.is_err());

    let grant = fixture.claimed("east", "one").await;
    assert_eq!(grant.attempt, 2);
    fixture.age_lease(&grant.uid).await;
    fixture.sweep().await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Failed);
    assert_eq!(
        fixture.entries("one").await[0].status.clone().unwrap().reason,
        "AgentLost"
    );
}

#[tokio::test]
async fn next_claimant_is_told_of_a_child_that_nobody_saw_end() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    let child = ChildReference {
        name: "wo-1-a1".to_owned(),
        ..ChildReference::default()
    };
    renew(
        &fixture,
        &grant,
        Some(Progress {
            child_ref: Some(child),
            ..Progress::default()
        }),
    )
    .await
    .unwrap();
    fixture.age_lease(&grant.uid).await;
    fixture.sweep().await;

    let next = fixture.claimed("east", "one").await;

    assert_eq!(next.unfinished.len(), 1);
    assert_eq!(
        (next.unfinished[0].attempt, next.unfinished[0].name.as_str()),
        (1, "wo-1-a1")
    );
}

#[tokio::test]
async fn renewal_that_holds_the_row_wins_against_expiry() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.age_lease(&grant.uid).await;
    // A renewal that has the row and has not committed yet.
    let mut renewal = fixture.storage.pool().begin().await.unwrap();
    sqlx::query("update work.work_leases set expires_at = clock_timestamp() + interval '60 seconds'")
        .execute(&mut *renewal)
        .await
        .unwrap();

    fixture.sweep().await;
    assert_eq!(
        fixture.phase("one").await,
        WorkOrderPhase::Claimed,
        "skipped while it is locked"
    );
    renewal.commit().await.unwrap();
    fixture.sweep().await;

    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Claimed);
    assert!(fixture.complete(&grant, "east", success(&grant)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_renewals_and_sweeps_agree_on_every_lease() {
    let fixture = std::sync::Arc::new(Fixture::new().await);
    fixture.agent("east").await;
    for index in 0..40 {
        fixture.order(&format!("order-{index}")).await;
    }
    let grants = fixture.claim("east", 40).await;
    fixture
        .sql("update work.work_leases set expires_at = clock_timestamp() + interval '30 milliseconds'")
        .await;

    let renewing = {
        let (fixture, grants) = (fixture.clone(), grants.clone());
        tokio::spawn(async move {
            let mut alive = vec![true; grants.len()];
            for _ in 0..10 {
                let items: Vec<_> = grants.iter().map(|grant| renewal(grant, None)).collect();
                let results = fixture.queue.renew(&by("east"), &items[..20]).await.unwrap();
                for (alive, result) in alive.iter_mut().zip(results) {
                    assert!(*alive || result.is_err(), "a lost lease never comes back");
                    *alive = result.is_ok();
                }
                fixture.sql("update work.work_leases set expires_at = clock_timestamp() + interval '5 milliseconds'").await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            alive
        })
    };
    for _ in 0..20 {
        fixture.sweep().await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let alive = renewing.await.unwrap();
    fixture
        .sql("update work.work_leases set expires_at = clock_timestamp() + interval '60 seconds'")
        .await;
    let leases = fixture.count("select count(*) from work.work_leases").await;
    let claimed = fixture
        .count("select count(*) from work.work_orders where status = 'CLAIMED'")
        .await;
    assert_eq!(leases, claimed, "a claimed order has a lease and no other has");
    let held = fixture.queue.held_claims("east").await.unwrap();
    for (grant, alive) in grants[..20].iter().zip(&alive) {
        let holds = held.iter().any(|claim| claim.uid == grant.uid);
        assert!(
            *alive || !holds,
            "{} is held after its renewal was refused",
            grant.name
        );
    }
}

#[tokio::test]
async fn non_idempotent_work_waits_for_its_holder() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .order_with("one", |order| order.spec.work_type = "job".to_owned())
        .await;
    let grant = fixture.claimed("east", "one").await;
    fixture.age_lease(&grant.uid).await;
    fixture.sweep().await;

    let unreachable = |order: &brokkr_apis::work::v1alpha1::WorkOrder| {
        let conditions = &order.status.as_ref().unwrap().conditions;
        conditions
            .iter()
            .any(|one| one.type_ == conditions::HOLDER_UNREACHABLE && one.status == "True")
    };
    let lapsed = fixture.find("one").await.unwrap();
    assert_eq!(lapsed.status.as_ref().unwrap().phase, WorkOrderPhase::Claimed);
    assert!(unreachable(&lapsed));
    assert_eq!(fixture.claim("east", 1).await, []);

    renew(&fixture, &grant, None).await.unwrap();
    assert!(!unreachable(&fixture.find("one").await.unwrap()));
    assert!(fixture.complete(&grant, "east", success(&grant)).await.is_ok());
}

#[tokio::test]
async fn cancelled_order_tells_its_holder_at_the_next_renewal() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.cancel("one", "wrong branch").await;

    let notice = renew(&fixture, &grant, None).await.unwrap().cancel.unwrap();

    assert_eq!(notice.reason, "wrong branch");
    assert!(notice.deadline.is_some());
    assert_eq!(fixture.wake("east").await, 1, "the holder is rung");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_between_the_read_and_the_write_of_an_expiry_keeps_the_claim() {
    let fixture = std::sync::Arc::new(Fixture::new().await);
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.age_lease(&grant.uid).await;
    let mut renewal = fixture.storage.pool().begin().await.unwrap();
    sqlx::query("update work.work_leases set expires_at = clock_timestamp() + interval '60 seconds'")
        .execute(&mut *renewal)
        .await
        .unwrap();

    // The sweep has read the row that has lapsed; the renewal commits before it can write.
    let sweeping = {
        let fixture = fixture.clone();
        tokio::spawn(async move { fixture.sweeper.serve().await })
    };
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let deadline = tokio::time::Instant::now() + SOON;
    while !sweeping.is_finished() && fixture.count(waiting).await == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the sweep ends or waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    renewal.commit().await.unwrap();
    sweeping.await.unwrap().unwrap();

    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Claimed);
    assert!(fixture.complete(&grant, "east", success(&grant)).await.is_ok());
}

#[tokio::test]
async fn renewal_with_a_spent_fence_lengthens_nothing() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let mut spent = fixture.claimed("east", "one").await;
    fixture
        .sql("update work.work_leases set expires_at = clock_timestamp() + interval '30 seconds'")
        .await;
    spent.fence = Some(Fence(1));

    renew(&fixture, &spent, None).await.unwrap_err();

    let long =
        "select count(*) from work.work_leases where expires_at > clock_timestamp() + interval '30 seconds'";
    assert_eq!(fixture.count(long).await, 0);
}
