//! What is forgotten, and when; and that sets of target terms stay as long as any order is about to refer to them.

use std::sync::Arc;
use std::time::Duration;

use brokkr_apis::work::v1alpha1::WorkOrder;
use brokkr_apiserver::queue::targets::{Looked, RemoveSets, RemoveSetsInput};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::ask::{labelled, success};
use crate::fixture::{Fixture, SOON};

const NOTED: &str = "select count(*) from work.target_sets where unused_since is not null";
const SETS: &str = "select count(*) from work.target_sets";

#[tokio::test]
async fn agents_are_forgotten_two_hours_after_they_were_last_heard_of() {
    let fixture = Fixture::new().await;
    for (agent, minutes) in [("long-gone", 121), ("silent", 119), ("in-touch", 0)] {
        fixture.queue.note_heard(agent).await.unwrap();
        fixture
            .sql(&format!(
                "update work.agent_contacts set heard_at = heard_at - interval '{minutes} minutes' where agent = '{agent}'"
            ))
            .await;
    }

    fixture.sweeper.forget().await.unwrap();

    let known: Vec<String> = sqlx::query_scalar("select agent from work.agent_contacts order by heard_at")
        .fetch_all(fixture.storage.pool())
        .await
        .unwrap();
    assert_eq!(known, ["silent", "in-touch"]);
}

/// Terms that an agent of [`gpu_agent`] matches.
fn gpu(order: &mut WorkOrder) {
    order.spec.targets = vec![labelled("gpu", "yes")];
}

async fn gpu_agent(fixture: &Fixture) {
    fixture
        .agent_with("gpu", |agent| {
            agent.metadata.labels = Some([("gpu".to_owned(), "yes".to_owned())].into());
        })
        .await;
}

/// An order for the agent that is done and gone; its set is left.
async fn done_and_gone(fixture: &Fixture, name: &str) {
    fixture
        .order_with(name, |order| {
            gpu(order);
            order.spec.ttl_seconds_after_finished = Some(0);
        })
        .await;
    let grant = fixture.claimed("gpu", name).await;
    fixture.complete(&grant, "gpu", success(&grant)).await.unwrap();
    assert_eq!(fixture.find(name).await, None);
}

/// So many minutes pass for sets that are noted as unused.
async fn pass(fixture: &Fixture, minutes: i64) {
    fixture
        .sql(&format!(
            "update work.target_sets set unused_since = unused_since - interval '{minutes} minutes'"
        ))
        .await;
}

async fn look(fixture: &Fixture) -> Looked {
    fixture.sweeper.forget_sets().await.unwrap()
}

/// A look that removes so many sets and leaves none to be looked at, unless it has removed some.
const fn removed(removed: usize) -> Looked {
    Looked {
        removed,
        more: removed > 0,
    }
}

#[tokio::test]
async fn set_goes_when_no_order_has_referred_to_it_for_an_hour_and_is_made_anew() {
    // Given the set of an order that is gone, of one that waits, and of one that is finished.
    let fixture = Fixture::new().await;
    gpu_agent(&fixture).await;
    done_and_gone(&fixture, "one").await;
    fixture.order("finished").await;
    let grant = fixture.claimed("gpu", "finished").await;
    fixture.complete(&grant, "gpu", success(&grant)).await.unwrap();
    let nowhere = |order: &mut WorkOrder| order.spec.targets = vec![labelled("gpu", "no")];
    fixture.order_with("waits", nowhere).await;

    // When less than an hour passes, then all are kept; after more, those of orders that exist.
    assert_eq!(look(&fixture).await, removed(0));
    assert_eq!(fixture.count(NOTED).await, 1);
    pass(&fixture, 59).await;
    assert_eq!(look(&fixture).await, removed(0));
    pass(&fixture, 2).await;
    assert_eq!(look(&fixture).await, removed(1));
    assert_eq!(look(&fixture).await, removed(0));
    assert_eq!(fixture.count(SETS).await, 2);
    let members = "select count(*) from work.target_set_agents";
    assert_eq!(fixture.count(members).await, 1, "its members went with it");

    fixture.order_with("two", gpu).await;
    assert_eq!(fixture.claim("gpu", 10).await[0].name, "two");
}

#[tokio::test]
async fn set_that_is_used_again_begins_a_new_hour() {
    let fixture = Fixture::new().await;
    gpu_agent(&fixture).await;
    done_and_gone(&fixture, "one").await;
    look(&fixture).await;
    pass(&fixture, 59).await;

    fixture.order_with("two", gpu).await;
    pass(&fixture, 2).await;
    assert_eq!(look(&fixture).await, removed(0), "an order refers to it");
    assert_eq!(fixture.count(NOTED).await, 0);

    let grant = fixture.claimed("gpu", "two").await;
    fixture.complete(&grant, "gpu", success(&grant)).await.unwrap();
    fixture.sql("delete from work.work_orders").await;
    look(&fixture).await;
    pass(&fixture, 59).await;
    assert_eq!(
        look(&fixture).await,
        removed(0),
        "the hour counts from its last use"
    );
}

