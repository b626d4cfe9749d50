//! Requests that share a transaction: what one of them says or takes is no other's harm.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::{TargetTerm, WorkOrderPhase};
use brokkr_apiserver::queue::claim::{ClaimOrders, ClaimRefusal};
use generic_apiserver::storage::{SetMutation, StorageOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::ask::{completion, failure};
use crate::fixture::Fixture;

/// Lets both be decided in one batch, in this order: they come while another one waits for the version lock.
async fn in_one_batch<A, B>(
    fixture: &Fixture,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> (A, B) {
    let lock = StorageOptions::new(fixture.connect.clone()).lock_key;
    let mut holder = PgConnection::connect_with(&fixture.connect).await.unwrap();
    let hold = format!("select pg_advisory_lock({lock})");
    holder.execute(AssertSqlSafe(hold)).await.unwrap();
    let later = async |moments: u32| tokio::time::sleep(Duration::from_millis(100) * moments).await;
    let first = async {
        later(1).await;
        first.await
    };
    let second = async {
        later(2).await;
        second.await
    };
    let release = async {
        later(3).await;
        holder.close().await.unwrap();
    };
    let (_, first, second, ()) = tokio::join!(fixture.claim("nobody", 1), first, second, release);
    (first, second)
}

#[tokio::test]
async fn claim_by_name_that_is_repeated_at_once_gets_the_same_answer() {
    let fixture = Fixture::new().await;
    fixture.agent("nobody").await;
    fixture.agent("east").await;
    fixture
        .order_with("one", |order| order.spec.targets = agents(&["east"]))
        .await;

    let claim = || fixture.claim_named("east", "p1", "one");
    let (first, second) = in_one_batch(&fixture, claim(), claim()).await;

    assert_eq!(first.unwrap(), second.unwrap());
    let other = fixture.claim_named("east", "p2", "one").await;
    assert!(matches!(other, Err(ClaimRefusal::State { .. })), "{other:?}");
}

#[tokio::test]
async fn what_is_said_of_a_namespace_counts_for_orders_in_it_alone() {
    let fixture = Fixture::new().await;
    for agent in ["nobody", "east", "west"] {
        fixture.agent(agent).await;
    }
    fixture
        .order_with("one", |order| order.spec.targets = agents(&["east"]))
        .await;
    let grant = fixture.claimed("east", "one").await;
    let own = completion(&grant, "east", failure(&grant, "GitRemoteFailed"));
    let mut foreign = completion(&grant, "west", failure(&grant, "GitRemoteFailed"));
    foreign.key.namespace = "going".to_owned();
    foreign.key.namespace_terminating = true;

    let complete = |input| fixture.queue.complete(input);
    let (own, foreign) = in_one_batch(&fixture, complete(own), complete(foreign)).await;

    assert_eq!(own.unwrap().unwrap().phase, Some(WorkOrderPhase::RetryPending));
    assert!(foreign.unwrap().is_err());
}

#[tokio::test]
async fn claims_read_as_many_orders_as_they_can_take_however_many_sets_there_are() {
    let fixture = Fixture::new().await;
    for agent in ["east", "west", "limited"] {
        fixture.agent(agent).await;
    }
    let limit = r#"update work.agents set concurrency = '{"total": 9, "byType": {"build": 9}}' where name = 'limited'"#;
    fixture.sql(limit).await;
    for set in 0..6 {
        let targets = agents(&["east", "west", "limited", &format!("other-{set}")]);
        for number in 0..4 {
            let name = format!("order-{set}-{number}");
            fixture
                .order_with(&name, |order| order.spec.targets.clone_from(&targets))
                .await;
        }
    }
    let read = async |callers: &[&str]| {
        let ask =
            |agent: &&str| format!(r#"{{"agent": "{agent}", "want": 2, "workTypes": ["build", "job"]}}"#);
        let asked: Vec<_> = callers.iter().map(ask).collect();
        orders_read(&fixture, &asked.join(", ")).await
    };

    assert_eq!(read(&["east"]).await, 2);
    assert_eq!(read(&["limited"]).await, 2);
    assert_eq!(read(&["east", "west", "limited"]).await, 6);
}

#[tokio::test]
async fn claims_read_32_mib_of_orders_however_many_they_want() {
    let fixture = Fixture::new().await;
    fixture
        .agent_with("east", |agent| {
            agent.spec.concurrency.as_mut().unwrap().total = Some(24);
        })
        .await;
    for number in 0..24 {
        fixture.order(&format!("order-{number}")).await;
    }
    fixture
        .sql("update work.work_orders set object = rpad(object, 1536 * 1024)")
        .await;

    let caller = r#"{"agent": "east", "want": 24, "workTypes": ["build"]}"#;
    assert_eq!(orders_read(&fixture, caller).await, 22);
}

/// How many orders the statement of claims gives for these callers.
async fn orders_read(fixture: &Fixture, callers: &str) -> usize {
    let mut connection = PgConnection::connect_with(&fixture.connect).await.unwrap();
    let prepare = format!("prepare claims (json) as {}", ClaimOrders.statement());
    connection.execute(AssertSqlSafe(prepare)).await.unwrap();
    let execute = format!("execute claims ('[{callers}]')");
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(execute))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    rows.iter().filter(|row| row.contains("\"order\"")).count()
}

fn agents(names: &[&str]) -> Vec<TargetTerm> {
    vec![TargetTerm {
        agent_names: names.iter().map(ToString::to_string).collect(),
        ..TargetTerm::default()
    }]
}
