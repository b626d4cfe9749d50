//! Outages that last longer than a lease, while builds run: both replicas of the server away, their database
//! away, kube-apiserver away. Agents work on; afterwards no attempt counts as lost and every build ends once. And
//! what is no outage: one replica of two away, or told to end.
//!
//! An installation of its own, with two replicas behind the one APIService and two agents. How long the
//! outages last comes from `BROKKR_SOAK_OUTAGE_SECONDS`; without it they are short, and so are the leases.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use brokkr_tests::{Installation, Kubectl, Part, TestNamespace, eventually};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

/// No condition takes longer, on however busy a machine.
const LIMIT: Duration = Duration::from_secs(180);

/// Within this time of the database's return, deletions of namespaces that waited for it end. The namespace
/// controller asks again after at most a minute, and then has its work to do.
const NAMESPACES_GONE: Duration = Duration::from_secs(75);

/// The agents of the installation.
const AGENTS: [&str; 2] = ["local", "local-2"];

static INSTALLATION: OnceCell<Installation> = OnceCell::const_new();

/// One outage at a time. That of kube-apiserver comes last, by the names of the tests, where they do not all start
/// together: the controllers of others back off for a while after it.
static OUTAGE: Mutex<()> = Mutex::const_new(());

async fn installation() -> &'static Installation {
    let up = || tokio::task::spawn_blocking(|| Installation::up(&["--replicas", "2", "--agents", "2"]));
    INSTALLATION
        .get_or_init(|| async { up().await.expect("it comes up") })
        .await
}

/// How long an outage lasts, and the leases beside it: it is longer than they are.
fn sizes() -> (Duration, u64) {
    let seconds = std::env::var("BROKKR_SOAK_OUTAGE_SECONDS").map_or(20, |text| {
        text.parse()
            .expect("BROKKR_SOAK_OUTAGE_SECONDS is a number of seconds")
    });
    (Duration::from_secs(seconds), if seconds > 60 { 60 } else { 15 })
}

/// Builds that run until they are let go, some on each agent.
struct Builds {
    namespace: TestNamespace,
    names: Vec<String>,
}

impl Builds {
    async fn running(installation: &Installation, lease_seconds: u64) -> Self {
        for agent in AGENTS {
            let patch = format!(
                r#"patch agent {agent} --type=merge -p {{"spec":{{"leaseSeconds":{lease_seconds}}}}}"#
            );
            installation.kubectl().run(&patch).await.ok();
        }
        let namespace = TestNamespace::create(installation, "outage").await;
        let names: Vec<String> = (1..=4).map(|number| format!("app-{number}")).collect();
        let hang: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), json!({"outcome": "hang"})))
            .collect();
        namespace.play(&hang).await;
        for (number, name) in names.iter().enumerate() {
            namespace.build(name).await;
            let target = json!([{"agentNames": [AGENTS[number % 2]]}]);
            let spec = json!({"sideEffects": "Idempotent", "targets": target});
            namespace.order(name, name, spec).await;
        }
        for name in &names {
            eventually(&format!("{name} runs"), LIMIT, || async {
                let order = namespace.get("workorder", name).await?;
                (order["status"]["phase"] == "Running").then_some(())
            })
            .await;
        }
        Self { namespace, names }
    }

    /// Lets the first so many builds end, at the hands of the cluster.
    async fn let_go(&self, count: usize) {
        let outcome = |index| {
            if index < count {
                json!({"outcome": "success", "digest": "sha256:feed"})
            } else {
                json!({"outcome": "hang"})
            }
        };
        let outcomes: Vec<_> = self
            .names
            .iter()
            .enumerate()
            .map(|(n, name)| (name.as_str(), outcome(n)))
            .collect();
        self.namespace.play(&outcomes).await;
    }

    /// Every build has one entry, of one attempt that was never lost, and ran once.
    async fn ended_once(&self) {
        for name in &self.names {
            let entry: Value = eventually(&format!("{name} has an entry"), LIMIT, || async {
                self.namespace.entries(name).await.into_iter().next()
            })
            .await;
            let status = &entry["status"];
            assert_eq!(status["outcome"], "Succeeded", "{entry:#}");
            assert_eq!(status["results"]["imageDigest"], "sha256:feed", "{entry:#}");
            assert_eq!(status["lostAttempts"].as_i64().unwrap_or(0), 0, "{entry:#}");
            assert_eq!(status["attempts"].as_array().map(Vec::len), Some(1), "{entry:#}");
        }
        let entries = self.namespace.list("workorderlogs").await;
        assert_eq!(entries.len(), self.names.len(), "one entry each");
        let runs = self.namespace.list("buildruns").await;
        assert_eq!(runs.len(), self.names.len(), "one run each");
    }
}

