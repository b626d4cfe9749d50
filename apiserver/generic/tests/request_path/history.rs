//! How far back a watch may start, and what becomes of versions when the database loses some.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use test_postgres::{Durability, TestDatabase, TestPostgres};

use crate::client::Answer;
use crate::server::{N, Server, Setup, database, flunder, number, version};

async fn sql(database: &TestDatabase, statement: &'static str) {
    let connect = database.connect_options();
    let mut connection = PgConnection::connect_with(&connect).await.unwrap();
    connection.execute(statement).await.unwrap();
}

async fn count(database: &TestDatabase, statement: &'static str) -> i64 {
    let connect = database.connect_options();
    let mut connection = PgConnection::connect_with(&connect).await.unwrap();
    sqlx::query_scalar(statement)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

fn from(version: &str) -> String {
    format!("{N}?watch=true&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=20")
}

/// Asks until the database is back: until then the answer is 503.
async fn again<F: Future<Output = Answer>>(code: u16, ask: impl Fn() -> F) -> Answer {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let answer = ask().await;
        if answer.status == code {
            return answer;
        }
        answer.refused(503, "ServiceUnavailable");
        assert!(tokio::time::Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a watch ends at once because its start is too old.
async fn expires(server: &Server, start: &str) -> bool {
    let mut events = server.client.watch(&from(start)).await;
    let event = events.next().await.expect("an event");
    event["type"] == "ERROR" && event["object"]["code"] == 410 && event["object"]["reason"] == "Expired"
}

/// A replica that prunes often and keeps events for their age alone.
fn pruning() -> Setup {
    Setup {
        storage: Box::new(|options| {
            options.log_events_min = 0;
            options.ring_events_min = 0;
            options.log_prune_interval = Duration::from_millis(50);
        }),
        ..Setup::default()
    }
}

#[tokio::test]
async fn c283_a_watch_starts_again_from_a_bookmark_that_is_four_minutes_old() {
    let database = Arc::new(database(TestPostgres::shared()).await);
    let server = Server::replica(Arc::clone(&database), pruning()).await;
    server.create("a", json!({})).await;
    let mut events = server
        .client
        .watch(&format!(
            "{N}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true"
        ))
        .await;
    let mut bookmark = Value::Null;
    while let Some(event) = events.next().await {
        bookmark = event;
    }
    assert_eq!(bookmark["type"], "BOOKMARK");
    let start = version(&bookmark["object"]);
    server.create("b", json!({})).await;
    server.create("c", json!({})).await;

    // What happened is now four minutes older, and the replica has to read it from the log.
    sql(
        &database,
        "update apiserver.watch_events set at = at - interval '4 minutes'",
    )
    .await;
    let other = Server::replica(Arc::clone(&database), pruning()).await;
    other.create("d", json!({})).await;
    let mut resumed = other.client.watch(&from(&start)).await;
    assert_eq!(resumed.short(3).await, ["ADDED b", "ADDED c", "ADDED d"]);

    // Seven minutes are too much: it is gone, and said so.
    sql(&database, "update apiserver.watch_events set at = at - interval '3 minutes' where rv < (select max(rv) from apiserver.watch_events)").await;
    let deadline = tokio::time::Instant::now() + crate::client::SOON;
    while count(&database, "select count(*) from apiserver.watch_events").await > 1 {
        assert!(tokio::time::Instant::now() < deadline, "nothing is pruned");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = Server::replica(database, pruning()).await;
    late.client.get(N).await.expect(200);
    assert!(expires(&late, &start).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c284_after_a_restore_versions_go_forward_and_older_watches_expire() {
    let mut postgres = TestPostgres::start(Durability::None).unwrap();
    let database = Arc::new(database(&postgres).await);
    let server = Server::replica(Arc::clone(&database), Setup::default()).await;
    server.create("kept", json!({})).await;
    let lost_one = flunder("lost", json!({}));
    postgres.stop().unwrap();
    postgres.copy_files().unwrap();
    postgres.restart().unwrap();
    let lost = again(201, || server.client.post(N, &lost_one)).await.json();
    let list = again(200, || server.client.get(N)).await.json();
    let mut open = server.client.watch(&from(&version(&list))).await;

    postgres.stop().unwrap();
    postgres.restore_files().unwrap();
    postgres.restart().unwrap();

    let answer = again(200, || server.client.get(N)).await;
    assert_eq!(answer.names(), ["kept"]);
    assert!(
        number(&answer.expect(200)) > number(&list),
        "a list never goes back"
    );
    let ended = open.next().await.expect("an event");
    assert_eq!(
        (&ended["type"], &ended["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert!(expires(&server, &version(&lost)).await);
    let exact = format!(
        "{N}?resourceVersion={}&resourceVersionMatch=Exact",
        version(&lost)
    );
    server.client.get(&exact).await.refused(410, "Expired");
    let anew = again(201, || server.client.post(N, &lost_one)).await.json();
    assert!(number(&anew) > number(&lost));
}

#[tokio::test]
async fn c288_watches_share_the_connections_of_their_replica() {
    let database = Arc::new(database(TestPostgres::shared()).await);
    let server = Server::replica(Arc::clone(&database), Setup::default()).await;
    let list = server.client.get(N).await.expect(200);
    server.create("warm", json!({})).await;
    let connections = "select count(*) from pg_stat_activity where datname = current_database()
                           and pid <> pg_backend_pid()";
    let url = from(&version(&list));
    let mut watches = futures::future::join_all((0..200).map(|_| server.client.watch(&url))).await;
    for watch in &mut watches {
        assert_eq!(watch.short(1).await, ["ADDED warm"]);
    }
    server.create("seen", json!({})).await;
    for watch in &mut watches {
        assert_eq!(watch.short(1).await, ["ADDED seen"]);
    }

    // Writer, tailer, nudges, and a pool of ten for other reads.
    let sessions = count(&database, connections).await;
    assert!(
        (1..=13).contains(&sessions),
        "{sessions} sessions for 200 watches"
    );
}
