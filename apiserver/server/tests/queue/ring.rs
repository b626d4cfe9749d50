//! Who is woken, and when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use brokkr_apis::work::v1alpha1::Agent;
use brokkr_apiserver::queue::Sweeper;
use brokkr_apiserver::registry::agent::table::AGENTS;
use futures::StreamExt;
use generic_apiserver::storage::{Freshness, Selection, WatchEvent, WatchOptions, WatchStart};
use tokio_util::sync::CancellationToken;

use crate::ask::{labelled, success};
use crate::fixture::{Fixture, SOON, read};

#[tokio::test]
async fn new_order_rings_an_idle_agent_that_matches_in_its_own_transaction() {
    let fixture = Fixture::new().await;
    fixture.agent("idle").await;
    fixture.agent("elsewhere").await;
    fixture
        .agent_with("jobs", |agent| agent.spec.work_types = vec!["job".to_owned()])
        .await;
    for agent in ["jobs", "elsewhere", "idle"] {
        fixture.claim(agent, 1).await;
    }
    let before = fixture.storage.current_version().await.unwrap();
    fixture
        .order_with("one", |order| {
            order.spec.targets = vec![brokkr_apis::work::v1alpha1::TargetTerm {
                agent_names: vec!["idle".to_owned(), "jobs".to_owned()],
                ..Default::default()
            }];
        })
        .await;

    assert_eq!(fixture.wake("idle").await, 1);
    assert_eq!(
        (fixture.wake("jobs").await, fixture.wake("elsewhere").await),
        (0, 0)
    );
    let versions = fixture.storage.current_version().await.unwrap().get() - before.get();
    assert_eq!(versions, 2, "the order and the ring, one after the other");
    let transactions = fixture
        .count("select count(distinct xmin::text) from (select xmin from work.work_orders union all select xmin from work.agents where name = 'idle') as written")
        .await;
    assert_eq!(transactions, 1);
}

#[tokio::test]
async fn as_many_agents_are_rung_as_there_are_orders_longest_idle_first() {
    let fixture = Fixture::new().await;
    for agent in ["first", "second", "third"] {
        fixture.agent(agent).await;
        fixture.claim(agent, 1).await;
    }
    fixture.order("one").await;
    fixture.order("two").await;

    let woken = [
        fixture.wake("first").await,
        fixture.wake("second").await,
        fixture.wake("third").await,
    ];
    assert_eq!(woken, [1, 1, 0]);
    assert_eq!(fixture.claim("first", 1).await.len(), 1);
}

#[tokio::test]
async fn busy_agent_is_not_rung() {
    let fixture = Fixture::new().await;
    fixture
        .agent_with("east", |agent| {
            agent.spec.concurrency.as_mut().unwrap().total = Some(1);
        })
        .await;
    fixture.order("one").await;
    let grants = fixture.claim("east", 5).await;
    assert_eq!(grants.len(), 1);

    fixture.order("two").await;
    assert_eq!(fixture.wake("east").await, 0);

    fixture
        .complete(&grants[0], "east", success(&grants[0]))
        .await
        .unwrap();
    assert_eq!(fixture.claim("east", 1).await.len(), 1);
}

#[tokio::test]
async fn ring_that_nobody_answers_goes_to_the_next() {
    let fixture = Fixture::new().await;
    for agent in ["dead", "alive", "last"] {
        fixture.agent(agent).await;
        fixture.claim(agent, 1).await;
    }
    fixture.order("one").await;
    assert_eq!((fixture.wake("dead").await, fixture.wake("alive").await), (1, 0));

    fixture.sweep().await;
    assert_eq!(fixture.wake("alive").await, 0, "not before a second has passed");
    let a_second_passes = async || {
        let second = "interval '1 second'";
        fixture
            .sql(&format!(
                "update work.work_orders set ready_since = ready_since - {second}"
            ))
            .await;
        fixture
            .sql(&format!(
                "update work.idle_agents set asked_at = asked_at - {second}, rung_at = rung_at - {second}"
            ))
            .await;
    };
    a_second_passes().await;
    fixture.sweep().await;
    let woken = async || {
        let (dead, alive) = (fixture.wake("dead").await, fixture.wake("alive").await);
        (dead, alive, fixture.wake("last").await)
    };
    assert_eq!(woken().await, (1, 1, 0));

    fixture.sweep().await;
    assert_eq!(woken().await, (1, 1, 0), "the second one has a second as well");
    a_second_passes().await;
    fixture.sweep().await;
    assert_eq!(woken().await, (1, 1, 1));
}