#[tokio::test]
async fn sweeper_forgets_by_itself() {
    let fixture = Fixture::new().await;
    fixture
        .sql("insert into work.target_sets (hash, terms, unused_since) values ('a', '[]', '2020-01-01')")
        .await;
    fixture
        .sql("insert into work.agent_contacts values ('long-gone', '2020-01-01')")
        .await;
    let token = CancellationToken::new();
    let task = tokio::spawn(fixture.replica().sweeper.run(token.clone()));

    let left = "select (select count(*) from work.target_sets) + (select count(*) from work.agent_contacts)";
    let deadline = Instant::now() + SOON;
    while fixture.count(left).await > 0 {
        assert!(Instant::now() < deadline, "both go");
        sleep(Duration::from_millis(20)).await;
    }

    token.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn looks_go_through_all_sets_a_thousand_at_a_time() {
    let fixture = Fixture::new().await;
    fixture
        .sql("insert into work.target_sets (hash, terms) select n, '[]' from generate_series(1, 2500) n")
        .await;
    let mut noted = Vec::new();
    for _ in 0..3 {
        let more = look(&fixture).await.more;
        noted.push((fixture.count(NOTED).await, more));
    }
    assert_eq!(noted, [(1000, true), (2000, true), (2500, false)]);

    fixture
        .sql("update work.target_sets set unused_since = null where hash = '1'")
        .await;
    look(&fixture).await;
    assert_eq!(fixture.count(NOTED).await, 2500, "and begin anew");
}

#[tokio::test]
async fn sets_are_removed_few_at_a_time_and_fewer_if_they_have_many_members() {
    let fixture = Fixture::new().await;
    let sets = |count: usize, members: usize| {
        format!(
            "with s as (
                insert into work.target_sets (hash, terms, unused_since)
                select gen_random_uuid(), '[]', clock_timestamp() - interval '1 day' from generate_series(1, {count}) n
                returning id)
            insert into work.target_set_agents select id, n from s, generate_series(1, {members}) n"
        )
    };

    fixture.sql(&sets(150, 1)).await;
    for expected in [100, 50, 0] {
        assert_eq!(look(&fixture).await, removed(expected));
    }
    fixture.sql(&sets(5, 400)).await;
    for expected in [3, 2, 0] {
        assert_eq!(look(&fixture).await, removed(expected));
    }
    fixture.sql(&sets(2, 1500)).await;
    for expected in [1, 1, 0] {
        assert_eq!(look(&fixture).await, removed(expected));
    }
}

/// A set that could be removed at the next look.
async fn set_about_to_go(fixture: &Fixture) {
    gpu_agent(fixture).await;
    done_and_gone(fixture, "one").await;
    look(fixture).await;
    pass(fixture, 61).await;
}

/// Waits until a task is done, or so many sessions wait for a lock.
async fn done_or_waiting<T>(fixture: &Fixture, task: &tokio::task::JoinHandle<T>, sessions: i64) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let deadline = Instant::now() + SOON;
    while !task.is_finished() && fixture.count(waiting).await < sessions {
        assert!(Instant::now() < deadline, "it is done or waits");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn set_that_a_create_has_read_is_not_removed_before_the_order_is_written() {
    // Given a create that has read the id of a set which no order refers to, and cannot write its order yet.
    let fixture = Arc::new(Fixture::new().await);
    let other = Arc::new(fixture.replica());
    set_about_to_go(&fixture).await;
    let mut holder = fixture.storage.pool().begin().await.unwrap();
    sqlx::query("lock table work.work_orders in share mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    let creating = {
        let fixture = fixture.clone();
        tokio::spawn(async move { fixture.order_with("two", gpu).await })
    };
    done_or_waiting(&fixture, &creating, 1).await;

    // When another replica wants to remove the set meanwhile.
    let looking = tokio::spawn(async move { other.sweeper.forget_sets().await });
    done_or_waiting(&fixture, &looking, 2).await;
    holder.rollback().await.unwrap();

    // Then both succeed, and the order has its agents.
    creating.await.unwrap();
    let looked = looking.await.unwrap();
    let claimed: Vec<_> = fixture.claim("gpu", 10).await;
    let claimed: Vec<_> = claimed.iter().map(|grant| grant.name.as_str()).collect();
    assert_eq!(claimed, ["two"], "the set of a new order is gone");
    assert_eq!(looked.unwrap(), removed(0));
}

#[tokio::test]
async fn set_is_kept_by_an_order_of_the_same_batch() {
    let fixture = Fixture::new().await;
    set_about_to_go(&fixture).await;
    let set = fixture.count("select id from work.target_sets").await;

    // Both are queued before the writer takes what is queued.
    let removal = Arc::new(RemoveSets);
    let remove = fixture.storage.run(&removal, RemoveSetsInput { sets: vec![set] });
    let (removed, _) = tokio::join!(remove, fixture.order_with("two", gpu));

    assert_eq!(removed.unwrap(), 0);
    assert_eq!(fixture.claim("gpu", 10).await.len(), 1);
}
