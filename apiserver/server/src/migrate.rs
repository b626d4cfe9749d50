//! Brings the schemas up to date: the library's first, then ours.
//!
//! Both are run under the migrators' own locks, so that replicas that start together do not collide.

use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, SqlSafeStr};
use tokio_util::sync::CancellationToken;

/// The wait between two attempts to reach the database at the start.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Number, name, the way up and the way down of every migration of schema `work`.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "work",
        include_str!("../../../migrations/0001_work.up.sql"),
        include_str!("../../../migrations/0001_work.down.sql"),
    ),
    (
        2,
        "namespace_uid",
        include_str!("../../../migrations/0002_namespace_uid.up.sql"),
        include_str!("../../../migrations/0002_namespace_uid.down.sql"),
    ),
    (
        3,
        "limited_user",
        include_str!("../../../migrations/0003_limited_user.up.sql"),
        include_str!("../../../migrations/0003_limited_user.down.sql"),
    ),
    (
        4,
        "idempotency_index",
        include_str!("../../../migrations/0004_idempotency_index.up.sql"),
        include_str!("../../../migrations/0004_idempotency_index.down.sql"),
    ),
    (
        5,
        "name_history",
        include_str!("../../../migrations/0005_name_history.up.sql"),
        include_str!("../../../migrations/0005_name_history.down.sql"),
    ),
    (
        6,
        "agent_contacts",
        include_str!("../../../migrations/0006_agent_contacts.up.sql"),
        include_str!("../../../migrations/0006_agent_contacts.down.sql"),
    ),
    (
        7,
        "unused_target_sets",
        include_str!("../../../migrations/0007_unused_target_sets.up.sql"),
        include_str!("../../../migrations/0007_unused_target_sets.down.sql"),
    ),
];

/// The migrations of schema `work`; their own table lies beside it, so that dropping the schema in the
/// last step down does not drop the record of it.
#[must_use]
pub fn migrator() -> Migrator {
    let both_ways = |&(number, name, up, down): &(i64, &'static str, &'static str, &'static str)| {
        let migration =
            |kind, sql: &'static str| Migration::new(number, name.into(), kind, sql.into_sql_str(), false);
        [
            migration(MigrationType::ReversibleUp, up),
            migration(MigrationType::ReversibleDown, down),
        ]
    };
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().flat_map(both_ways).collect());
    migrator.dangerous_set_table_name("public.brokkr_work_migrations");
    migrator
}

/// Migrates beside a server that listens already, until `stop`, and cancels `migrated` when that is done. A
/// failure cancels `stop`, because nothing can be served then.
///
/// # Errors
/// As [`migrate`].
pub async fn bring_up_to_date(
    database: &PgConnectOptions,
    migrated: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), sqlx::migrate::MigrateError> {
    let Some(result) = stop.run_until_cancelled(migrate(database)).await else {
        return Ok(());
    };
    match &result {
        Ok(()) => migrated.cancel(),
        Err(_) => stop.cancel(),
    }
    result
}

/// Migrates, waiting for a database that cannot be reached yet.
///
/// # Errors
/// When a migration fails: the schema is not ours, or newer than this program.
pub async fn migrate(database: &PgConnectOptions) -> Result<(), sqlx::migrate::MigrateError> {
    let mut connection = connect(database).await;
    generic_apiserver::storage::migrator()
        .run(&mut connection)
        .await?;
    migrator().run(&mut connection).await
}

/// The first connection; a database that comes up later than the server is waited for.
async fn connect(database: &PgConnectOptions) -> PgConnection {
    loop {
        match database.connect().await {
            Ok(connection) => return connection,
            Err(error) => {
                tracing::warn!(%error, "the database cannot be reached; trying again");
                tokio::time::sleep(RETRY_WAIT).await;
            }
        }
    }
}
