//! The tables have the columns and indexes that were demanded by name, and no JSONB.

use std::fs;

use crate::repository::root;

/// Row of the requirements, table, column and the beginning of its type. Agents are named, not numbered,
/// here, so `claimed_by` is text.
const COLUMNS: &[(&str, &str, &str, &str)] = &[
    ("B-50", "work_orders", "id", "uuid"),
    ("B-51", "work_orders", "created_at", "timestamptz not null"),
    ("B-51", "work_orders", "updated_at", "timestamptz not null"),
    ("B-52", "work_orders", "work_type", "varchar(50) not null"),
    ("B-53", "work_orders", "yaml_content", "text not null"),
    ("B-54", "work_orders", "status", "varchar(20) not null"),
    ("B-55", "work_orders", "claimed_by", "text"),
    ("B-55", "work_orders", "claimed_at", "timestamptz"),
    ("B-56", "work_orders", "claim_timeout_seconds", "integer not null"),
    ("B-57", "work_orders", "max_retries", "integer not null"),
    ("B-58", "work_orders", "retry_count", "integer not null"),
    ("B-59", "work_orders", "backoff_seconds", "integer not null"),
    ("B-60", "work_orders", "next_retry_after", "timestamptz"),
    ("B-61", "work_order_log", "id", "uuid not null"),
    ("B-61", "work_order_log", "work_type", "varchar(50) not null"),
    ("B-62", "work_order_log", "created_at", "timestamptz not null"),
    ("B-62", "work_order_log", "claimed_at", "timestamptz"),
    ("B-62", "work_order_log", "completed_at", "timestamptz not null"),
    ("B-63", "work_order_log", "claimed_by", "text"),
    ("B-63", "work_order_log", "success", "boolean not null"),
    ("B-63", "work_order_log", "retries_attempted", "integer not null"),
    ("B-64", "work_order_log", "result_message", "text"),
    ("B-64", "work_order_log", "yaml_content", "text not null"),
];

/// Row of the requirements and the text of an index: its table, columns and condition.
const INDEXES: &[(&str, &str)] = &[
    (
        "B-66",
        "on work.work_orders (next_retry_after) where status = 'RETRY_PENDING'",
    ),
    (
        "B-66",
        "on work.work_orders (claimed_by, id) where status = 'CLAIMED'",
    ),
    (
        "B-66",
        "on work.work_orders (attempt_deadline) where status = 'CLAIMED'",
    ),
    (
        "B-66",
        "on work.work_orders (target_set_id, work_type, priority desc, turn, created_at, id) where status = 'PENDING'",
    ),
    ("B-67", "on work.work_order_log (work_type"),
    ("B-67", "on work.work_order_log (success"),
    ("B-67", "on work.work_order_log (completed_at)"),
    ("B-67", "on work.target_set_agents (agent_name"),
    (
        "E-24",
        "on work.work_orders (expires_at) where expires_at is not null",
    ),
];

/// The migrations upwards, without comments and with single blanks.
fn migrations() -> String {
    let folder = fs::read_dir(root().join("migrations")).expect("a readable folder");
    let mut paths: Vec<_> = folder
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".up.sql"));
    paths.sort();
    let mut words = String::new();
    for path in paths {
        let text = fs::read_to_string(path).expect("a readable migration");
        for line in text
            .lines()
            .map(|line| line.split("--").next().unwrap_or_default())
        {
            line.split_whitespace().for_each(|word| {
                words.push_str(word);
                words.push(' ');
            });
        }
    }
    words
}

/// Whether a table is created with a column of that name whose type begins so.
fn has_column(migrations: &str, table: &str, column: &str, sql_type: &str) -> bool {
    let head = format!("create table work.{table} (");
    let body = migrations.split_once(&head).map(|(_, rest)| rest);
    let body = body.and_then(|rest| rest.split_once(';').map(|(body, _)| body));
    let definition = format!(" {column} {sql_type}");
    body.is_some_and(|body| body.contains(&definition))
}

#[test]
fn demanded_columns_are_in_the_tables() {
    let migrations = migrations();
    for (row, table, column, sql_type) in COLUMNS {
        assert!(
            has_column(&migrations, table, column, sql_type),
            "{row}: {table} has no column {column} {sql_type}"
        );
    }
    assert!(!has_column(&migrations, "work_orders", "claimed_at", "text"));
    assert!(
        migrations.contains("create view work.work_order_targets as"),
        "B-65"
    );
}

#[test]
fn demanded_indexes_are_on_the_tables() {
    let migrations = migrations();
    for (row, index) in INDEXES {
        assert!(migrations.contains(index), "{row}: there is no index {index}");
    }
}

#[test]
fn no_column_is_jsonb() {
    assert!(!migrations().to_lowercase().contains("jsonb"));
}
