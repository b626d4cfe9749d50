//! The cluster starts, survives a kill, and leaves nothing behind.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use test_postgres::{Durability, TestPostgres};

async fn execute(connect: &sqlx::postgres::PgConnectOptions, statement: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect_with(connect).await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    Ok(())
}

#[tokio::test]
async fn databases_are_apart_and_copies_carry_their_template() -> anyhow::Result<()> {
    let postgres = TestPostgres::shared();
    let first = postgres.create_database().await?;
    execute(&first.connect_options(), "create table t (x int)").await?;

    let second = postgres.create_database().await?;
    let copy = postgres.create_database_from(&first).await?;

    assert!(
        execute(&second.connect_options(), "select * from t")
            .await
            .is_err()
    );
    execute(&copy.connect_options(), "select * from t").await?;
    Ok(())
}

#[tokio::test]
async fn what_was_committed_survives_a_kill() -> anyhow::Result<()> {
    let mut postgres = TestPostgres::start(Durability::Full)?;
    let database = postgres.create_database().await?;
    execute(&database.connect_options(), "create table t (x int)").await?;

    postgres.kill()?;
    assert!(execute(&database.connect_options(), "select 1").await.is_err());
    postgres.restart()?;

    execute(&database.connect_options(), "select * from t").await?;
    Ok(())
}
