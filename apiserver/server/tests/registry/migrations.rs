//! Migrations of the schema `work`.

use brokkr_apiserver::migrate::migrator;
use sqlx::{Connection, Executor, PgConnection};
use test_postgres::TestPostgres;

#[tokio::test]
async fn every_migration_runs_up_and_down_and_up_again() {
    let database = TestPostgres::shared().create_database().await.unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    generic_apiserver::storage::migrator()
        .run(&mut connection)
        .await
        .unwrap();
    let migrator = migrator();
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap();
    migrator.run(&mut connection).await.unwrap();
    for target in (0..newest).rev() {
        migrator.undo(&mut connection, target).await.unwrap();
    }
    migrator.run(&mut connection).await.unwrap();
    connection
        .execute("select heard_at, served_at from work.queue_state")
        .await
        .unwrap();
}

#[tokio::test]
async fn keys_that_two_namespaces_of_one_name_used_survive_the_way_down() {
    let database = TestPostgres::shared().create_database().await.unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options())
        .await
        .unwrap();
    let migrator = migrator();
    migrator.run(&mut connection).await.unwrap();
    let keys = "insert into work.work_order_keys
            (order_uid, namespace, namespace_uid, order_name, idempotency_key, spec_hash, log_name, completed_at)
        values (gen_random_uuid(), 'n', 'first', 'a', 'k', '', 'a-1', now() - interval '1 day'),
            (gen_random_uuid(), 'n', 'second', 'b', 'k', '', 'b-1', now()),
            (gen_random_uuid(), 'n', 'third', 'c', 'k', '', null, null)";
    connection.execute(keys).await.unwrap();

    migrator.undo(&mut connection, 1).await.unwrap();

    let holders: Vec<String> =
        sqlx::query_scalar("select order_name from work.work_order_keys where idempotency_key = 'k'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(holders, ["c"], "the live order keeps its key");
}