/// Waits until orders can be read again.
async fn back(kubectl: &Kubectl) {
    eventually("orders can be read again", LIMIT, || async {
        kubectl.run("get workorders -A").await.success.then_some(())
    })
    .await;
}

fn tell(what: &str, builds: &Builds, outage: Duration, lease_seconds: u64) {
    eprintln!(
        "soak: {what}: outage={}s lease={lease_seconds}s builds={} lost-attempts=0 entries={}",
        outage.as_secs(),
        builds.names.len(),
        builds.names.len(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_is_lost_while_all_replicas_are_away() {
    let _alone = OUTAGE.lock().await;
    let installation = installation().await;
    let (outage, lease_seconds) = sizes();
    let builds = Builds::running(installation, lease_seconds).await;

    // When both replicas are killed, builds end in their cluster while nobody can be told,
    for replica in [Part::Server, Part::SecondServer] {
        installation.stop(replica, "KILL").await;
    }
    builds.let_go(2).await;
    let kubectl = installation.kubectl();
    assert!(
        !kubectl.run("get workorders -A").await.success,
        "the outage is one"
    );
    tokio::time::sleep(outage).await;
    assert!(
        !kubectl.run("get workorders -A").await.success,
        "the outage was one"
    );

    // and are reported once somebody listens again.
    for replica in [Part::Server, Part::SecondServer] {
        installation.start(replica).await;
    }
    back(&kubectl).await;
    builds.let_go(builds.names.len()).await;
    builds.ended_once().await;
    tell("replicas away", &builds, outage, lease_seconds);
}

/// The deletion of two namespaces: of one that holds an order, and of one that holds nothing of ours.
struct Deletion {
    kubectl: Kubectl,
    namespaces: [String; 2],
}

impl Deletion {
    /// Creates them, to be deleted later.
    async fn prepare(installation: &Installation) -> Self {
        let with_order = TestNamespace::create(installation, "going").await;
        let targets = json!({"targets": [{"agentNames": ["nobody"]}]});
        with_order.order("app", "app", targets).await;
        let unrelated = with_order.name.replace("going", "unrelated");
        let kubectl = installation.kubectl();
        kubectl.run(&format!("create namespace {unrelated}")).await.ok();
        Self {
            kubectl,
            namespaces: [with_order.name, unrelated],
        }
    }

    async fn begin(&self) {
        let names = self.namespaces.join(" ");
        self.kubectl
            .run(&format!("delete namespace {names} --wait=false"))
            .await
            .ok();
    }

    /// How many of them are still there.
    async fn waiting(&self) -> usize {
        let names = self.namespaces.join(" ");
        let get = format!("get namespace {names} --ignore-not-found -o name");
        self.kubectl.run(&get).await.ok().lines().count()
    }

    async fn ended(&self) {
        let begun = Instant::now();
        eventually("the namespaces are gone", NAMESPACES_GONE, || async {
            (self.waiting().await == 0).then_some(())
        })
        .await;
        eprintln!(
            "soak: namespaces gone {}s after the return",
            begun.elapsed().as_secs()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_is_lost_and_deletions_wait_while_the_database_is_away() {
    let _alone = OUTAGE.lock().await;
    let installation = installation().await;
    let (outage, lease_seconds) = sizes();
    let deletion = Deletion::prepare(installation).await;
    let builds = Builds::running(installation, lease_seconds).await;
    let kubectl = installation.kubectl();

    // Without its database the group is described and available, and nothing of it looks empty or gone,
    installation.stop(Part::Postgres, "INT").await;
    builds.let_go(2).await;
    deletion.begin().await;
    let refusal = kubectl.run("get workorders -A").await.err();
    assert!(refusal.contains("ServiceUnavailable"), "{refusal}");
    tokio::time::sleep(outage).await;
    let described = kubectl.run("get --raw /apis/work.brokkr.io/v1alpha1").await.ok();
    assert!(described.contains("workorders/claim"), "{described}");
    assert_eq!(deletion.waiting().await, 2);

    // and what waited for it ends after its return.
    installation.start(Part::Postgres).await;
    deletion.ended().await;
    builds.let_go(builds.names.len()).await;
    builds.ended_once().await;
    tell("database away", &builds, outage, lease_seconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_is_lost_while_kube_apiserver_is_away() {
    let _alone = OUTAGE.lock().await;
    let installation = installation().await;
    let (outage, lease_seconds) = sizes();
    let builds = Builds::running(installation, lease_seconds).await;

    installation.stop(Part::KubeApiserver, "KILL").await;
    let kubectl = installation.kubectl();
    assert!(!kubectl.run("get namespaces").await.success, "the outage is one");
    tokio::time::sleep(outage).await;
    assert!(!kubectl.run("get namespaces").await.success, "the outage was one");

    installation.start(Part::KubeApiserver).await;
    back(&kubectl).await;
    builds.let_go(builds.names.len()).await;
    builds.ended_once().await;
    tell("kube-apiserver away", &builds, outage, lease_seconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_away_is_not_noticed() {
    let _alone = OUTAGE.lock().await;
    let installation = installation().await;
    let (_, lease_seconds) = sizes();
    let builds = Builds::running(installation, lease_seconds).await;
    let kubectl = installation.kubectl();
    for replica in [Part::Server, Part::SecondServer] {
        installation.stop(replica, "KILL").await;
        // Whatever was under way at the kill is tried again by the client, as kubectl does not.
        back(&kubectl).await;
        for _ in 0..10 {
            kubectl.run("get workorders -A").await.ok();
        }
        installation.start(replica).await;
    }
    builds.let_go(builds.names.len()).await;
    builds.ended_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_told_to_end_fails_no_request() {
    let _alone = OUTAGE.lock().await;
    let installation = installation().await;
    let namespace = TestNamespace::create(installation, "rollout").await;
    let (kubectl, done, answered) = (
        installation.kubectl(),
        AtomicBool::new(false),
        AtomicUsize::new(0),
    );

    let requests = async {
        while !done.load(Ordering::Relaxed) {
            let targets = json!({"targets": [{"agentNames": ["nobody"]}]});
            let name = format!("app-{}", answered.load(Ordering::Relaxed));
            namespace.order(&name, "app", targets).await;
            kubectl.run("get workorders,workorderlogs -A").await.ok();
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let rollout = async {
        for replica in [Part::Server, Part::SecondServer, Part::Server] {
            installation.stop(replica, "TERM").await;
            more(&answered).await;
            installation.start(replica).await;
            more(&answered).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(requests, rollout);

    let orders = namespace.list("workorders").await;
    assert_eq!(orders.len(), answered.into_inner(), "each is there");
}

/// Waits for three answers more.
async fn more(answered: &AtomicUsize) {
    let wanted = answered.load(Ordering::Relaxed) + 3;
    let answer = async || (answered.load(Ordering::Relaxed) >= wanted).then_some(());
    eventually("three answers", LIMIT, answer).await;
}
