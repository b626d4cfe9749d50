//! Who gets an order.

use std::sync::Arc;

use brokkr_apis::work::v1alpha1::WorkOrderPhase;
use brokkr_apiserver::lifecycle::Refusal;
use brokkr_apiserver::queue::claim::{ClaimRefusal, Grant};

use crate::ask::{batch, named, success};
use crate::fixture::{Fixture, TEAM};

#[tokio::test(flavor = "multi_thread")]
async fn of_32_racing_claims_exactly_one_wins() {
    let fixture = Arc::new(Fixture::new().await);
    for index in 0..32 {
        fixture.agent(&format!("agent-{index}")).await;
    }
    let order = fixture.order("one").await;

    let claims = (0..32).map(|index| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move { fixture.claim_named(&format!("agent-{index}"), "p1", "one").await })
    });
    let mut won = Vec::new();
    let mut lost = 0;
    for claim in claims.collect::<Vec<_>>() {
        match claim.await.unwrap() {
            Ok(grants) => won.extend(grants),
            Err(ClaimRefusal::State {
                refusal: Refusal::Held { .. },
                held: Some(_),
            }) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }

    assert_eq!((won.len(), lost), (1, 31));
    assert_eq!(won[0].uid, order.metadata.uid.unwrap());
    assert_eq!(fixture.count("select count(*) from work.work_leases").await, 1);
    assert_eq!(fixture.count("select count(*) from work.attempts").await, 1);
}

#[tokio::test]
async fn fence_is_the_version_of_the_claim() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;

    let grant = fixture.claimed("east", "one").await;

    let order = fixture.find("one").await.unwrap();
    assert_eq!(
        order.metadata.resource_version,
        Some(grant.fence.unwrap().to_string())
    );
    assert_eq!(order.status.unwrap().claim.unwrap().fence, grant.fence.unwrap());
    assert_eq!(grant.attempt, 1);
    assert_eq!(grant.order.unwrap().spec.work_type, "build");
}

#[tokio::test]
async fn second_claim_of_same_order_names_holder_and_expiry() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;

    let refusal = fixture.claim_named("west", "p9", "one").await.unwrap_err();

    let text = refusal.to_string();
    assert!(text.contains("held by agent east"), "{text}");
    assert!(text.contains("holder p1"), "{text}");
    assert!(text.contains(&format!("expires {}", grant.expires_at)), "{text}");
}

#[tokio::test]
async fn same_holder_gets_its_claim_back() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let first = fixture.claimed("east", "one").await;

    let again = fixture.claimed("east", "one").await;

    assert_eq!((again.fence, again.attempt), (first.fence, 1));
    assert!(again.expires_at > first.expires_at);
    assert_eq!(
        fixture.find("one").await.unwrap().metadata.resource_version,
        Some(first.fence.unwrap().to_string())
    );
}

#[tokio::test]
async fn another_process_needs_takeover_which_changes_the_fence_only() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let first = fixture.claimed("east", "one").await;

    let refusal = fixture.claim_named("east", "p2", "one").await.unwrap_err();
    assert!(
        matches!(&refusal, ClaimRefusal::State { refusal: Refusal::HeldByOtherProcess { holder, .. }, .. } if holder == "p1")
    );
    let mut takeover = named("east", "p2", "one");
    takeover.named.as_mut().unwrap().takeover = true;
    let second = fixture.queue.claim(takeover).await.unwrap().unwrap().remove(0);

    assert!(second.fence > first.fence);
    assert_eq!(second.attempt, 1);
    let status = fixture.find("one").await.unwrap().status.unwrap();
    assert_eq!((status.lost_attempts, status.attempts.len()), (0, 1));
    assert_eq!(status.claim.unwrap().holder, "p2");
    assert!(fixture.complete(&first, "east", success(&first)).await.is_err());
    assert!(fixture.complete(&second, "east", success(&second)).await.is_ok());
}

/// What a caller sees of its grants: how long the orders waited is told to the metrics alone, and once.
fn answer(grants: Vec<Grant>) -> Vec<Grant> {
    let unmeasured = |grant| Grant {
        waited: None,
        ..grant
    };
    grants.into_iter().map(unmeasured).collect()
}

