//! In which order orders are claimed, and by which agents.

use brokkr_apis::work::v1alpha1::{FailureScope, TargetTerm};
use brokkr_apiserver::queue::claim::{ClaimRefusal, Grant};
use brokkr_apiserver::registry::agent::table::AGENTS;
use brokkr_apiserver::registry::work_order::table::WORK_ORDERS;
use futures::future::join_all;
use generic_apiserver::object::Object;
use generic_apiserver::storage::{Freshness, Key, ObjectWrite, Update, Writes};

use crate::ask::{batch, failure, labelled};
use crate::fixture::Fixture;

fn names(grants: &[Grant]) -> Vec<&str> {
    grants.iter().map(|grant| grant.name.as_str()).collect()
}

#[tokio::test]
async fn higher_priority_goes_first_then_the_older() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for (name, priority) in [("first", 0), ("second", 0), ("urgent", 10), ("later", -5)] {
        fixture
            .order_with(name, |order| order.spec.priority = Some(priority))
            .await;
    }
    assert_eq!(
        names(&fixture.claim("east", 10).await),
        ["urgent", "first", "second", "later"]
    );
}

#[tokio::test]
async fn namespaces_are_served_in_turn() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for (namespace, name) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2")] {
        fixture
            .order_with(name, |order| {
                order.metadata.namespace = Some(namespace.to_owned());
            })
            .await;
    }
    let first = fixture.claim("east", 2).await;
    let second = fixture.claim("east", 2).await;
    let mut namespaces: Vec<_> = first.iter().map(|grant| grant.namespace.as_str()).collect();
    namespaces.sort_unstable();
    assert_eq!(namespaces, ["a", "b"]);
    let mut namespaces: Vec<_> = second.iter().map(|grant| grant.namespace.as_str()).collect();
    namespaces.sort_unstable();
    assert_eq!(namespaces, ["a", "b"]);
    assert_eq!(names(&fixture.claim("east", 2).await), ["a3"]);
}

#[tokio::test]
async fn orders_go_to_agents_that_their_targets_match() {
    let fixture = Fixture::new().await;
    fixture
        .agent_with("gpu", |agent| {
            agent.metadata.labels = Some([("gpu".to_owned(), "yes".to_owned())].into());
        })
        .await;
    fixture.agent("plain").await;
    fixture
        .order_with("by-label", |order| {
            order.spec.targets = vec![labelled("gpu", "yes")];
        })
        .await;
    fixture
        .order_with("by-name", |order| {
            order.spec.targets = vec![TargetTerm {
                agent_names: vec!["plain".to_owned()],
                ..TargetTerm::default()
            }];
        })
        .await;
    fixture.order("anywhere").await;

    assert_eq!(
        fixture.claim_named("plain", "p1", "by-label").await,
        Err(ClaimRefusal::NotTargeted)
    );
    assert_eq!(names(&fixture.claim("plain", 10).await), ["by-name", "anywhere"]);
    assert_eq!(names(&fixture.claim("gpu", 10).await), ["by-label"]);
    assert_eq!(fixture.count("select count(*) from work.target_sets").await, 3);
    assert_eq!(
        fixture
            .count("select count(*) from work.work_order_targets")
            .await,
        4
    );
}

#[tokio::test]
async fn agent_that_joins_later_matches_too_and_one_that_changes_is_matched_anew() {
    let fixture = Fixture::new().await;
    fixture
        .order_with("gpu-work", |order| {
            order.spec.targets = vec![labelled("gpu", "yes")];
        })
        .await;
    fixture.order("any-work").await;
    let gpu = |value: &str| Some([("gpu".to_owned(), value.to_owned())].into());

    fixture
        .agent_with("late", |agent| agent.metadata.labels = gpu("yes"))
        .await;
    assert_eq!(names(&fixture.claim("late", 10).await), ["gpu-work", "any-work"]);

    fixture
        .order_with("more", |order| order.spec.targets = vec![labelled("gpu", "no")])
        .await;
    assert_eq!(fixture.claim("late", 10).await, []);
    fixture
        .change_agent("late", |agent| agent.metadata.labels = gpu("no"))
        .await;
    assert_eq!(names(&fixture.claim("late", 10).await), ["more"]);
    assert_eq!(
        fixture
            .claim_named("late", "p9", "gpu-work")
            .await
            .unwrap_err()
            .to_string()
            .matches("held")
            .count(),
        1
    );
}

#[tokio::test]
async fn deleted_agent_leaves_every_set() {
    let fixture = Fixture::new().await;
    fixture.agent("gone").await;
    fixture.order("one").await;
    fixture.claim("gone", 5).await;
    assert_eq!(
        fixture.count("select count(*) from work.target_set_agents").await,
        1
    );

    fixture.delete_agent("gone").await;

    assert_eq!(
        fixture.count("select count(*) from work.target_set_agents").await,
        0
    );
    assert_eq!(fixture.count("select count(*) from work.idle_agents").await, 0);
}

