//! What the agent counts of its own work.
//!
//! One process of a fleet: what it claims, runs and reports is told by work type and outcome; how it gets on
//! with the hub, by call. Nothing here names an order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use brokkr_apis::work::v1alpha1::WorkType;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use telemetry::{MetricsRegistry, Reading, Readings, prometheus_client};

use crate::outcome::Outcome;

/// The counters of the process; clones share them.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    hub_requests: Family<CallLabels, Counter>,
    hub_durations: Family<CallLabel, Histogram>,
    hub_answered: Arc<Mutex<Option<Instant>>>,
    claimed: Family<TypeLabel, Counter>,
    renewals: Family<ResultLabel, Counter>,
    applied: Counter,
    runs: Family<RunLabels, Counter>,
    run_durations: Family<TypeLabel, Histogram>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    call: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    result: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    work_type: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    work_type: &'static str,
    outcome: &'static str,
}

impl Default for AgentMetrics {
    fn default() -> Self {
        Self {
            hub_requests: Family::default(),
            // From 5 ms; a call is given up after 7 s.
            hub_durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.005, 2.0, 11))
            }),
            hub_answered: Arc::default(),
            claimed: Family::default(),
            renewals: Family::default(),
            applied: Counter::default(),
            runs: Family::default(),
            // From 5 s to almost three hours.
            run_durations: Family::new_with_constructor(|| Histogram::new(exponential_buckets(5.0, 2.0, 12))),
        }
    }
}

impl AgentMetrics {
    /// The hub was called; it answered, refused, or was not available.
    pub fn called(&self, call: &'static str, result: HubResult, begun: Instant) {
        let result = match result {
            HubResult::Answered => "answered",
            HubResult::Refused => "refused",
            HubResult::Unavailable => "unavailable",
        };
        self.hub_requests
            .get_or_create(&CallLabels { call, result })
            .inc();
        let took = begun.elapsed().as_secs_f64();
        self.hub_durations
            .get_or_create(&CallLabel { call })
            .observe(took);
        if result != "unavailable" {
            *self.answered_at() = Some(Instant::now());
        }
    }

    /// An order was claimed, or taken over from an earlier process.
    pub fn claimed(&self, work_type: Option<WorkType>) {
        let label = TypeLabel {
            work_type: name(work_type),
        };
        self.claimed.get_or_create(&label).inc();
    }

    /// A claim was renewed, is gone, or could not be renewed yet.
    pub fn renewal(&self, result: RenewalResult) {
        let result = match result {
            RenewalResult::Renewed => "renewed",
            RenewalResult::Gone => "gone",
            RenewalResult::Failed => "failed",
        };
        self.renewals.get_or_create(&ResultLabel { result }).inc();
    }

    /// So many manifests of an order were applied.
    pub fn applied(&self, manifests: usize) {
        self.applied.inc_by(manifests as u64);
    }

    /// A run came to an end here; without an outcome it was left to whoever holds the order next.
    pub fn ended(&self, work_type: Option<WorkType>, outcome: Option<&Outcome>, begun: Instant) {
        let outcome = match outcome {
            Some(Outcome::Succeeded { .. }) => "succeeded",
            Some(Outcome::Failed(_)) => "failed",
            Some(Outcome::Cancelled { .. }) => "cancelled",
            None => "left",
        };
        let work_type = name(work_type);
        self.runs.get_or_create(&RunLabels { work_type, outcome }).inc();
        let took = begun.elapsed().as_secs_f64();
        self.run_durations
            .get_or_create(&TypeLabel { work_type })
            .observe(took);
    }

    fn answered_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.hub_answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the hub last answered anything.
    fn silence(&self) -> Option<Duration> {
        self.answered_at().map(|at| at.elapsed())
    }

    /// Adds the counters; `held` reads how many orders are held by type, `places` how many may be.
    pub fn register(
        &self,
        registry: &mut MetricsRegistry,
        held: impl Fn() -> BTreeMap<WorkType, usize> + Send + Sync + 'static,
        places: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        self.register_hub(registry);
        self.register_work(registry);
        let held = move || {
            let reading = |(work_type, held): (WorkType, usize)| Reading {
                labels: vec![("work_type", work_type.as_str().to_owned())],
                value: held as f64,
            };
            held().into_iter().map(reading).collect()
        };
        registry.register(
            "brokkr_agent_claims",
            &["work_type"],
            "Orders held",
            Readings::gauge(held),
        );
        registry.register(
            "brokkr_agent_claims_max",
            &[],
            "Orders that may be held, as the Agent object says",
            Readings::gauge(move || vec![Reading::plain(places() as f64)]),
        );
    }

    fn register_hub(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "brokkr_agent_hub_requests_total",
            &["call", "result"],
            "Calls of the hub: answered, refused (asking again would change nothing), or unavailable",
            self.hub_requests.clone(),
        );
        registry.register(
            "brokkr_agent_hub_request_duration_seconds",
            &["call"],
            "Time until the hub answered, or was given up; the latency of renewals is call=\"renew\"",
            self.hub_durations.clone(),
        );
        let metrics = self.clone();
        let silence = move || {
            metrics
                .silence()
                .map(|silence| Reading::plain(silence.as_secs_f64()))
        };
        registry.register(
            "brokkr_agent_hub_last_contact_seconds",
            &[],
            "Time since the hub last answered anything; absent until it has",
            Readings::gauge(move || silence().into_iter().collect()),
        );
        registry.register(
            "brokkr_agent_renewals_total",
            &["result"],
            "Renewals of single claims: renewed, gone (the hub has given the order to somebody else, or it has \
             ended), or failed (tried again)",
            self.renewals.clone(),
        );
    }

    fn register_work(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "brokkr_agent_claimed_total",
            &["work_type"],
            "Orders claimed, or taken over from an earlier process",
            self.claimed.clone(),
        );
        registry.register(
            "brokkr_agent_manifests_applied_total",
            &[],
            "Manifests of orders applied to the cluster",
            self.applied.clone(),
        );
        registry.register(
            "brokkr_agent_runs_total",
            &["work_type", "outcome"],
            "Orders that came to an end here: succeeded, failed, cancelled, or left to whoever holds them next",
            self.runs.clone(),
        );
        registry.register(
            "brokkr_agent_run_duration_seconds",
            &["work_type"],
            "Time from the claim to the end of the run, whatever its outcome",
            self.run_durations.clone(),
        );
    }
}

/// How a call of the hub went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubResult {
    /// It did what was asked.
    Answered,
    /// It decided otherwise.
    Refused,
    /// It could not be asked.
    Unavailable,
}

/// What became of the renewal of one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalResult {
    /// It holds for another lease.
    Renewed,
    /// It is no longer ours.
    Gone,
    /// Nobody knows; it is tried again.
    Failed,
}

/// A type that this agent does not know may have been claimed by a later version of it.
fn name(work_type: Option<WorkType>) -> &'static str {
    work_type.map_or("unknown", |work_type| work_type.as_str())
}
