//! Nudges between replicas: a hint, sent after a commit, that the change log has grown.
//!
//! A nudge carries who sends it, so that a replica passes over its own, and may be lost; polling is the truth.
//! It is never sent inside a writer's transaction: PostgreSQL holds one cluster-wide lock from such a NOTIFY to
//! the commit.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{connect, statement};
use crate::storage::error::StorageError;
use crate::storage::metrics::StorageMetrics;
use crate::storage::options::StorageOptions;

const CHANNEL: &str = "apiserver_watch_events";
const RETRY: Duration = Duration::from_secs(1);

/// Sends a nudge after commits, at most one in each interval, until the token is cancelled.
pub(crate) async fn send(
    options: Arc<StorageOptions>,
    committed: Arc<Notify>,
    sender: Uuid,
    metrics: Arc<StorageMetrics>,
    token: CancellationToken,
) {
    let text = statement(format!("notify {CHANNEL}, '{sender}'"));
    let mut connection = None;
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            () = committed.notified() => {}
        }
        if connection.is_none() {
            connection = connect(&options, "nudge").await.ok();
        }
        if let Some(open) = &mut connection {
            let notify = open.execute(sqlx::raw_sql(text.clone()));
            let sent = tokio::time::timeout(options.statement_timeout, notify).await;
            match sent {
                Ok(Ok(_)) => metrics.nudge_sent(),
                _ => connection = None,
            }
        }
        // Commits during this pause share the next nudge.
        tokio::time::sleep(options.nudge_interval).await;
    }
}

/// Wakes the tailer on every nudge of another replica, until the token is cancelled.
pub(crate) async fn listen(
    options: Arc<StorageOptions>,
    wake: Arc<Notify>,
    sender: Uuid,
    metrics: Arc<StorageMetrics>,
    token: CancellationToken,
) {
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            ended = listen_once(&options, &wake, sender, &metrics) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "not listening for nudges, polling alone");
                }
            }
        }
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    options: &StorageOptions,
    wake: &Notify,
    sender: Uuid,
    metrics: &StorageMetrics,
) -> Result<(), StorageError> {
    // A pool of its own, for the one connection that a listener keeps.
    let connect = options.connect.clone().application_name("apiserver-listen");
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(options.statement_timeout)
        .connect_lazy_with(connect);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    // What was announced before LISTEN took effect is not announced again.
    wake.notify_one();
    while let Some(nudge) = listener.try_recv().await? {
        if nudge.payload().parse() != Ok(sender) {
            metrics.nudge_received();
            wake.notify_one();
        }
    }
    Ok(())
}
