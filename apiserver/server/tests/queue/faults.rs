//! The database dies under claims, and replicas race for the same orders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use brokkr_apis::work::v1alpha1::Fence;
use brokkr_apiserver::lifecycle::Refusal;
use brokkr_apiserver::queue::claim::{ClaimInput, ClaimRefusal, Grant};
use futures::StreamExt;
use futures::future::join_all;
use generic_apiserver::storage::StorageError;
use test_postgres::{Durability, TestPostgres};
use tokio::time::{Instant, sleep};

use crate::ask::{batch, named};
use crate::fixture::{Fixture, SOON};

const ORDERS: usize = 1000;
const AGENTS: usize = 8;

/// Creates so many orders, many at a time.
async fn orders(fixture: &Fixture, count: usize) {
    let create = |number| async move { fixture.order(&format!("order-{number}")).await };
    futures::stream::iter(0..count)
        .map(create)
        .buffer_unordered(64)
        .collect::<Vec<_>>()
        .await;
}

/// Creates agents `agent-0` and so on, whose leases outlast the test.
async fn agents(fixture: &Fixture, count: usize) {
    for number in 0..count {
        fixture
            .agent_with(&format!("agent-{number}"), |agent| {
                agent.spec.lease_seconds = Some(600);
            })
            .await;
    }
}

/// What the queue holds: uid and fence of every lease, by agent.
async fn leases(fixture: &Fixture) -> BTreeMap<String, BTreeSet<(String, Fence)>> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("select agent, order_uid::text, fence from work.work_leases")
            .fetch_all(fixture.storage.pool())
            .await
            .unwrap();
    let mut leases: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
    for (agent, uid, fence) in rows {
        leases.entry(agent).or_default().insert((uid, Fence(fence)));
    }
    leases
}

/// Asks until there is an answer, as an agent does whose hub is away.
async fn answered(fixture: &Fixture, input: &ClaimInput) -> Vec<Grant> {
    let deadline = Instant::now() + SOON;
    loop {
        match fixture.queue.claim(input.clone()).await {
            Ok(answer) => return answer.unwrap(),
            Err(StorageError::Unreachable { .. }) => sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "the database is back");
    }
}

/// Claims five orders at a time until none is left, each time under an id of its own.
async fn claim_all(
    fixture: Arc<Fixture>,
    agent: String,
    claimed: Arc<AtomicUsize>,
) -> BTreeSet<(String, Fence)> {
    let mut held = BTreeSet::new();
    for number in 0.. {
        let mut input = batch(&agent, 5);
        input.request_id = Some(format!("request-{number}"));
        let grants = answered(&fixture, &input).await;
        if grants.is_empty() {
            break;
        }
        claimed.fetch_add(grants.len(), Ordering::SeqCst);
        for grant in grants {
            assert!(
                held.insert((grant.uid, grant.fence.unwrap())),
                "granted twice to {agent}"
            );
        }
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn database_killed_during_a_thousand_claims_holds_nothing_twice_and_loses_nothing() {
    let mut postgres = TestPostgres::start(Durability::Full).unwrap();
    let first = Arc::new(Fixture::on_server(&postgres).await);
    let second = Arc::new(first.replica());
    agents(&first, AGENTS).await;
    orders(&first, ORDERS).await;
    let claimed = Arc::new(AtomicUsize::new(0));
    let claims: Vec<_> = (0..AGENTS)
        .map(|number| {
            let replica = [&first, &second][number % 2].clone();
            tokio::spawn(claim_all(replica, format!("agent-{number}"), claimed.clone()))
        })
        .collect();

    for share in [200, 500, 800] {
        let deadline = Instant::now() + SOON * 3;
        while claimed.load(Ordering::SeqCst) < share {
            assert!(Instant::now() < deadline, "claims go on");
            sleep(Duration::from_millis(1)).await;
        }
        postgres.kill().unwrap();
        postgres.restart().unwrap();
    }
    let mut acknowledged = BTreeMap::new();
    for (number, held) in join_all(claims).await.into_iter().enumerate() {
        acknowledged.insert(format!("agent-{number}"), held.unwrap());
    }

    let uids: Vec<_> = acknowledged.values().flatten().map(|(uid, _)| uid).collect();
    assert_eq!(uids.len(), ORDERS, "every order is held");
    assert_eq!(
        uids.iter().collect::<BTreeSet<_>>().len(),
        ORDERS,
        "none is held twice"
    );
    acknowledged.retain(|_, held| !held.is_empty());
    assert_eq!(
        leases(&first).await,
        acknowledged,
        "what was answered is what is held"
    );
    assert_eq!(
        first.count("select count(*) from work.attempts").await,
        ORDERS as i64,
        "each was claimed once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_race_in_slow_transactions_grant_every_order_once() {
    const RACED: usize = 60;
    let first = Arc::new(Fixture::new().await);
    let second = Arc::new(first.replica());
    agents(&first, 4).await;
    orders(&first, RACED).await;
    // Between what a claim has read and its commit, for a time that differs.
    first
        .sql(
            "create function work.dawdle() returns trigger language plpgsql as
             $$ begin perform pg_sleep(random() * 0.01); return new; end $$",
        )
        .await;
    for table in ["work.work_orders", "work.work_leases"] {
        let event = if table.ends_with("orders") {
            "update"
        } else {
            "insert"
        };
        first
            .sql(&format!(
                "create trigger dawdle before {event} on {table} for each row execute function work.dawdle()"
            ))
            .await;
    }

    let race = |number: usize| {
        let replica = [&first, &second][number % 2].clone();
        let agent = format!("agent-{number}");
        tokio::spawn(async move {
            let mut won = BTreeSet::new();
            // Each begins elsewhere, and meets the others.
            for order in (0..RACED).map(|order| (order + number * RACED / 4) % RACED) {
                match replica
                    .queue
                    .claim(named(&agent, "p1", &format!("order-{order}")))
                    .await
                    .unwrap()
                {
                    Ok(mut grants) => {
                        let grant = grants.remove(0);
                        won.insert((grant.uid, grant.fence.unwrap()));
                    }
                    Err(ClaimRefusal::State {
                        refusal: Refusal::Held { .. },
                        ..
                    }) => {}
                    Err(refusal) => panic!("{refusal}"),
                }
            }
            (agent, won)
        })
    };
    let races: Vec<_> = (0..4).map(race).collect();
    let won: BTreeMap<_, _> = join_all(races).await.into_iter().map(Result::unwrap).collect();

    assert_eq!(won.values().map(BTreeSet::len).sum::<usize>(), RACED);
    let held: BTreeMap<_, _> = won.into_iter().filter(|(_, won)| !won.is_empty()).collect();
    assert_eq!(leases(&second).await, held);
}
