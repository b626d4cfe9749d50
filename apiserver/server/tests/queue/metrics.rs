//! What the queue counts of itself.

use brokkr_apis::work::v1alpha1::{WorkOrderPhase, WorkOrderReleaseSpec};
use brokkr_apiserver::queue::metrics::QueueReadings;
use brokkr_apiserver::queue::report::ReleaseInput;
use brokkr_apiserver::queue::{Renewal, Renewer};
use telemetry::MetricsRegistry;
use test_scrape::Scrape;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ask::{key, success};
use crate::fixture::{Fixture, SOON};

/// The metrics of one replica, with the task that reads for them.
struct Metrics {
    registry: MetricsRegistry,
    _reading: DropGuard,
}

impl Metrics {
    fn of(fixture: &Fixture) -> Self {
        let mut registry = MetricsRegistry::default();
        let (readings, token) = (QueueReadings::default(), CancellationToken::new());
        readings.register(&mut registry, &fixture.metrics, &fixture.storage);
        tokio::spawn(readings.run(fixture.storage.clone(), token.clone()));
        Self {
            registry,
            _reading: token.drop_guard(),
        }
    }

    fn scrape(&self) -> Scrape {
        Scrape::parse(&self.registry.exposition())
    }

    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.scrape().sum(name, labels)
    }

    async fn eventually(&self, expected: impl Fn(&Scrape) -> bool) {
        let deadline = tokio::time::Instant::now() + SOON;
        while !expected(&self.scrape()) {
            assert!(tokio::time::Instant::now() < deadline, "{:#?}", self.scrape());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

const BUILD: (&str, &str) = ("work_type", "build");

#[tokio::test]
async fn orders_are_counted_by_phase_and_work_type() {
    let fixture = Fixture::new().await;
    let metrics = Metrics::of(&fixture);
    fixture.agent("east").await;
    fixture.order("one").await;
    fixture.order("two").await;
    fixture
        .order_with("kept", |order| order.spec.suspend = Some(true))
        .await;
    metrics
        .eventually(|scrape| {
            scrape.sum("brokkr_work_orders", &[("phase", "Pending"), BUILD]) == 3.0
                && scrape.sum("brokkr_work_orders", &[("suspended", "true")]) == 1.0
                && scrape.sum("brokkr_work_orders_waiting", &[BUILD]) == 2.0
                && scrape.sum("brokkr_work_orders_created_total", &[BUILD]) == 3.0
        })
        .await;

    let grant = fixture.claimed("east", "one").await;
    metrics
        .eventually(|scrape| {
            scrape.sum("brokkr_work_orders", &[("phase", "Claimed")]) == 1.0
                && scrape.sum("brokkr_work_orders_waiting", &[]) == 1.0
        })
        .await;
    fixture.complete(&grant, "east", success(&grant)).await.unwrap();
    let finished = [("outcome", "Succeeded"), BUILD];
    metrics
        .eventually(|scrape| {
            scrape.sum("brokkr_work_orders_finished_total", &finished) == 1.0
                && scrape.sum("brokkr_work_orders", &[("phase", "Claimed")]) == 0.0
                && scrape.sum("brokkr_work_orders", &[("phase", "Succeeded")]) == 1.0
        })
        .await;
    assert_eq!(
        metrics
            .scrape()
            .sum("brokkr_work_orders_waiting", &[("work_type", "job")]),
        0.0,
        "a type nobody asked for has no backlog"
    );
}

#[tokio::test]
async fn claims_are_counted_by_what_they_got_and_how_long_that_waited() {
    let fixture = Fixture::new().await;
    let metrics = Metrics::of(&fixture);
    fixture.agent("east").await;
    fixture.agent("west").await;
    fixture.claim("east", 1).await;
    assert_eq!(metrics.sum("brokkr_work_claims_empty_total", &[]), 1.0);

    fixture.order("one").await;
    fixture
        .sql("update work.work_orders set ready_since = ready_since - interval '100 seconds'")
        .await;
    fixture.claimed("east", "one").await;
    assert_eq!(metrics.sum("brokkr_work_claims_granted_total", &[BUILD]), 1.0);
    let waited = metrics.sum("brokkr_work_claim_wait_seconds_sum", &[BUILD]);
    assert!((100.0..200.0).contains(&waited), "{waited}");

    // Getting one's own claim back is no new claim; another agent's claim is refused.
    fixture.claimed("east", "one").await;
    fixture.claim_named("west", "p1", "one").await.unwrap_err();
    fixture.claim_named("west", "p1", "none").await.unwrap_err();
    assert_eq!(metrics.sum("brokkr_work_claims_granted_total", &[]), 1.0);
    let refused = |reason| {
        let labels = [("request", "claim"), ("reason", reason)];
        metrics.sum("brokkr_work_refusals_total", &labels)
    };
    assert_eq!((refused("held"), refused("no-order")), (1.0, 1.0));
}

#[tokio::test]
async fn reports_and_what_time_does_are_counted() {
    let fixture = Fixture::new().await;
    let metrics = Metrics::of(&fixture);
    fixture.agent("east").await;
    let uid = fixture.order("one").await.metadata.uid.unwrap();
    let first = fixture.claimed("east", "one").await;
    let renewer = Renewer {
        agent: "east".to_owned(),
        holder: Some("p1".to_owned()),
        user: "east".to_owned(),
    };
    let renewal = Renewal {
        namespace: first.namespace.clone(),
        name: first.name.clone(),
        spec: brokkr_apis::work::v1alpha1::WorkOrderRenewalSpec {
            uid: uid.clone(),
            fence: first.fence.unwrap(),
            progress: None,
        },
    };
    fixture
        .queue
        .renew(&renewer, std::slice::from_ref(&renewal))
        .await
        .unwrap();
    assert_eq!(metrics.sum("brokkr_work_renewals_total", &[]), 1.0);

    fixture.age_lease(&uid).await;
    fixture.sweep().await;
    assert_eq!(
        metrics.sum("brokkr_work_due_total", &[("event", "leaseLost")]),
        1.0
    );
    fixture
        .complete(&first, "east", success(&first))
        .await
        .unwrap_err();
    fixture
        .queue
        .renew(&renewer, &[renewal])
        .await
        .unwrap()
        .remove(0)
        .unwrap_err();
    for request in ["complete", "renew"] {
        let late = [("request", request), ("reason", "fence-spent")];
        assert_eq!(metrics.sum("brokkr_work_refusals_total", &late), 1.0, "{request}");
    }

    let second = fixture.claimed("east", "one").await;
    fixture.fail(&second, "east", "GitRemoteFailed").await;
    let retried = [
        ("outcome", "Failed"),
        ("reason", "GitRemoteFailed"),
        ("phase", "RetryPending"),
    ];
    assert_eq!(metrics.sum("brokkr_work_completions_total", &retried), 1.0);
    fixture
        .sql("update work.work_orders set next_retry_after = clock_timestamp() - interval '1 second'")
        .await;
    fixture.sweep().await;
    assert_eq!(metrics.sum("brokkr_work_due_total", &[("event", "backoff")]), 1.0);

    let third = fixture.claimed("east", "one").await;
    let release = ReleaseInput {
        key: key(&third, "east"),
        reason: WorkOrderReleaseSpec::default().reason,
        force: false,
    };
    let phase = fixture.queue.release(release).await.unwrap().unwrap();
    assert_eq!(phase, WorkOrderPhase::Pending);
    assert_eq!(
        metrics.sum("brokkr_work_releases_total", &[("forced", "false")]),
        1.0
    );
}

#[tokio::test]
async fn reason_that_is_in_no_table_makes_no_series() {
    let fixture = Fixture::new().await;
    let metrics = Metrics::of(&fixture);
    fixture.agent("east").await;
    for made_up in ["x1", "x2", "x3"] {
        fixture.order(made_up).await;
        let grant = fixture.claimed("east", made_up).await;
        fixture.fail(&grant, "east", made_up).await;
    }
    let others = [("reason", "other")];
    assert_eq!(metrics.sum("brokkr_work_completions_total", &others), 3.0);
}

#[tokio::test]
async fn waiting_agents_their_rings_and_the_oldest_order_are_told() {
    let fixture = Fixture::new().await;
    let metrics = Metrics::of(&fixture);
    fixture.agent("east").await;
    fixture.agent("west").await;
    for agent in ["east", "west"] {
        fixture.claim(agent, 1).await;
    }
    fixture.order("one").await;
    fixture
        .sql("update work.work_orders set ready_since = ready_since - interval '100 seconds'")
        .await;
    assert_eq!(
        metrics.sum("brokkr_work_rings_total", &[("cause", "claimable")]),
        1.0
    );
    metrics
        .eventually(|scrape| {
            scrape.sum("brokkr_work_agents_waiting", &[("state", "idle")]) == 1.0
                && scrape.sum("brokkr_work_agents_waiting", &[("state", "rung")]) == 1.0
                && scrape.sum("brokkr_work_oldest_waiting_seconds", &[]) >= 100.0
        })
        .await;

    fixture.claimed("east", "one").await;
    metrics
        .eventually(|scrape| {
            scrape.has("brokkr_work_oldest_waiting_seconds")
                && scrape.sum("brokkr_work_oldest_waiting_seconds", &[]) == 0.0
                && scrape.sum("brokkr_work_leases", &[("state", "held")]) == 1.0
        })
        .await;
    fixture.cancel("one", "no longer wanted").await;
    assert_eq!(
        metrics.sum("brokkr_work_rings_total", &[("cause", "holder")]),
        1.0
    );
}