#[tokio::test]
async fn request_id_replays_the_answer_and_refuses_another_body() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    fixture.order("two").await;
    let mut input = batch("east", 1);
    input.request_id = Some("r1".to_owned());

    let first = fixture.queue.claim(input.clone()).await.unwrap().unwrap();
    let replayed = fixture.queue.claim(input.clone()).await.unwrap().unwrap();
    input.body_hash = "another".to_owned();
    let reused = fixture.queue.claim(input).await.unwrap();

    assert_eq!(first.len(), 1);
    assert_eq!(answer(replayed), answer(first));
    assert_eq!(reused, Err(ClaimRefusal::RequestReused));
    assert_eq!(fixture.count("select count(*) from work.work_leases").await, 1);
}

#[tokio::test]
async fn dry_run_claims_nothing() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    let before = fixture.order("one").await;
    let mut input = batch("east", 5);
    input.dry_run = true;

    let grants = fixture.queue.claim(input).await.unwrap().unwrap();

    assert_eq!((grants.len(), grants[0].fence), (1, None));
    assert_eq!(fixture.find("one").await.unwrap(), before);
    assert_eq!(fixture.count("select count(*) from work.idle_agents").await, 0);
}

#[tokio::test]
async fn agent_never_holds_more_than_its_concurrency() {
    let fixture = Fixture::new().await;
    fixture
        .agent_with("east", |agent| {
            let concurrency = agent.spec.concurrency.as_mut().unwrap();
            concurrency.total = Some(3);
            concurrency.by_type = [("build".to_owned(), 2)].into();
        })
        .await;
    for index in 0..4 {
        fixture.order(&format!("build-{index}")).await;
        fixture
            .order_with(&format!("job-{index}"), |order| {
                order.spec.work_type = "job".to_owned();
            })
            .await;
    }

    let granted = fixture.claim("east", 10).await;

    let builds = granted
        .iter()
        .filter(|grant| grant.name.starts_with("build"))
        .count();
    assert_eq!((granted.len(), builds), (3, 2));
    assert_eq!(fixture.claim("east", 10).await, []);
    let free = fixture.find("job-3").await.unwrap();
    assert_eq!(free.status.unwrap().phase, WorkOrderPhase::Pending);
    let refusal = fixture.claim_named("east", "p1", "job-3").await.unwrap_err();
    assert_eq!(refusal, ClaimRefusal::AtCapacity { held: 3, limit: 3 });
}

#[tokio::test]
async fn what_an_agent_may_not_take_is_left_to_others() {
    let fixture = Fixture::new().await;
    fixture
        .agent_with("jobs", |agent| agent.spec.work_types = vec!["job".to_owned()])
        .await;
    fixture
        .agent_with("off", |agent| agent.spec.unschedulable = Some(true))
        .await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let mut elsewhere = batch("east", 1);
    elsewhere.namespaces = Some(vec!["team-b".to_owned()]);

    assert_eq!(fixture.claim("jobs", 1).await, []);
    assert_eq!(fixture.claim("off", 1).await, []);
    assert_eq!(fixture.queue.claim(elsewhere).await.unwrap().unwrap(), []);
    let refusals = [
        fixture.claim_named("jobs", "p1", "one").await.unwrap_err(),
        fixture.claim_named("off", "p1", "one").await.unwrap_err(),
        fixture.claim_named("east", "p1", "none").await.unwrap_err(),
        fixture.claim_named("nobody", "p1", "one").await.unwrap_err(),
    ];
    let expected = [
        ClaimRefusal::NotServed("build".to_owned()),
        ClaimRefusal::Unschedulable,
        ClaimRefusal::NoOrder,
        ClaimRefusal::NoAgent,
    ];
    assert_eq!(refusals, expected);
    assert_eq!(fixture.claim("east", 1).await.len(), 1);
}

#[tokio::test]
async fn claim_by_type_takes_only_that() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for (name, work_type) in [("build-1", "build"), ("job-1", "job"), ("build-2", "build")] {
        fixture
            .order_with(name, |order| order.spec.work_type = work_type.to_owned())
            .await;
    }
    let names = async |work_type: &str| {
        let mut input = batch("east", 3);
        input.work_types = vec![work_type.to_owned()];
        let grants = fixture.queue.claim(input).await.unwrap().unwrap();
        grants.into_iter().map(|grant| grant.name).collect::<Vec<_>>()
    };

    assert_eq!(names("workflow").await, Vec::<String>::new());
    assert_eq!(names("job").await, ["job-1"]);
    assert_eq!(names("build").await, ["build-1", "build-2"]);
}