#[tokio::test]
async fn failure_of_the_agent_excludes_it_and_requeues_for_another() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture.order("one").await;
    fixture.order("behind").await;
    let grant = fixture.claimed("east", "one").await;
    let mut report = failure(&grant, "Forbidden");
    report.scope = Some(FailureScope::Agent);

    let answer = fixture.complete(&grant, "east", report).await.unwrap();

    assert_eq!(answer.phase.unwrap().as_str(), "Pending");
    assert_eq!(
        fixture.claim_named("east", "p1", "one").await,
        Err(ClaimRefusal::Excluded)
    );
    assert_eq!(
        names(&fixture.claim("east", 1).await),
        ["behind"],
        "an excluded order blocks nobody"
    );
    assert_eq!(names(&fixture.claim("west", 5).await), ["one"]);
}

#[tokio::test]
async fn retried_order_prefers_another_agent_that_waits_and_never_requires_one() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture.order("one").await;
    let grant = fixture.claimed("east", "one").await;
    assert_eq!(fixture.claim("west", 1).await, [], "west waits");
    fixture.fail(&grant, "east", "GitRemoteFailed").await;
    fixture
        .sql("update work.work_orders set next_retry_after = clock_timestamp() - interval '1 second'")
        .await;
    fixture.sweep().await;

    assert_eq!(fixture.claim("east", 1).await, [], "left to west for a moment");
    let mut both = batch("west", 1);
    both.dry_run = true;
    assert_eq!(fixture.queue.claim(both).await.unwrap().unwrap().len(), 1);
    fixture
        .sql("update work.work_orders set ready_since = clock_timestamp() - interval '6 seconds'")
        .await;
    assert_eq!(names(&fixture.claim("east", 1).await), ["one"]);
}

#[tokio::test]
async fn order_left_to_another_agent_does_not_hide_those_behind_it() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture
        .order_with("retried", |order| order.spec.priority = Some(10))
        .await;
    let grant = fixture.claimed("east", "retried").await;
    assert_eq!(fixture.claim("west", 1).await, [], "west waits");
    fixture.fail(&grant, "east", "GitRemoteFailed").await;
    fixture.order("behind").await;
    fixture
        .sql("update work.work_orders set next_retry_after = clock_timestamp() where name = 'retried'")
        .await;
    fixture.sweep().await;

    assert_eq!(names(&fixture.claim("east", 1).await), ["behind"]);
    assert_eq!(names(&fixture.claim("west", 1).await), ["retried"]);
}

#[tokio::test]
async fn orders_of_one_batch_count_as_turns_of_their_namespace() {
    let fixture = Fixture::new().await;
    fixture.order("first").await;
    join_all(["a", "b", "c"].map(|name| fixture.order(name))).await;
    fixture.order("last").await;
    let last = "select turn from work.work_orders where name = 'last'";
    assert_eq!(fixture.count(last).await, 5);
    assert_eq!(
        fixture.count("select last_turn from work.namespace_turns").await,
        5
    );
}

#[tokio::test]
async fn terms_that_are_new_match_an_agent_that_changes_in_the_same_transaction() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    fixture.order("anywhere").await;

    let mut changed = fixture.find_agent("east").await;
    changed.metadata.labels = Some([("gpu".to_owned(), "yes".to_owned())].into());
    let mut new = fixture.find("anywhere").await.unwrap();
    new.metadata.name = Some("by-label".to_owned());
    new.metadata.uid = Some(uuid::Uuid::new_v4().to_string());
    new.spec.targets = vec![labelled("gpu", "yes")];
    let key = Key::cluster("east");
    let update = Update {
        object: ObjectWrite::Replace {
            resource: AGENTS,
            old: fixture
                .storage
                .get(AGENTS, &key, Freshness::Latest)
                .await
                .unwrap(),
            object: Object::from_typed(&changed).unwrap(),
        },
        further: Writes {
            objects: vec![ObjectWrite::Create {
                resource: WORK_ORDERS,
                object: Object::from_typed(&new).unwrap(),
            }],
            ..Writes::default()
        },
    };
    fixture.storage.update(update).await.unwrap();

    assert_eq!(names(&fixture.claim("east", 10).await), ["anywhere", "by-label"]);
}

#[tokio::test]
async fn namespace_that_comes_late_is_served_next_and_in_turn() {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    let create = async |namespace: &str, number: usize| {
        fixture
            .order_with(&format!("{namespace}{number}"), |order| {
                order.metadata.namespace = Some(namespace.to_owned());
            })
            .await;
    };
    for number in 0..30 {
        create("flood", number).await;
    }
    assert_eq!(fixture.claim("east", 10).await.len(), 10);
    for number in 0..3 {
        create("late", number).await;
    }

    let mut served = Vec::new();
    for _ in 0..7 {
        served.extend(fixture.claim("east", 1).await);
    }

    let expected = [
        "flood10", "late0", "flood11", "late1", "flood12", "late2", "flood13",
    ];
    assert_eq!(names(&served), expected);
}
