//! Agents that may claim in some namespaces only, and the reviews that say in which.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::WorkOrderPhase;
use brokkr_apiserver::queue::Sweeper;
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use tokio_util::sync::CancellationToken;

use crate::ask::{batch, context};
use crate::fixture::{Fixture, SOON, TEAM};

/// Allows each user what is asked in one namespace.
struct AllowEach(Vec<(&'static str, &'static str)>);

#[async_trait]
impl Authorizer for AllowEach {
    async fn authorize(
        &self,
        user: &UserInfo,
        attributes: &Attributes,
    ) -> Result<Decision, AuthorizationError> {
        let Attributes::Resource { namespace, .. } = attributes else {
            panic!("only resources are asked about")
        };
        if self.0.contains(&(user.name.as_str(), namespace.as_str())) {
            return Ok(Decision::Allow);
        }
        Ok(Decision::Deny("not in this namespace".to_owned()))
    }
}

/// A cluster that takes every review and answers none.
struct NeverAnswers;

#[async_trait]
impl Authorizer for NeverAnswers {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        std::future::pending().await
    }
}

fn sweeper(fixture: &Fixture, authorizer: impl Authorizer) -> Sweeper {
    let terminating = Arc::clone(&fixture.terminating) as _;
    Sweeper::new(fixture.storage.clone(), terminating, Arc::new(authorizer))
}

/// Creates an agent that may not claim everywhere and has asked for an order.
async fn limited(fixture: &Fixture, name: &str) {
    fixture.agent(name).await;
    ask(fixture, name).await;
}

async fn ask(fixture: &Fixture, name: &str) {
    let mut ask = batch(name, 1);
    ask.namespaces = Some(Vec::new());
    ask.limited_user = Some(context(name, Vec::new()).user);
    assert!(fixture.queue.claim(ask).await.unwrap().unwrap().is_empty());
}

