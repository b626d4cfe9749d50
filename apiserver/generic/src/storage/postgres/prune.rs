//! Pruning the change log: what is both old and far behind goes, the floor first.

use std::sync::Arc;

use sqlx::postgres::PgPool;
use tokio_util::sync::CancellationToken;

use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::metrics::StorageMetrics;
use crate::storage::options::StorageOptions;

/// Events removed by one statement.
const BATCH_EVENTS: i64 = 5000;

/// Prunes at each interval, until the token is cancelled. Every replica does: two that meet find
/// nothing left to do.
pub(crate) async fn run(
    options: Arc<StorageOptions>,
    pool: PgPool,
    metrics: Arc<StorageMetrics>,
    token: CancellationToken,
) {
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(options.log_prune_interval) => {}
        }
        loop {
            match prune(&pool, &options, &metrics).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "change log not pruned");
                    break;
                }
            }
        }
    }
}

/// Removes one batch; whether there may be more to remove.
pub(crate) async fn prune(
    pool: &PgPool,
    options: &StorageOptions,
    metrics: &StorageMetrics,
) -> Result<bool, StorageError> {
    if mutant!("i10-removed-before-the-floor-rises") {
        sqlx::query(
            "delete from apiserver.watch_events
             where rv <= (select max(rv) from apiserver.watch_events) - $1",
        )
        .bind(i64::try_from(options.log_events_min).unwrap_or(i64::MAX))
        .execute(pool)
        .await?;
    }
    // Age and versions rise together, so what may go is a prefix. Versions have few holes: counting by
    // them keeps at least as many events as asked, less the rolled back ones.
    let raised: Option<i64> = sqlx::query_scalar(
        "with oldest as (select rv, at from apiserver.watch_events order by rv limit $1),
         bound as (
             select max(rv) as rv from oldest
             where at < clock_timestamp() - make_interval(secs => $2)
                 and rv <= (select max(rv) from apiserver.watch_events) - $3
         )
         update apiserver.rv_meta m set floor_rv = bound.rv, floor_at = clock_timestamp()
         from bound where bound.rv > m.floor_rv
         returning m.floor_rv",
    )
    .bind(BATCH_EVENTS)
    .bind(options.log_age.as_secs_f64())
    .bind(i64::try_from(options.log_events_min).unwrap_or(i64::MAX))
    .fetch_optional(pool)
    .await?;
    // The floor is committed: now what lies below it may disappear, left over from a crash or not.
    let removed = sqlx::query(
        "delete from apiserver.watch_events where rv = any(array(
             select e.rv from apiserver.watch_events e, apiserver.rv_meta m
             where e.rv <= m.floor_rv order by e.rv limit $1))",
    )
    .bind(BATCH_EVENTS)
    .execute(pool)
    .await?;
    metrics.pruned(removed.rows_affected());
    Ok(raised.is_some() || removed.rows_affected() > 0)
}