#[tokio::test]
async fn ring_for_work_of_another_kind_does_not_hold_up_the_next_ring() {
    let fixture = Fixture::new().await;
    for (name, work_type) in [("dead", "build"), ("alive", "build"), ("jobs", "job")] {
        fixture
            .agent_with(name, |agent| agent.spec.work_types = vec![work_type.to_owned()])
            .await;
        fixture.claim(name, 1).await;
    }
    fixture.order("build").await;
    assert_eq!(fixture.wake("dead").await, 1);
    let two_seconds = "interval '2 seconds'";
    fixture
        .sql(&format!(
            "update work.work_orders set ready_since = ready_since - {two_seconds}"
        ))
        .await;
    fixture
        .sql(&format!(
            "update work.idle_agents set asked_at = asked_at - {two_seconds}, rung_at = rung_at - {two_seconds}"
        ))
        .await;
    fixture
        .order_with("job", |order| order.spec.work_type = "job".to_owned())
        .await;
    assert_eq!(fixture.wake("jobs").await, 1);

    fixture.sweep().await;

    assert_eq!((fixture.wake("dead").await, fixture.wake("alive").await), (1, 1));
}

#[tokio::test]
async fn agent_that_asked_and_could_not_take_it_is_not_rung_again() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("one").await;
    let mut elsewhere = crate::ask::batch("east", 1);
    elsewhere.namespaces = Some(Vec::new());
    assert!(fixture.queue.claim(elsewhere).await.unwrap().unwrap().is_empty());

    fixture
        .sql("update work.work_orders set ready_since = ready_since - interval '2 seconds'")
        .await;
    fixture.sweep().await;

    assert_eq!(fixture.wake("east").await, 0);
}

#[tokio::test]
async fn resumed_order_rings() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.claim("east", 1).await;
    fixture
        .order_with("one", |order| order.spec.suspend = Some(true))
        .await;
    assert_eq!(fixture.wake("east").await, 0);

    fixture
        .change_order("one", |order| order.spec.suspend = Some(false))
        .await;

    assert_eq!(fixture.wake("east").await, 1);
}

#[tokio::test]
async fn own_completion_rings_nobody_and_a_lost_claim_rings_its_holder() {
    let fixture = Fixture::new().await;
    fixture
        .agent_with("east", |agent| {
            agent.metadata.labels = Some([("zone".to_owned(), "e".to_owned())].into());
        })
        .await;
    fixture
        .order_with("one", |order| order.spec.targets = vec![labelled("zone", "e")])
        .await;
    fixture.order("two").await;
    let grants = fixture.claim("east", 2).await;

    fixture
        .complete(&grants[0], "east", success(&grants[0]))
        .await
        .unwrap();
    assert_eq!(fixture.wake("east").await, 0);
    fixture.age_lease(&grants[1].uid).await;
    fixture.sweep().await;
    assert_eq!(fixture.wake("east").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_created_through_one_replica_wakes_an_agent_that_watches_another() {
    let first = Fixture::new().await;
    let second = first.replica();
    first.agent("east").await;
    assert_eq!(second.claim("east", 1).await, []);
    let options = WatchOptions {
        namespace: None,
        selection: Selection::default(),
        start: WatchStart::Now(Freshness::Latest),
        bookmarks: false,
    };
    let mut watch = second.storage.watch(AGENTS, options).await.unwrap();

    first.order("one").await;

    let event = tokio::time::timeout(SOON, watch.next()).await.expect("the bell");
    let WatchEvent::Object(_, rung) = event.unwrap().unwrap() else {
        panic!("a bookmark")
    };
    assert_eq!(read::<Agent>(&rung).status.unwrap().wake, 1);
    assert_eq!(second.claim("east", 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_ring_one_agent_after_the_other_a_second_apart() {
    let first = Fixture::new().await;
    let second = first.replica();
    for agent in ["dead", "deaf", "alive"] {
        first.agent(agent).await;
        first.claim(agent, 1).await;
    }
    let token = CancellationToken::new();
    let sweepers = [&first, &second].map(|replica| {
        let everywhere = Arc::new(crate::ask::AllowIn(vec![""]));
        let terminating = Arc::clone(&replica.terminating) as _;
        let sweeper = Sweeper::new(replica.storage.clone(), terminating, everywhere);
        tokio::spawn(sweeper.run(token.clone()))
    });

    let created = Instant::now();
    first.order("one").await;
    let mut rung = Vec::new();
    for agent in ["dead", "deaf", "alive"] {
        while first.wake(agent).await == 0 {
            assert!(created.elapsed() < SOON, "{agent} is not rung");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        rung.push(created.elapsed());
    }
    token.cancel();
    futures::future::join_all(sweepers).await;

    assert!(rung[1] >= Duration::from_secs(1), "{rung:?}");
    assert!(rung[2] >= Duration::from_secs(2), "{rung:?}");
}
