//! PostgreSQL is killed with SIGKILL while orders are created and claimed through two replicas. Whoever
//! was told of success finds what he was told; whoever was not asks again; nothing is held twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_postgres::{Durability, TestPostgres};
use tokio::task::JoinSet;

use crate::client::{Answer, Call, Client, SOON};
use crate::server::{AGENTS, ORDERS, Server, order, request};
use crate::size;

/// Clients at the same time.
const CLIENTS: usize = 16;

/// Until everything must have been done, whatever the size.
const LIMIT: Duration = Duration::from_secs(300);

/// What has been seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// Orders that were acknowledged.
    acknowledged: AtomicUsize,
    /// Requests that were not: refused with 503, or without an answer in time.
    unanswered: AtomicUsize,
}

/// Sends until the answer is one of success or a conflict; the outage is waited out.
async fn insist(client: &Client, call: &Call, seen: &Seen) -> Answer {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = client.send(call).await;
        match answer.status.as_u16() {
            201 | 409 => return answer,
            503 => assert!(!answer.header("retry-after").is_empty(), "{answer:?}"),
            504 => {}
            _ => panic!("{call:?}: {answer:?}"),
        }
        seen.unanswered.fetch_add(1, Ordering::Relaxed);
        assert!(Instant::now() < deadline, "{call:?}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Kills the database when a third is done, and starts it again when somebody has noticed.
async fn crash(postgres: &mut TestPostgres, seen: &Seen, total: usize) {
    let reached = async |what: &str, condition: &dyn Fn() -> bool| {
        let deadline = Instant::now() + LIMIT;
        while !condition() {
            assert!(Instant::now() < deadline, "never: {what}: {seen:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    reached("a third", &|| {
        seen.acknowledged.load(Ordering::Relaxed) > total / 3
    })
    .await;
    tokio::task::block_in_place(|| postgres.kill()).unwrap();
    reached("an outage", &|| seen.unanswered.load(Ordering::Relaxed) > 0).await;
    tokio::task::block_in_place(|| postgres.restart()).unwrap();
}

/// Creates the orders of one client; the uid of each that was acknowledged.
async fn create(client: Client, names: Vec<String>, seen: Arc<Seen>) -> BTreeMap<String, Value> {
    let mut acknowledged = BTreeMap::new();
    for name in names {
        let answer = insist(&client, &Call::post(ORDERS, &order(&name, json!({}))), &seen).await;
        if answer.status == 201 {
            acknowledged.insert(name, answer.json()["metadata"]["uid"].clone());
        } else {
            // It was stored by the try before, whose success nobody was told.
            assert_eq!(answer.json()["reason"], "AlreadyExists", "{answer:?}");
        }
        seen.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// Claims until nothing is left to claim; the fence of each order that was granted.
async fn claim(client: Client, agent: String, seen: Arc<Seen>) -> BTreeMap<String, Value> {
    let mut granted = BTreeMap::new();
    for number in 0.. {
        // The id makes a claim that is asked again the same claim.
        let spec = json!({"holder": "p", "requestID": format!("{agent}-{number}"), "max": 3});
        let call = Call::post(format!("{AGENTS}/{agent}/claim"), &request("AgentClaim", spec));
        let answer = insist(&client, &call, &seen).await.expect(201);
        let items = answer["status"]["items"].as_array().cloned().unwrap_or_default();
        if items.is_empty() {
            break;
        }
        seen.acknowledged.fetch_add(items.len(), Ordering::Relaxed);
        for item in items {
            let uid = item["order"]["metadata"]["uid"].as_str().unwrap().to_owned();
            let before = granted.insert(uid, item["fence"].clone());
            assert_eq!(before, None, "granted twice to one agent: {item:#}");
        }
    }
    granted
}

async fn all<T: 'static>(tasks: JoinSet<T>) -> Vec<T> {
    tokio::time::timeout(LIMIT, tasks.join_all())
        .await
        .expect("all end in time")
}

/// Every order by name, read through a replica that must be as new as the database.
async fn orders(client: &Client) -> BTreeMap<String, Value> {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = client.send(&Call::get(ORDERS)).await;
        if answer.status == 200 {
            let list = answer.json();
            let items = list["items"].as_array().unwrap();
            let by_name: BTreeMap<_, _> = items
                .iter()
                .map(|order| {
                    (
                        order["metadata"]["name"].as_str().unwrap().to_owned(),
                        order.clone(),
                    )
                })
                .collect();
            assert_eq!(by_name.len(), items.len(), "every name once");
            return by_name;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_is_held_twice_when_the_database_is_killed() {
    let total = size::orders();
    let mut postgres = TestPostgres::start(Durability::Full).unwrap();
    let first = Server::on(&postgres).await;
    let second = first.replica_of().await;
    let replicas = [&first, &second];
    replicas.iter().for_each(|replica| replica.sweep());
    for number in 0..CLIENTS {
        first.agent(&format!("agent-{number}")).await;
    }

    // Creates.
    let started = Instant::now();
    let seen = Arc::new(Seen::default());
    let mut creating = JoinSet::new();
    for number in 0..CLIENTS {
        let names = (number..total)
            .step_by(CLIENTS)
            .map(|order| format!("order-{order}"));
        creating.spawn(create(
            replicas[number % 2].ada.clone(),
            names.collect(),
            Arc::clone(&seen),
        ));
    }
    let (created, ()) = tokio::join!(all(creating), crash(&mut postgres, &seen, total));
    let acknowledged: BTreeMap<String, Value> = created.into_iter().flatten().collect();
    for replica in replicas {
        let stored = orders(&replica.ada).await;
        assert_eq!(stored.len(), total);
        for (name, uid) in &acknowledged {
            assert_eq!(&stored[name]["metadata"]["uid"], uid, "{name} was acknowledged");
        }
    }
    eprintln!(
        "soak: creates={total} acknowledged={} stored-unacknowledged={} refused={} seconds={:.1}",
        acknowledged.len(),
        total - acknowledged.len(),
        seen.unanswered.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64()
    );

    // Claims.
    let started = Instant::now();
    let seen = Arc::new(Seen::default());
    let mut claiming = JoinSet::new();
    for number in 0..CLIENTS {
        let agent = format!("agent-{number}");
        let client = replicas[number % 2].client(&agent).await;
        claiming.spawn(claim(client, agent, Arc::clone(&seen)));
    }
    let (claimed, ()) = tokio::join!(all(claiming), crash(&mut postgres, &seen, total));
    let mut holders: BTreeMap<String, (String, Value)> = BTreeMap::new();
    for (number, granted) in claimed.into_iter().enumerate() {
        for (uid, fence) in granted {
            let before = holders.insert(uid.clone(), (format!("client {number}"), fence));
            assert_eq!(before, None, "{uid} is held twice");
        }
    }
    assert_eq!(
        holders.len(),
        total,
        "every order is held by somebody who knows it"
    );
    for (name, order) in orders(&second.ada).await {
        let (_, fence) = &holders[order["metadata"]["uid"].as_str().unwrap()];
        assert_eq!(&order["status"]["claim"]["fence"], fence, "{name}: {order:#}");
        assert_eq!(order["status"]["lostAttempts"].as_i64().unwrap_or(0), 0, "{name}");
    }
    eprintln!(
        "soak: claims={total} refused={} seconds={:.1}",
        seen.unanswered.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64()
    );
}