async fn order_in(fixture: &Fixture, namespace: &str, name: &str) {
    fixture
        .order_with(name, |order| {
            order.metadata.namespace = Some(namespace.to_owned());
        })
        .await;
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn limited_agent_is_rung_by_the_sweeper_and_only_where_it_may_claim() {
    let fixture = Fixture::new().await;
    limited(&fixture, "limited").await;

    order_in(&fixture, "team-b", "elsewhere").await;
    assert_eq!(fixture.ring_limited().await, 0);
    assert_eq!(fixture.wake("limited").await, 0, "it may not claim there");

    fixture.order("here").await;
    assert_eq!(fixture.wake("limited").await, 0, "nobody is asked under the lock");
    assert_eq!(fixture.ring_limited().await, 1);
    assert_eq!(fixture.ring_limited().await, 0);
    assert_eq!(fixture.wake("limited").await, 1, "once, until it asks again");
}

#[tokio::test]
async fn order_rings_one_limited_agent_and_the_next_a_second_later() {
    let fixture = Fixture::new().await;
    for agent in ["first", "second", "third"] {
        limited(&fixture, agent).await;
    }
    fixture.order("one").await;
    let woken = async || {
        let (first, second) = (fixture.wake("first").await, fixture.wake("second").await);
        [first, second, fixture.wake("third").await]
    };

    fixture.ring_limited().await;
    fixture.ring_limited().await;
    assert_eq!(
        woken().await,
        [1, 0, 0],
        "longest idle first, who has a second to come"
    );

    fixture
        .sql("update work.idle_agents set rung_at = rung_at - interval '1 second'")
        .await;
    fixture.ring_limited().await;
    fixture.ring_limited().await;
    assert_eq!(woken().await, [1, 1, 0]);
}

#[tokio::test]
async fn agent_that_may_claim_everywhere_and_was_just_rung_has_a_second_to_come() {
    let fixture = Fixture::new().await;
    fixture.agent("everywhere").await;
    fixture.claim("everywhere", 1).await;
    limited(&fixture, "limited").await;
    fixture.order("one").await;
    assert_eq!(fixture.wake("everywhere").await, 1);

    assert_eq!(fixture.ring_limited().await, 0);
    fixture
        .sql("update work.idle_agents set rung_at = rung_at - interval '1 second'")
        .await;
    assert_eq!(fixture.ring_limited().await, 1);
}

#[tokio::test]
async fn ring_for_an_order_elsewhere_does_not_hold_up_the_ring_for_one_here() {
    let fixture = Fixture::new().await;
    limited(&fixture, "elsewhere").await;
    limited(&fixture, "here").await;
    let sweeper = sweeper(&fixture, AllowEach(vec![("elsewhere", "team-b"), ("here", TEAM)]));

    order_in(&fixture, "team-b", "one").await;
    sweeper.ring_limited().await.unwrap();
    assert_eq!(fixture.wake("elsewhere").await, 1);
    fixture.order("two").await;
    sweeper.ring_limited().await.unwrap();

    assert_eq!(
        (fixture.wake("elsewhere").await, fixture.wake("here").await),
        (1, 1)
    );
}

#[tokio::test]
async fn agents_that_may_not_claim_stand_in_the_way_of_no_other() {
    let fixture = Fixture::new().await;
    // More than one look asks about, all idle longer than the one that may.
    for number in 0..120 {
        limited(&fixture, &format!("denied-{number}")).await;
    }
    limited(&fixture, "allowed").await;
    fixture.order("one").await;
    let sweeper = sweeper(&fixture, AllowEach(vec![("allowed", TEAM)]));

    until("the one that may is rung", async || {
        sweeper.ring_limited().await.unwrap();
        fixture.wake("allowed").await == 1
    })
    .await;
}

#[tokio::test]
async fn agent_whose_user_cannot_be_read_is_left_out_alone() {
    let fixture = Fixture::new().await;
    limited(&fixture, "unreadable").await;
    limited(&fixture, "readable").await;
    fixture
        .sql("update work.idle_agents set limited_user = '{\"name\": 7' where agent = 'unreadable'")
        .await;
    fixture.order("one").await;

    assert_eq!(fixture.ring_limited().await, 1);
    assert_eq!(
        (fixture.wake("unreadable").await, fixture.wake("readable").await),
        (0, 1)
    );
}

#[tokio::test]
async fn review_that_is_never_answered_holds_up_nothing_that_has_fallen_due() {
    let fixture = Fixture::new().await;
    limited(&fixture, "limited").await;
    fixture.agent("east").await;
    fixture.order("claimed").await;
    let grant = fixture.claimed("east", "claimed").await;
    fixture.order("waiting").await;
    let token = CancellationToken::new();
    let running = tokio::spawn(sweeper(&fixture, NeverAnswers).run(token.clone()));
    // Long enough for the review to be under way.
    let began =
        "select count(*) from work.queue_state where served_at > clock_timestamp() - interval '2 seconds'";
    until("the queue is served", async || fixture.count(began).await == 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    fixture.age_lease(&grant.uid).await;

    until("the lease has run out", async || {
        fixture.phase("claimed").await == WorkOrderPhase::Pending
    })
    .await;
    token.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn idle_agent_that_has_not_asked_for_hours_is_forgotten() {
    let fixture = Fixture::new().await;
    limited(&fixture, "gone").await;
    limited(&fixture, "there").await;
    fixture
        .sql("update work.idle_agents set asked_at = asked_at - interval '3 hours' where agent = 'gone'")
        .await;
    let token = CancellationToken::new();
    let running = tokio::spawn(sweeper(&fixture, AllowEach(Vec::new())).run(token.clone()));

    let left = "select count(*) from work.idle_agents where agent = ";
    until("it is forgotten", async || {
        fixture.count(&format!("{left}'gone'")).await == 0
    })
    .await;
    assert_eq!(fixture.count(&format!("{left}'there'")).await, 1);
    token.cancel();
    running.await.unwrap();
}
