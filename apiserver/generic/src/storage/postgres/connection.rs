//! Opening connections, and telling what a failure of one means.

use std::time::Duration;

use futures::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor};

use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::options::StorageOptions;

/// Reads are of few rows of a table that grows, and their plans are kept as well.
const NEVER_WHOLE_TABLES: (&str, &str) = ("enable_seqscan", "off");

/// For sessions that run a few statements for ever: each has an index for what it does, in the order in which it
/// wants the rows. Their plans are kept, and a plan made while a table was small would go on reading all of it
/// after it has grown; one made when it was large would gather and sort all that waits to take the first few.
const STEADY_PLANS: [(&str, &str); 4] = [
    NEVER_WHOLE_TABLES,
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// Opens a connection for one of the tasks; `purpose` is shown in `pg_stat_activity`.
pub(crate) async fn connect(options: &StorageOptions, purpose: &str) -> Result<PgConnection, StorageError> {
    let connect = session(options)
        .options(STEADY_PLANS)
        .application_name(&format!("apiserver-{purpose}"))
        // Inputs of forerunners stand in the texts of statements.
        .disable_statement_logging();
    let connecting = async {
        let mut connection = PgConnection::connect_with(&connect).await?;
        if mutant!("i9-commits-not-flushed") {
            return Ok(connection);
        }
        // A server set to acknowledge before the flush would break "a success is durable".
        connection
            .execute(
                "select set_config('synchronous_commit', 'on', false)
                 where current_setting('synchronous_commit') = 'off'",
            )
            .await?;
        Ok(connection)
    };
    match tokio::time::timeout(options.statement_timeout, connecting).await {
        Ok(connected) => connected.map_err(|error: sqlx::Error| StorageError::from(error)),
        Err(_) => Err(unreachable("connecting took too long")),
    }
}

/// A connection that was used this recently is used again without a look at whether it still answers.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// The pool of the reads that do not go through the tailer. It connects when it is first used.
pub(crate) fn pool(options: &StorageOptions) -> PgPool {
    PgPoolOptions::new()
        .test_before_acquire(false)
        .before_acquire(|connection, use_so_far| {
            async move {
                if use_so_far.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            }
            .boxed()
        })
        .max_connections(options.pool_connections_max)
        .acquire_timeout(options.freshness_timeout)
        .idle_timeout(Duration::from_secs(300))
        .connect_lazy_with(
            session(options)
                .options([NEVER_WHOLE_TABLES])
                .application_name("apiserver-reads"),
        )
}

/// Runs a statement on a connection of the pool. The server ends a statement that takes too long; one that
/// hangs does not, so the wait ends here too. The connection goes with it: nobody knows where in its
/// protocol it stands.
pub(crate) async fn read<T>(
    pool: &PgPool,
    limit: Duration,
    statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, StorageError> {
    let mut connection = pool.acquire().await?;
    match tokio::time::timeout(limit, statement(&mut connection)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            connection.close_on_drop();
            Err(unreachable("a read was not answered in time"))
        }
    }
}

/// The server itself ends what takes too long, so that nothing holds the lock after its client is gone.
fn session(options: &StorageOptions) -> PgConnectOptions {
    let milliseconds = options.statement_timeout.as_millis().to_string();
    options.connect.clone().options([
        ("statement_timeout", milliseconds.as_str()),
        ("lock_timeout", milliseconds.as_str()),
        ("idle_in_transaction_session_timeout", milliseconds.as_str()),
        ("standard_conforming_strings", "on"),
        // Compiling a statement takes longer than any of ours runs.
        ("jit", "off"),
    ])
}

/// The database did not answer, and nothing was written.
pub(crate) fn unreachable(message: impl Into<String>) -> StorageError {
    StorageError::Unreachable {
        message: message.into(),
        ambiguous: false,
    }
}

/// The code of a statement that was given up: the time limit of the session, or somebody on the server, ended it.
const QUERY_CANCELED: &str = "57014";

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(refusal) => match refusal.code().as_deref().unwrap_or_default() {
                code if code.starts_with("23") => {
                    Self::Constraint(refusal.constraint().unwrap_or("unnamed").to_owned())
                }
                QUERY_CANCELED => Self::TimedOut(refusal.to_string()),
                code if passes(code) => unreachable(refusal.to_string()),
                _ => Self::Database(refusal.to_string()),
            },
            error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                Self::Corrupt(error.to_string())
            }
            error => unreachable(error.to_string()),
        }
    }
}

/// Whether a refusal is of the server's state and not of the statement: the connection was lost or
/// ended (08, 57P), resources are short (53), a lock was not given or a session was idle for too long (55P03,
/// 25P03), or the server is a standby (25006).
fn passes(code: &str) -> bool {
    ["08", "53", "57"].iter().any(|class| code.starts_with(class))
        || ["55P03", "25P03", "25006"].contains(&code)
}
