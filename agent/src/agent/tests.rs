//! What probes are told of the loops while the hub is away, and when one stands still.

use super::*;
use crate::config::WorkOrdersConfig;
use crate::health::Complaint;

/// An agent whose hub and cluster are a port of this machine where nobody listens.
fn cut_off() -> Agent {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    let mut hub = kube::Config::new(address.parse().unwrap());
    hub.default_retry = false;
    let config = CompletedConfig {
        name: "east-1".to_owned(),
        holder: "h1".to_owned(),
        cluster: hub.clone(),
        hub,
        hub_id: None,
        runner_account: "brokkr-runner".to_owned(),
        drain_timeout: Duration::ZERO,
        metrics_bind_address: None,
        work_orders: WorkOrdersConfig::default(),
    };
    Agent::new(config, Handlers::new()).unwrap()
}

/// What is told of the agent after ten minutes in which only these loops went round.
async fn alive_after(agent: &Agent, loops: impl Future) -> Result<(), Complaint> {
    agent.health.claiming.beat(Duration::ZERO);
    agent.health.renewing.beat(Duration::ZERO);
    tokio::select! {
        _ = loops => panic!("nobody stopped them"),
        () = sleep(Duration::from_secs(600)) => agent.health.alive(),
    }
}

#[tokio::test(start_paused = true)]
async fn loops_go_round_without_a_hub_and_are_missed_when_they_stand_still() {
    let (agent, stop) = (cut_off(), CancellationToken::new());
    let (claiming, renewing) = (|| agent.claim_until(&stop), || agent.renew_until(&stop));

    let both = async { tokio::join!(claiming(), renewing()) };
    assert_eq!(alive_after(&agent, both).await, Ok(()));
    let lease = Duration::from_secs(600);
    assert!(agent.health.in_touch(lease).is_err(), "nobody has answered");

    let renewing_stands = alive_after(&agent, claiming()).await;
    assert!(renewing_stands.is_err_and(|why| why.contains("renews")));
    let claiming_stands = alive_after(&agent, renewing()).await;
    assert!(claiming_stands.is_err_and(|why| why.contains("claims orders")));
}
