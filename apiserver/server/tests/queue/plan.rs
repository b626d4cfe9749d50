//! How the statements of the queue find their rows when there are many: never by reading all orders.

use brokkr_apiserver::queue::claim::ClaimOrders;
use brokkr_apiserver::queue::report::CompleteOrders;
use brokkr_apiserver::queue::ring::{Ring, RingAgain};
use brokkr_apiserver::queue::sweep::Sweep;
use brokkr_apiserver::queue::targets::TargetSets;
use generic_apiserver::storage::SetMutation;
use sqlx::{AssertSqlSafe, Executor};

use crate::fixture::Fixture;

const MANY: &str = "
insert into work.target_sets (hash, terms) values ('all', '[]');
insert into work.target_set_agents select 1, 'agent-' || n from generate_series(1, 200) n;
insert into work.agents (namespace, name, uid, resource_version, object, identity, unschedulable, lease_seconds, work_types, concurrency)
select '', 'agent-' || n, gen_random_uuid(), n, '{}', 'user-' || n, false, 60, '{}', '{}' from generate_series(1, 200) n;
insert into work.work_orders (namespace, name, uid, resource_version, object, created_at, work_type, yaml_content, status,
    claimed_by, fence, attempt_deadline, next_retry_after, expires_at,
    claim_timeout_seconds, max_retries, retry_count, backoff_seconds, priority, suspended, lost_attempts, lapsed, cancelling,
    target_set_id, turn, ready_since)
select 'ns-' || n % 50, 'order-' || n, gen_random_uuid(), n, '{}', clock_timestamp(), 'build', '',
    case n % 10 when 0 then 'CLAIMED' when 1 then 'RETRY_PENDING' when 2 then 'SUCCEEDED' else 'PENDING' end,
    'agent-' || n % 200, n, clock_timestamp() + interval '1 hour', clock_timestamp() + interval '1 hour',
    case n % 10 when 2 then clock_timestamp() + interval '1 hour' end,
    3600, 3, 0, 60, 0, false, 0, false, false, 1, n / 50, clock_timestamp() - interval '1 hour'
from generate_series(1, 60000) n;
insert into work.work_leases (order_uid, fence, agent, holder, attempt, lease_seconds, expires_at, keeps)
select id, fence, claimed_by, 'p', 1, 60, clock_timestamp() + interval '60 seconds', false from work.work_orders where status = 'CLAIMED';
insert into work.attempts (order_uid, attempt, agent, holder, fence, claimed_at, object)
select id, 1, claimed_by, 'p', fence, clock_timestamp(), '{}' from work.work_orders where status = 'CLAIMED';
analyze;";

#[tokio::test]
async fn no_statement_reads_all_orders() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.storage.pool().acquire().await.unwrap();
    connection.execute("set statement_timeout = 0").await.unwrap();
    connection.execute(MANY).await.unwrap();
    connection
        .execute("set plan_cache_mode = force_generic_plan")
        .await
        .unwrap();
    let statements = [
        ClaimOrders.statement(),
        CompleteOrders.statement(),
        Sweep.statement(),
        TargetSets.statement(),
        Ring.statement(),
        RingAgain.statement(),
    ];

    for (index, statement) in statements.into_iter().enumerate() {
        connection
            .execute(AssertSqlSafe(format!("prepare s{index} (json) as {statement}")))
            .await
            .unwrap();
        let explain = AssertSqlSafe(format!("explain execute s{index} ('[]')"));
        let plan: Vec<String> = sqlx::query_scalar(explain)
            .fetch_all(&mut *connection)
            .await
            .unwrap();

        for table in ["work_orders", "work_leases", "attempts"] {
            let scan = format!("Seq Scan on {table} ");
            assert!(
                !plan.iter().any(|line| line.contains(&scan)),
                "{table} is read as a whole:\n{}",
                plan.join("\n")
            );
        }
    }
}
