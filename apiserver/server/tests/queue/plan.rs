//! How the statements of the queue find their rows when there are many: never by reading all orders.
//!
//! The plans are made while the tables are empty, as they are in a new installation, and kept; and again when
//! there are statistics of many rows, as after a restart.

use brokkr_apiserver::queue::claim::ClaimOrders;
use brokkr_apiserver::queue::report::CompleteOrders;
use brokkr_apiserver::queue::ring::{Ring, RingAgain};
use brokkr_apiserver::queue::sweep::Sweep;
use brokkr_apiserver::queue::targets::{NewOrders, RemoveSets, TargetSets};
use generic_apiserver::storage::SetMutation;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::fixture::Fixture;

const MANY: &str = "
insert into work.target_sets (hash, terms) values ('all', '[]');
insert into work.target_sets (hash, terms, unused_since)
select 'unused-' || n, '[]', clock_timestamp() - interval '1 day' from generate_series(1, 3000) n;
insert into work.target_set_agents select 1, 'agent-' || n from generate_series(1, 200) n;
insert into work.agents (namespace, name, uid, resource_version, object, identity, unschedulable, lease_seconds, work_types, concurrency)
select '', 'agent-' || n, gen_random_uuid(), n, '{}', 'user-' || n, false, 60, '{}', '{}' from generate_series(1, 200) n;
insert into work.work_orders (namespace, name, uid, resource_version, object, created_at, work_type, yaml_content, status,
    claimed_by, fence, attempt_deadline, next_retry_after, expires_at,
    claim_timeout_seconds, max_retries, retry_count, backoff_seconds, priority, suspended, lost_attempts, lapsed, cancelling,
    target_set_id, turn, ready_since)
select 'ns-1', 'order-' || n, gen_random_uuid(), n, repeat(md5(n::text), 40), clock_timestamp(), 'build', '',
    case n % 10 when 0 then 'CLAIMED' when 1 then 'RETRY_PENDING' when 2 then 'SUCCEEDED' else 'PENDING' end,
    'agent-' || n % 200, n, clock_timestamp() + interval '1 hour', clock_timestamp() + interval '1 hour',
    case n % 10 when 2 then clock_timestamp() + interval '1 hour' end,
    3600, 3, 0, 60, 0, false, 0, false, false, 1, n / 50, clock_timestamp() - interval '1 hour'
from generate_series(1, 60000) n;
insert into work.work_order_keys (order_uid, namespace, namespace_uid, order_name, spec_hash, log_name, completed_at)
select gen_random_uuid(), 'ns-1', 'u', 'order-1', '', 'log-' || n, clock_timestamp() from generate_series(1, 20000) n;
insert into work.work_leases (order_uid, fence, agent, holder, attempt, lease_seconds, expires_at, keeps)
select id, fence, claimed_by, 'p', 1, 60, clock_timestamp() + interval '60 seconds', false from work.work_orders where status = 'CLAIMED';
insert into work.attempts (order_uid, attempt, agent, holder, fence, claimed_at, object)
select id, 1, claimed_by, 'p', fence, clock_timestamp(), '{}' from work.work_orders where status = 'CLAIMED';";

/// The settings of the writer's session, and no automatic statistics.
const SESSION: &str = "
set statement_timeout = 0;
set plan_cache_mode = force_generic_plan;
set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off;
alter table work.work_orders set (autovacuum_enabled = off);";

const UID: &str = "(select id from work.work_orders where status = 'PENDING' limit 1)";

#[tokio::test]
async fn plans_never_step_over_many_rows_whenever_they_are_made() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.storage.pool().acquire().await.unwrap();
    connection.execute(SESSION).await.unwrap();
    let order = format!("[{{\"uid\": \"'||{UID}||'\", \"fence\": 1, \"namespace\": \"ns-1\"}}]");
    let batch = r#"[{"agent": "agent-1", "want": 10, "workTypes": ["build", "job"]}]"#.to_owned();
    let named = r#"[{"agent": "agent-1", "want": 1, "workTypes": [], "orderNamespace": "ns-1", "orderName": "order-1"}]"#;
    let new = r#"[{"uid": "6a3a6e1c-5d38-4e2f-9a35-0b7c0f7b8f10", "namespace": "ns-1", "namespaceUid": "u", "name": "order-1", "keyed": false, "hash": "all"}]"#;
    let new = new.to_owned();
    let statements = [
        ("claim", ClaimOrders.statement(), batch),
        ("claim by name", ClaimOrders.statement(), named.to_owned()),
        ("report", CompleteOrders.statement(), order.clone()),
        ("sweep", Sweep.statement(), r#"[{"max": 100}]"#.to_owned()),
        ("new orders", NewOrders.statement(), new),
        ("targets", TargetSets.statement(), order.clone()),
        ("ring", Ring::default().statement(), order),
        ("ring again", RingAgain.statement(), "[]".to_owned()),
        (
            "remove sets",
            RemoveSets.statement(),
            r#"[{"sets": [1, 2, 3]}]"#.to_owned(),
        ),
    ];
    for (index, (_, statement, _)) in statements.iter().enumerate() {
        let prepare = format!("prepare s{index} (json) as {statement}");
        connection.execute(AssertSqlSafe(prepare)).await.unwrap();
        connection
            .execute(AssertSqlSafe(format!("execute s{index} ('[]')")))
            .await
            .unwrap();
    }
    connection.execute(MANY).await.unwrap();
    for made in ["on empty tables", "on full ones"] {
        for (index, (name, _, input)) in statements.iter().enumerate() {
            let plan = explain(&mut connection, index, input).await;
            let most = plan
                .iter()
                .filter_map(|line| rows_passed(line))
                .max()
                .unwrap_or(0);
            let plan = plan.join("\n");
            assert!(
                most < 1000,
                "{name}, planned {made}, steps over many rows:\n{plan}"
            );
            let whole = plan.contains("Seq Scan on work_orders");
            assert!(!whole, "{name}, planned {made}, reads all orders:\n{plan}");
        }
        connection.execute("analyze; discard plans").await.unwrap();
    }
}

async fn explain(connection: &mut PgConnection, index: usize, input: &str) -> Vec<String> {
    let input: String = sqlx::query_scalar(AssertSqlSafe(format!("select '{input}'")))
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let explain = format!("explain (analyze, timing off) execute s{index} ('{input}')");
    sqlx::query_scalar(AssertSqlSafe(explain))
        .fetch_all(connection)
        .await
        .unwrap()
}

/// How many rows a line of a plan says were read and left out, or read from the orders and their keys.
fn rows_passed(line: &str) -> Option<u64> {
    if let Some((_, removed)) = line.split_once("Filter: ") {
        return removed.trim().parse().ok();
    }
    let (_, read) = line.split_once(" on work_order")?.1.split_once("actual rows=")?;
    read.split(' ').next()?.parse().ok()
}
