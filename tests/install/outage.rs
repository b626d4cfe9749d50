//! A server that is started while its database is away.

use std::sync::Arc;

use brokkr_tests::eventually;
use sqlx::{Connection, PgConnection};
use test_postgres::{Durability, TestPostgres};

use crate::plane::LIMIT;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn c081_server_started_without_its_database_lives_describes_itself_and_becomes_ready_with_it() {
    let site = Site::up("etcd,apiserver").await;
    let admin = site.account("admin", "cluster-admin").await;
    let trusted = site.trusted();
    let mut postgres = TestPostgres::start(Durability::None).expect("PostgreSQL");
    let database = postgres.create_database().await.expect("a database");

    // Given a database that is down,
    postgres.stop().expect("stopped");
    let server = site.server(&database);

    // when the server is started, then it lives and is not ready,
    eventually("it lives", LIMIT, || async {
        (server.status(&trusted, "/livez").await? == 200).then_some(())
    })
    .await;
    assert_eq!(server.status(&trusted, "/readyz").await.expect("an answer"), 500);

    // describes itself, and answers everything else with 503,
    let get = async |path| server.get(&trusted, &admin, path).await.expect("an answer");
    for path in ["/apis/work.brokkr.io/v1alpha1", "/openapi/v3", "/version"] {
        assert_eq!(get(path).await.0, 200, "{path}");
    }
    let (status, body) = get("/apis/work.brokkr.io/v1alpha1/workorders").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("retryAfterSeconds"), "{body}");

    // and with the database it becomes ready, the same process.
    postgres.restart().expect("started");
    eventually("it is ready", LIMIT, || async {
        (server.status(&trusted, "/readyz").await? == 200).then_some(())
    })
    .await;
    assert_eq!(get("/apis/work.brokkr.io/v1alpha1/workorders").await.0, 200);
    assert!(Arc::into_inner(server).expect("the only one").runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn c083_resources_are_503_until_their_tables_are_there() {
    let site = Site::up("etcd,apiserver").await;
    let admin = site.account("admin", "cluster-admin").await;
    let trusted = site.trusted();
    let postgres = TestPostgres::start(Durability::None).expect("PostgreSQL");
    let database = postgres.create_database().await.expect("a database");

    // Given a database that answers, whose migration waits for somebody else's transaction,
    let mut connection = PgConnection::connect_with(&database.connect_options())
        .await
        .expect("connected");
    let mut blocking = connection.begin().await.expect("begun");
    let schema = sqlx::query("create schema apiserver");
    schema.execute(&mut *blocking).await.expect("created");
    let server = site.server(&database);
    eventually("it lives", LIMIT, || async {
        (server.status(&trusted, "/livez").await? == 200).then_some(())
    })
    .await;

    // then whatever reads tables is told to come back,
    for resource in ["workorders", "workorderlogs", "agents/none/pending"] {
        let path = format!("/apis/work.brokkr.io/v1alpha1/{resource}");
        let (status, body) = server.get(&trusted, &admin, &path).await.expect("an answer");
        assert_eq!(status, 503, "{path}: {body}");
    }
    assert_eq!(server.status(&trusted, "/readyz").await.expect("an answer"), 500);

    // until they are there.
    blocking.rollback().await.expect("rolled back");
    eventually("it is ready", LIMIT, || async {
        (server.status(&trusted, "/readyz").await? == 200).then_some(())
    })
    .await;
}
