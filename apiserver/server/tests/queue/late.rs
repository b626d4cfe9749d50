//! Reports that come too late: refused, and kept as evidence.

use brokkr_apis::work::v1alpha1::{Fence, WorkOrderPhase};
use brokkr_apiserver::lifecycle::Refusal;
use brokkr_apiserver::queue::report::ReportRefusal;

use crate::ask::{failure, success};
use crate::fixture::Fixture;

#[tokio::test]
async fn another_outcome_than_the_accepted_one_is_refused_and_kept() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.complete(&grant, "east", success(&grant)).await.unwrap();

    let refused = fixture
        .complete(&grant, "east", failure(&grant, "Unknown"))
        .await
        .unwrap_err();

    assert!(
        matches!(refused, ReportRefusal::EndedOtherwise { .. }),
        "{refused}"
    );
    assert_eq!(
        fixture.count("select count(*) from work.late_reports").await,
        1,
        "kept as evidence"
    );
}

#[tokio::test]
async fn old_fence_is_refused_names_the_current_claim_and_is_kept() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture.order("one").await;
    let lost = fixture.claimed("east", "one").await;
    fixture.age_lease(&lost.uid).await;
    fixture.sweep().await;
    let current = fixture.claimed("west", "one").await;

    let refused = fixture.complete(&lost, "east", success(&lost)).await.unwrap_err();

    let ReportRefusal::State {
        refusal: Refusal::FenceSpent,
        current: Some(named),
        ..
    } = &refused
    else {
        panic!("{refused}");
    };
    assert_eq!((named.agent.as_str(), Some(named.fence)), ("west", current.fence));
    assert_eq!(fixture.count("select count(*) from work.late_reports").await, 1);
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Claimed);
    assert!(
        fixture
            .complete(&current, "west", success(&current))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn agent_that_never_held_the_order_leaves_no_report() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture.order("one").await;
    let mut forged = fixture.claimed("east", "one").await;
    forged.fence = Some(Fence(7));

    fixture
        .complete(&forged, "west", success(&forged))
        .await
        .unwrap_err();
    forged.namespace = "team-b".to_owned();
    let refused = fixture.complete(&forged, "east", success(&forged)).await;

    assert_eq!(refused, Err(ReportRefusal::NoOrder));
    assert_eq!(fixture.count("select count(*) from work.late_reports").await, 0);
}

#[tokio::test]
async fn late_report_about_an_order_that_is_gone_is_refused_as_late_and_kept() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture
        .order_with("one", |order| {
            order.spec.ttl_seconds_after_finished = Some(0);
            order.spec.retry_policy.get_or_insert_default().max_lost_attempts = Some(0);
        })
        .await;
    let lost = fixture.claimed("east", "one").await;
    fixture.age_lease(&lost.uid).await;
    fixture.sweep().await;
    assert_eq!(fixture.find("one").await, None);

    for _ in 0..2 {
        let refused = fixture.complete(&lost, "east", success(&lost)).await.unwrap_err();
        assert!(
            matches!(&refused, ReportRefusal::EndedOtherwise { outcome, .. } if outcome == "Lost"),
            "{refused}"
        );
    }
    let other = fixture.complete(&lost, "west", success(&lost)).await.unwrap_err();
    assert_eq!(other, ReportRefusal::OtherAgent("east".to_owned()));
    assert_eq!(fixture.count("select count(*) from work.late_reports").await, 1);
}

#[tokio::test]
async fn late_reports_of_one_order_are_bounded() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let mut grant = fixture.claimed("east", "one").await;
    fixture.complete(&grant, "east", success(&grant)).await.unwrap();
    for fence in 0..120 {
        grant.fence = Some(Fence(1_000_000 + fence));
        fixture
            .complete(&grant, "east", success(&grant))
            .await
            .unwrap_err();
    }
    assert_eq!(fixture.count("select count(*) from work.late_reports").await, 100);
}
