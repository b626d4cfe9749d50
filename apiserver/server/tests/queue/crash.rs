//! A replica is killed with -9 around the commit of a claim or a completion: the repeated request is
//! answered by another replica as if nothing had happened.
//!
//! The replica is a process of its own: this program, running the same test, with the address of its
//! database in the environment.

use std::process::Stdio;
use std::time::{Duration, Instant};

use brokkr_apis::work::v1alpha1::{CompletionOutcome, WorkOrderCompletionSpec, WorkOrderPhase};
use brokkr_apiserver::queue::claim::ClaimInput;
use brokkr_apiserver::queue::report::{ClaimKey, CompleteInput};
use generic_apiserver::storage::StorageOptions;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use test_postgres::{Loss, Proxy};
use tokio::process::{Child, Command};

use crate::ask::batch;
use crate::fixture::{Fixture, SOON};

/// Tells a process of this test that it is the replica, and where its database is.
const REPLICA_OF: &str = "TEST_REPLICA_OF";

/// What the replica says when it has its answer; nobody may hear it.
const ANSWERED: &str = "the replica has answered";

/// The replica, in its own process.
fn in_replica() -> Option<Fixture> {
    let database = std::env::var(REPLICA_OF).ok()?;
    Some(Fixture::beside(database.parse::<PgConnectOptions>().unwrap()))
}

fn start_replica(test: &str, database: &PgConnectOptions) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", test])
        .env(REPLICA_OF, database.to_url_lossy().as_str())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Runs the test's replica until its commit is lost in this way, and kills it.
async fn kill_at_commit(test: &str, fixture: &Fixture, loss: Loss) {
    let proxy = Proxy::before(&fixture.connect).unwrap();
    proxy.lose(loss, "; commit");
    let mut replica = start_replica(test, &proxy.connect_options());
    let deadline = Instant::now() + SOON;
    while !proxy.has_lost() {
        assert!(Instant::now() < deadline, "the replica commits nothing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    replica.start_kill().unwrap();
    let output = replica.wait_with_output().await.unwrap();
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.contains(ANSWERED), "{output}");
    // Its transaction, which ends one way or the other, has had the lock.
    let lock = StorageOptions::new(fixture.connect.clone()).lock_key;
    fixture
        .sql(&format!("select pg_advisory_xact_lock({lock})"))
        .await;
}

fn request() -> ClaimInput {
    let mut input = batch("east", 1);
    input.request_id = Some("r1".to_owned());
    input
}

/// The completion of what east holds.
async fn completion_of_held(fixture: &Fixture) -> CompleteInput {
    let held = fixture.queue.held_claims("east").await.unwrap().remove(0);
    let report = WorkOrderCompletionSpec {
        uid: held.uid.clone(),
        fence: held.fence,
        outcome: CompletionOutcome::Succeeded,
        ..WorkOrderCompletionSpec::default()
    };
    let key = ClaimKey {
        uid: held.uid,
        fence: Some(held.fence),
        namespace: held.namespace,
        name: held.name,
        agent: Some("east".to_owned()),
        user: "east".to_owned(),
        namespace_terminating: false,
        dry_run: false,
    };
    CompleteInput { key, report }
}

async fn with_orders() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    for name in ["one", "two"] {
        fixture.order(name).await;
    }
    fixture
}

#[tokio::test]
async fn claim_whose_reply_died_with_its_replica_is_answered_by_another() {
    if let Some(replica) = in_replica() {
        replica.queue.claim(request()).await.unwrap().unwrap();
        eprintln!("{ANSWERED}");
        return;
    }
    let fixture = with_orders().await;
    let test = "crash::claim_whose_reply_died_with_its_replica_is_answered_by_another";
    kill_at_commit(test, &fixture, Loss::Answer).await;
    assert_eq!(fixture.count("select count(*) from work.work_leases").await, 1);

    let answer = fixture.queue.claim(request()).await.unwrap().unwrap();
    let again = fixture.queue.claim(request()).await.unwrap().unwrap();

    assert_eq!(answer, again);
    assert_eq!(answer.len(), 1);
    let claim = fixture.find("one").await.unwrap().status.unwrap().claim.unwrap();
    assert_eq!(
        (answer[0].name.as_str(), answer[0].fence),
        ("one", Some(claim.fence))
    );
    assert_eq!(fixture.count("select count(*) from work.attempts").await, 1);
    assert_eq!(fixture.count("select count(*) from work.work_leases").await, 1);
}

#[tokio::test]
async fn claim_that_died_before_its_commit_is_granted_anew() {
    if let Some(replica) = in_replica() {
        replica.queue.claim(request()).await.unwrap().unwrap();
        eprintln!("{ANSWERED}");
        return;
    }
    let fixture = with_orders().await;
    let test = "crash::claim_that_died_before_its_commit_is_granted_anew";
    kill_at_commit(test, &fixture, Loss::Request).await;
    assert_eq!(fixture.count("select count(*) from work.work_leases").await, 0);

    let answer = fixture.queue.claim(request()).await.unwrap().unwrap();

    assert_eq!((answer.len(), answer[0].attempt), (1, 1));
    assert_eq!(fixture.count("select count(*) from work.attempts").await, 1);
}

#[tokio::test]
async fn completion_whose_reply_died_with_its_replica_is_answered_by_another() {
    if let Some(replica) = in_replica() {
        let completion = completion_of_held(&replica).await;
        replica.queue.complete(completion).await.unwrap().unwrap();
        eprintln!("{ANSWERED}");
        return;
    }
    let fixture = with_orders().await;
    fixture.claimed("east", "one").await;
    let completion = completion_of_held(&fixture).await;
    let test = "crash::completion_whose_reply_died_with_its_replica_is_answered_by_another";
    kill_at_commit(test, &fixture, Loss::Answer).await;
    assert_eq!(fixture.phase("one").await, WorkOrderPhase::Succeeded);

    let answer = fixture.queue.complete(completion.clone()).await.unwrap().unwrap();
    let again = fixture.queue.complete(completion).await.unwrap().unwrap();

    assert_eq!(answer, again);
    let entries = fixture.entries("one").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(answer.log_name, entries[0].metadata.name);
    assert_eq!(fixture.count("select count(*) from work.late_reports").await, 0);
}
