//! The library's own schema, `apiserver`, and how it is brought up to date.
//!
//! Upstream has no counterpart: etcd needs no schema.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The migrations of schema `apiserver`, with a migrations table inside that schema: migrations of
/// other crates in the same database keep their own.
#[must_use]
pub fn migrator() -> Migrator {
    let up = include_str!("../../migrations/0001_change_log.up.sql");
    let down = include_str!("../../migrations/0001_change_log.down.sql");
    let mut migrator = Migrator::with_migrations(vec![
        Migration::new(
            1,
            "change log".into(),
            MigrationType::ReversibleUp,
            up.into_sql_str(),
            false,
        ),
        Migration::new(
            1,
            "change log".into(),
            MigrationType::ReversibleDown,
            down.into_sql_str(),
            false,
        ),
    ]);
    migrator.create_schema("apiserver");
    migrator.dangerous_set_table_name("apiserver.schema_migrations");
    migrator
}
