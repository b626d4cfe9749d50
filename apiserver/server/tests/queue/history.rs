//! Many agents on two replicas, with leases that run out under them: what must hold of every history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use brokkr_apis::work::v1alpha1::{
    AttemptOutcome, CompletionOutcome, Fence, LogOutcome, WorkOrderRenewalSpec,
};
use brokkr_apiserver::queue::claim::Grant;
use brokkr_apiserver::queue::{Renewal, Renewer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ask::{batch, failure, success};
use crate::fixture::{Fixture, SOON};

const ORDERS: usize = 60;
const AGENTS: u64 = 6;

/// A generator of numbers that are the same in every run of a test.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A completion that was accepted.
#[derive(Clone, Debug)]
struct Accepted {
    uid: String,
    fence: Fence,
    outcome: CompletionOutcome,
}

/// Claims, and ends what it claims in one way or another, until the token is cancelled.
async fn work(agent: u64, replicas: [Arc<Fixture>; 2], stop: CancellationToken) -> Vec<Accepted> {
    let name = format!("agent-{agent}");
    let mut dice = Dice(agent + 1);
    let mut accepted = Vec::new();
    while !stop.is_cancelled() {
        let replica = &replicas[usize::from(dice.roll(2) == 0)];
        let grants = replica.queue.claim(batch(&name, 3)).await.unwrap().unwrap();
        for grant in grants {
            // Whoever was lost, or forgot, leaves the lease to the sweeper.
            let outcome = match dice.roll(10) {
                0 | 1 => continue,
                2..5 => CompletionOutcome::Failed,
                _ => CompletionOutcome::Succeeded,
            };
            if dice.roll(3) == 0 {
                renew(replica, &name, &grant).await;
            }
            let report = match outcome {
                CompletionOutcome::Failed => failure(&grant, "GitRemoteFailed"),
                CompletionOutcome::Succeeded | CompletionOutcome::Cancelled => success(&grant),
            };
            let other = &replicas[usize::from(dice.roll(2) == 0)];
            let (first, repeated) = tokio::join!(
                replica.complete(&grant, &name, report.clone()),
                other.complete(&grant, &name, report)
            );
            assert_eq!(
                first.as_ref().ok(),
                repeated.as_ref().ok(),
                "a repetition is answered alike"
            );
            if first.is_ok() {
                accepted.push(Accepted {
                    uid: grant.uid.clone(),
                    fence: grant.fence.unwrap(),
                    outcome,
                });
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(10))).await;
    }
    accepted
}

async fn renew(replica: &Fixture, agent: &str, grant: &Grant) {
    let by = Renewer {
        agent: agent.to_owned(),
        holder: None,
        user: agent.to_owned(),
    };
    let spec = WorkOrderRenewalSpec {
        uid: grant.uid.clone(),
        fence: grant.fence.unwrap(),
        progress: None,
    };
    let renewal = Renewal {
        namespace: grant.namespace.clone(),
        name: grant.name.clone(),
        spec,
    };
    // Refused when the lease is gone; the completion is refused then, too.
    let _ = replica.queue.renew(&by, &[renewal]).await.unwrap();
}

/// Lets time pass: some leases run out, every backoff ends.
async fn age(replica: &Fixture, dice: &mut Dice) {
    let share = dice.roll(3);
    replica
        .sql(&format!(
            "update work.work_leases set expires_at = clock_timestamp() - interval '1 second'
             where order_uid in (select order_uid from work.work_leases where fence % 3 = {share} for update skip locked)"
        ))
        .await;
    replica
        .sql("update work.work_orders set next_retry_after = clock_timestamp() - interval '1 second' where status = 'RETRY_PENDING'")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_ends_once_whatever_happens_to_its_agents() {
    let first = Arc::new(Fixture::new().await);
    let second = Arc::new(first.replica());
    for agent in 0..AGENTS {
        first.agent(&format!("agent-{agent}")).await;
    }
    for order in 0..ORDERS {
        first.order(&format!("order-{order}")).await;
    }

    let stop = CancellationToken::new();
    let workers: Vec<_> = (0..AGENTS)
        .map(|agent| tokio::spawn(work(agent, [first.clone(), second.clone()], stop.clone())))
        .collect();
    let mut dice = Dice(7);
    let deadline = Instant::now() + SOON * 3;
    while first
        .count(
            "select count(*) from work.work_orders where status in ('PENDING', 'CLAIMED', 'RETRY_PENDING')",
        )
        .await
        > 0
    {
        assert!(Instant::now() < deadline, "every order ends");
        age(&first, &mut dice).await;
        tokio::join!(first.sweep(), second.sweep());
    }
    stop.cancel();
    let mut accepted: BTreeMap<String, Vec<Accepted>> = BTreeMap::new();
    for worker in workers {
        for one in worker.await.unwrap() {
            accepted.entry(one.uid.clone()).or_default().push(one);
        }
    }

    assert_eq!(first.count("select count(*) from work.work_leases").await, 0);
    assert_eq!(
        first.count("select count(*) from work.work_order_log").await,
        ORDERS as i64
    );
    let mut fences = BTreeSet::new();
    for order in 0..ORDERS {
        let name = format!("order-{order}");
        let entries = second.entries(&name).await;
        assert_eq!(entries.len(), 1, "{name} has one entry");
        let status = entries[0].status.clone().unwrap();
        let reports = accepted.remove(&entries[0].spec.order_uid).unwrap_or_default();
        let succeeded = reports
            .iter()
            .filter(|report| report.outcome == CompletionOutcome::Succeeded)
            .count();
        assert_eq!(
            succeeded,
            usize::from(status.outcome == LogOutcome::Succeeded),
            "{name}: {status:?}"
        );
        let numbers: Vec<_> = status.attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(
            numbers,
            (1..=numbers.len() as i64).collect::<Vec<_>>(),
            "{name} has every attempt"
        );
        assert!(
            status.attempts.is_sorted_by(|a, b| a.fence < b.fence),
            "{name}: fences grow"
        );
        for attempt in &status.attempts {
            assert!(
                fences.insert(attempt.fence),
                "{name}: fence {} was used before",
                attempt.fence
            );
            let report = reports
                .iter()
                .find(|report| report.fence == attempt.fence)
                .map(|report| report.outcome);
            let expected = match attempt.outcome.unwrap() {
                AttemptOutcome::Succeeded => Some(CompletionOutcome::Succeeded),
                AttemptOutcome::Failed => Some(CompletionOutcome::Failed),
                _ => None,
            };
            assert_eq!(report, expected, "{name}, attempt {}", attempt.number);
        }
    }
}
