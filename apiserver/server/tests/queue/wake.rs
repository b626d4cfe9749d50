//! The agent itself behind two replicas, one of which is killed: its doorbell goes on ringing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use brokkr_agent::agent::Agent;
use brokkr_agent::cluster::{Cluster, ClusterError};
use brokkr_agent::config::WorkOrdersConfig;
use brokkr_agent::handler::{Handlers, Prerequisite, Run, WorkHandler};
use brokkr_agent::options::CompletedConfig;
use brokkr_agent::outcome::{Failure, Outcome};
use brokkr_apis::work::v1alpha1::{ChildReference, WorkOrderPhase, WorkType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, SOON};
use crate::serving::{Replica, serve_if_asked};

/// What an idle agent may take from the creation of an order to its claim.
const BOUND: Duration = Duration::from_secs(2);
/// How often everything is done anew when a busy machine was late; the bound stays.
const ATTEMPTS: usize = 3;

/// An address that moves from replica to replica, as that of a Service does.
#[derive(Clone)]
struct Address {
    own: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    /// Watches that were begun on the present target.
    watches: Arc<AtomicUsize>,
}

impl Address {
    async fn of(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Self {
            own: listener.local_addr().unwrap(),
            target: Arc::new(Mutex::new(target)),
            watches: Arc::default(),
        };
        let passing = address.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(passing.clone().pass(client));
            }
        });
        address
    }

    fn move_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
        self.watches.store(0, Ordering::SeqCst);
    }

    /// Until one side ends. A request without a body fits into one read.
    async fn pass(self, mut client: TcpStream) {
        let target = *self.target.lock().unwrap();
        let Ok(mut server) = TcpStream::connect(target).await else {
            return;
        };
        let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let Ok(count @ 1..) = read else { return };
                    if server.write_all(&up[..count]).await.is_err() { return }
                    let text = String::from_utf8_lossy(&up[..count]);
                    if text.starts_with("GET") && text.contains("watch=true") {
                        self.watches.fetch_add(1, Ordering::SeqCst);
                    }
                }
                read = server.read(&mut down) => {
                    let Ok(count @ 1..) = read else { return };
                    if client.write_all(&down[..count]).await.is_err() { return }
                }
            }
        }
    }
}

/// An engine whose runs never end.
#[derive(Debug)]
struct Endless;

#[async_trait]
impl WorkHandler for Endless {
    fn work_type(&self) -> WorkType {
        WorkType::Build
    }

    async fn prerequisites(&self, _: &Cluster) -> Result<Vec<Prerequisite>, ClusterError> {
        Ok(vec![Prerequisite {
            name: "engine",
            version: None,
        }])
    }

    async fn find(&self, _: Run<'_>) -> Result<Option<ChildReference>, Failure> {
        Ok(None)
    }

    async fn prepare(&self, _: Run<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn start(&self, run: Run<'_>) -> Result<ChildReference, Failure> {
        Ok(ChildReference {
            name: run.child_name(),
            ..ChildReference::default()
        })
    }

    async fn observe(&self, _: Run<'_>, _: &ChildReference, _: bool) -> Outcome {
        std::future::pending().await
    }

    async fn cancel(&self, _: Run<'_>, _: &ChildReference) -> Result<(), Failure> {
        Ok(())
    }
}

/// Starts the agent `east` without its fallback: it does not poll for an hour.
fn start_agent(hub: SocketAddr, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let mut hub = kube::Config::new(format!("http://{hub}").parse().unwrap());
    hub.default_retry = false;
    hub.auth_info.token = Some("east".to_owned().into());
    let config = CompletedConfig {
        name: "east".to_owned(),
        holder: "p1".to_owned(),
        cluster: hub.clone(),
        hub,
        hub_id: None,
        runner_account: "brokkr-runner".to_owned(),
        drain_timeout: Duration::ZERO,
        metrics_bind_address: None,
        work_orders: WorkOrdersConfig {
            poll_interval_seconds: 3600,
            ..WorkOrdersConfig::default()
        },
    };
    let handlers = Handlers::of([Arc::new(Endless) as Arc<dyn WorkHandler>]);
    let stop = stop.clone();
    tokio::spawn(async move { Agent::new(config, handlers).unwrap().serve(stop).await })
}

async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) -> Duration {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

/// Kills the replica that an idle agent watches; how long the first order after the resumed watch waits.
async fn wakes_after_a_kill(test: &str) -> Duration {
    let fixture = Fixture::new().await;
    fixture.agent("east").await;
    let first = Replica::start(test, &fixture.connect).await;
    let second = Replica::start(test, &fixture.connect).await;
    let hub = Address::of(first.address).await;
    let stop = CancellationToken::new();
    let agent = start_agent(hub.own, &stop);
    let idle = "select count(*) from work.idle_agents where rung_at is null";
    until("the agent is idle", async || fixture.count(idle).await == 1).await;
    let watches = async || hub.watches.load(Ordering::SeqCst) > 0;
    until("its watch runs", watches).await;

    first.kill().await;
    hub.move_to(second.address);
    let resumed = until("the watch is resumed", watches).await;

    until("the agent is idle", async || fixture.count(idle).await == 1).await;
    let created = Instant::now();
    fixture.order("order").await;
    until("the order is claimed", async || {
        fixture.phase("order").await != WorkOrderPhase::Pending
    })
    .await;
    let woken = created.elapsed();
    eprintln!("watch resumed after {resumed:?}, woken after {woken:?}");
    stop.cancel();
    agent.await.unwrap();
    woken
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_agent_whose_replica_was_killed_wakes_within_two_seconds_of_a_create() {
    if serve_if_asked().await {
        return;
    }
    let test = "wake::idle_agent_whose_replica_was_killed_wakes_within_two_seconds_of_a_create";
    let mut woken = Vec::new();
    while woken.last().is_none_or(|last| *last > BOUND) && woken.len() < ATTEMPTS {
        woken.push(wakes_after_a_kill(test).await);
    }
    assert!(woken.last().is_some_and(|last| *last <= BOUND), "{woken:?}");
}
