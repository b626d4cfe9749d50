//! Idempotency keys: the same work is done once per namespace.

use brokkr_apis::work::v1alpha1::WorkOrderPhase;
use generic_apiserver::registry::{RegistryError, RestStorage};
use generic_apiserver::storage::StorageError;
use serde_json::json;

use crate::fixture::{Fixture, USER, conflict, context, key};

/// An order of key `k` that has succeeded and is gone.
async fn done() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.agent("east", &[]).await;
    fixture.create("a", json!({"idempotencyKey": "k"})).await.unwrap();
    let grant = fixture.claim("east", "a").await.unwrap();
    fixture.complete("east", &grant).await.unwrap();
    fixture.delete("a", None).await.unwrap();
    fixture
}

#[tokio::test]
async fn work_that_was_done_is_shown_and_not_run() {
    let fixture = done().await;
    let entry = fixture.entries("a").await.remove(0);
    for name in ["a", "b"] {
        let ctx = context(USER);
        let order = fixture
            .create_as(&ctx, name, json!({"idempotencyKey": "k", "priority": 5}))
            .await
            .unwrap();
        assert!(
            ctx.warnings()[0].contains("not run again"),
            "{:?}",
            ctx.warnings()
        );
        let status = order.status.unwrap();
        assert_eq!(
            (status.phase, &status.log_name),
            (WorkOrderPhase::Succeeded, &entry.metadata.name)
        );
        assert_eq!(status.results["digest"], "sha256:1");
        assert!(
            status
                .conditions
                .iter()
                .any(|one| one.type_ == "Complete" && one.status == "True")
        );
        assert!(fixture.claim("east", name).await.is_none());
        fixture.delete(name, None).await.unwrap();
    }
    assert_eq!(fixture.entries("a").await, [entry]);
    assert!(fixture.entries("b").await.is_empty());
    assert_eq!(
        fixture.count("select count(*) from work.work_order_keys").await,
        1
    );
}

#[tokio::test]
async fn the_ttl_of_work_that_was_done_counts_from_its_creation() {
    let fixture = done().await;
    fixture
        .create("b", json!({"idempotencyKey": "k", "ttlSecondsAfterFinished": 60}))
        .await
        .unwrap();
    let soon = "select count(*) from work.work_orders where expires_at between clock_timestamp() + interval '30 seconds' \
                and clock_timestamp() + interval '61 seconds'";
    assert_eq!(fixture.count(soon).await, 1);
}

#[tokio::test]
async fn other_work_needs_another_key() {
    let fixture = done().await;
    let message = conflict(
        fixture
            .create("b", json!({"idempotencyKey": "k", "timeout": "7m"}))
            .await,
    );
    assert!(
        message.contains("order \"a\"") && message.contains("another spec"),
        "{message}"
    );
    fixture
        .create("b", json!({"idempotencyKey": "other", "timeout": "7m"}))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_live_order_holds_its_key() {
    let fixture = Fixture::new().await;
    fixture.create("a", json!({"idempotencyKey": "k"})).await.unwrap();
    let message = conflict(fixture.create("b", json!({"idempotencyKey": "k"})).await);
    assert!(
        message.contains("order \"a\"") && message.contains("not finished"),
        "{message}"
    );
    let same = fixture.create("a", json!({"idempotencyKey": "k"})).await;
    assert!(
        matches!(
            same,
            Err(RegistryError::Storage(StorageError::AlreadyExists { .. }))
        ),
        "{same:?}"
    );
}

#[tokio::test]
async fn of_many_orders_with_one_key_one_is_stored() {
    let fixture = Fixture::new().await;
    let names: Vec<String> = (0..20).map(|number| format!("order-{number}")).collect();
    let creates = names
        .iter()
        .map(|name| fixture.create(name, json!({"idempotencyKey": "k"})));
    let results = futures::future::join_all(creates).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for refused in results.into_iter().filter(Result::is_err) {
        assert!(conflict(refused).contains("spec.idempotencyKey \"k\""));
    }
    assert_eq!(fixture.count("select count(*) from work.work_orders").await, 1);
}

#[tokio::test]
async fn without_a_key_work_runs_again_and_the_user_is_told() {
    let fixture = done().await;
    let mut dry = context(USER);
    dry.dry_run = true;
    fixture.create_as(&dry, "a", json!({})).await.unwrap();
    assert!(dry.warnings()[0].contains("runs again"), "{:?}", dry.warnings());
    let ctx = context(USER);
    fixture.create_as(&ctx, "a", json!({})).await.unwrap();
    assert!(ctx.warnings()[0].contains("runs again"), "{:?}", ctx.warnings());
    assert!(fixture.claim("east", "a").await.is_some());
    let quiet = context(USER);
    fixture.create_as(&quiet, "b", json!({})).await.unwrap();
    assert!(quiet.warnings().is_empty());
    assert!(
        fixture
            .orders
            .get(&key("b"), generic_apiserver::storage::Freshness::Latest)
            .await
            .is_ok()
    );
}

/// How often the keys were read, and how many of them.
const SCANS: &str =
    "select coalesce(seq_scan + idx_scan, 0) from pg_stat_user_tables where relname = 'work_order_keys'";
const READ: &str = "select (seq_tup_read + (select sum(idx_tup_read) from pg_stat_user_indexes i where i.relid = t.relid))::bigint
    from pg_stat_user_tables t where relname = 'work_order_keys'";

#[tokio::test]
async fn earlier_orders_of_a_name_are_looked_up_and_not_sought_among_all() {
    let fixture = Fixture::new().await;
    // Plans are made, and kept, while the table is known to be small.
    fixture.create("first", json!({})).await.unwrap();
    fixture.sql("analyze work.work_order_keys").await;
    for n in 0..10 {
        fixture.create(&format!("early-{n}"), json!({})).await.unwrap();
    }
    fixture
        .sql(
            "insert into work.work_order_keys (order_uid, namespace, namespace_uid, order_name, spec_hash, log_name)
             select gen_random_uuid(), k.namespace, k.namespace_uid, case n % 2 when 0 then 'late-5' else 'old-' || n end, '', 'log-' || n
             from generate_series(1, 40000) n, (select * from work.work_order_keys limit 1) k",
        )
        .await;
    for n in 0..10 {
        fixture.create(&format!("late-{n}"), json!({})).await.unwrap();
    }
    // Sessions tell what they have read a while after they did.
    while fixture.count(SCANS).await < 21 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let read = fixture.count(READ).await;
    assert!(read < 20_000, "{read} keys were read");
}
