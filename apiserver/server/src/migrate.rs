//! Brings the schemas up to date: the library's first, then ours.
//!
//! Both are run under the migrators' own locks, so that replicas that start together do not collide.

use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, SqlSafeStr};

/// The wait between two attempts to reach the database at the start.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// The migrations of schema `work`; their own table lies beside it, so that dropping the schema in the
/// last step down does not drop the record of it.
#[must_use]
pub fn migrator() -> Migrator {
    let up = include_str!("../../../migrations/0001_work.up.sql");
    let down = include_str!("../../../migrations/0001_work.down.sql");
    let mut migrator = Migrator::with_migrations(vec![
        Migration::new(
            1,
            "work".into(),
            MigrationType::ReversibleUp,
            up.into_sql_str(),
            false,
        ),
        Migration::new(
            1,
            "work".into(),
            MigrationType::ReversibleDown,
            down.into_sql_str(),
            false,
        ),
    ]);
    migrator.dangerous_set_table_name("public.brokkr_work_migrations");
    migrator
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