#[tokio::test]
async fn suspended_and_terminating_orders_are_not_claimed() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture
        .order_with("held-back", |order| order.spec.suspend = Some(true))
        .await;
    fixture.order("going").await;
    let mut going = named("east", "p1", "going");
    going.terminating = vec![TEAM.to_owned()];
    let mut any = batch("east", 5);
    any.terminating = vec![TEAM.to_owned()];

    assert_eq!(fixture.queue.claim(any).await.unwrap().unwrap(), []);
    let refused = fixture.queue.claim(going).await.unwrap().unwrap_err();
    assert!(matches!(
        refused,
        ClaimRefusal::State {
            refusal: Refusal::NamespaceTerminating,
            ..
        }
    ));
    let refused = fixture.claim_named("east", "p1", "held-back").await.unwrap_err();
    assert!(matches!(
        refused,
        ClaimRefusal::State {
            refusal: Refusal::Suspended,
            ..
        }
    ));
    fixture
        .change_order("held-back", |order| order.spec.suspend = Some(false))
        .await;
    assert_eq!(fixture.claim("east", 5).await.len(), 2);
}

#[tokio::test]
async fn answer_to_a_request_counts_for_ten_minutes_and_no_longer() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for name in ["one", "two"] {
        fixture.order(name).await;
    }
    let mut input = batch("east", 1);
    input.request_id = Some("r1".to_owned());
    let first = fixture.queue.claim(input.clone()).await.unwrap().unwrap();
    let passes = |minutes: &str| {
        format!("update work.claim_requests set answered_at = clock_timestamp() - interval '{minutes}'")
    };

    fixture.sql(&passes("9 minutes 50 seconds")).await;
    let replayed = fixture.queue.claim(input.clone()).await.unwrap().unwrap();
    assert_eq!(answer(replayed), answer(first.clone()));

    // Nobody has forgotten the row yet; the answer does not count any more all the same.
    fixture.sql(&passes("10 minutes")).await;
    let second = fixture.queue.claim(input.clone()).await.unwrap().unwrap();
    assert_eq!((first[0].name.as_str(), second[0].name.as_str()), ("one", "two"));
    let replayed = fixture.queue.claim(input).await.unwrap().unwrap();
    assert_eq!(answer(replayed), answer(second));
}

#[tokio::test]
async fn spent_request_id_gives_no_claim_back() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let with_id = |mut input: brokkr_apiserver::queue::claim::ClaimInput, id: &str| {
        input.request_id = Some(id.to_owned());
        input
    };
    let by_name = with_id(named("east", "p1", "one"), "by name");
    let in_batch = with_id(batch("east", 1), "in batch");
    let first = fixture.queue.claim(by_name.clone()).await.unwrap().unwrap();
    fixture.age_lease(&first[0].uid).await;
    fixture.sweep().await;
    let second = fixture.queue.claim(in_batch.clone()).await.unwrap().unwrap();
    assert_eq!((second.len(), second[0].attempt), (1, 2));

    let again = fixture.queue.claim(by_name).await.unwrap();
    assert_eq!(again, Err(ClaimRefusal::RequestSpent));
    fixture
        .complete(&second[0], "east", success(&second[0]))
        .await
        .unwrap();
    let again = fixture.queue.claim(in_batch).await.unwrap().unwrap();
    assert_eq!((again[0].fence, &again[0].order), (second[0].fence, &None));
}

#[tokio::test]
async fn order_in_its_backoff_is_not_claimed_by_name() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    fixture.fail(&grant, "east", "GitRemoteFailed").await;

    let refused = fixture.claim_named("east", "p1", "one").await;

    assert!(
        matches!(
            &refused,
            Err(ClaimRefusal::State {
                refusal: Refusal::NotDue { .. },
                held: None
            })
        ),
        "{refused:?}"
    );
    // The time counts, not the sweep that ends the backoff.
    fixture
        .sql("update work.work_orders set next_retry_after = clock_timestamp()")
        .await;
    assert_eq!(fixture.claimed("east", "one").await.attempt, 2);
}

#[tokio::test]
async fn orders_of_a_terminating_namespace_are_in_nobodys_way() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for name in ["going-1", "going-2"] {
        fixture.order(name).await;
    }
    let grant = fixture.claimed("east", "going-1").await;
    fixture.fail(&grant, "east", "GitRemoteFailed").await;
    fixture
        .sql(
            "update work.work_orders set next_retry_after = clock_timestamp() where status = 'RETRY_PENDING'",
        )
        .await;
    fixture.sweep().await;
    fixture
        .order_with("staying", |order| {
            order.metadata.namespace = Some("team-b".to_owned());
        })
        .await;
    let mut input = batch("east", 1);
    input.terminating = vec![TEAM.to_owned()];

    let grants = fixture.queue.claim(input).await.unwrap().unwrap();

    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].name, "staying");
}
