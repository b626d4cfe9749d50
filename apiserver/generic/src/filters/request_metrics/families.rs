//! The families of metrics that requests add to.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use telemetry::{MetricsRegistry, Untyped, prometheus_client};

use super::series::{AskedLabels, DryRunLabels, RequestLabels, ResourceLabels, TargetLabels};

/// Upper bounds in seconds; upstream's. The service level objectives of a cluster are read off these.
const DURATION_BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];

/// Upstream tells no component of a request that was given up.
const ASKED: &[&str] = &["verb", "group", "version", "resource", "subresource", "scope"];
const TARGET: &[&str] = &[
    "verb",
    "group",
    "version",
    "resource",
    "subresource",
    "scope",
    "component",
];
const DRY_RUN: &[&str] = &[
    "verb",
    "group",
    "version",
    "resource",
    "subresource",
    "scope",
    "component",
    "dry_run",
];
const REQUEST: &[&str] = &[
    "verb",
    "group",
    "version",
    "resource",
    "subresource",
    "scope",
    "component",
    "dry_run",
    "code",
];
const RESOURCE: &[&str] = &["group", "version", "resource"];

/// Histograms with the same buckets.
pub(super) type Histograms<L> = Family<L, Histogram>;

/// The families, shared by all series.
#[derive(Clone, Debug)]
pub(super) struct Families {
    pub(super) requests: Family<RequestLabels, Counter>,
    pub(super) aborts: Family<AskedLabels, Counter>,
    pub(super) durations: Histograms<DryRunLabels>,
    pub(super) sli_durations: Histograms<TargetLabels>,
    pub(super) response_sizes: Histograms<TargetLabels>,
    pub(super) long_running: Family<TargetLabels, Gauge>,
    pub(super) watch_events: Family<ResourceLabels, Counter>,
    pub(super) watch_event_sizes: Histograms<ResourceLabels>,
    pub(super) authentication: Attempts,
    pub(super) authorization: Attempts,
}

impl Families {
    pub(super) fn register(registry: &mut MetricsRegistry) -> Self {
        let families = Self {
            requests: Family::default(),
            aborts: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            // Upstream's lack the first two.
            sli_durations: Family::new_with_constructor(|| {
                Histogram::new(DURATION_BUCKETS.into_iter().skip(2))
            }),
            response_sizes: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(1000.0, 10.0, 7))
            }),
            long_running: Family::default(),
            watch_events: Family::default(),
            watch_event_sizes: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(1024.0, 2.0, 8))
            }),
            authentication: Attempts::default(),
            authorization: Attempts::default(),
        };
        families.add_requests(registry);
        families.add_streams(registry);
        families.add_attempts(registry);
        families
    }

    fn add_requests(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "apiserver_request_total",
            REQUEST,
            "Requests that were answered, refused ones included; resources that are not served count as unknown",
            self.requests.clone(),
        );
        registry.register(
            "apiserver_request_aborts_total",
            ASKED,
            "Requests whose client left before they were answered",
            self.aborts.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            DRY_RUN,
            "Time from the request's header to the last byte of its answer; of a watch, its whole life",
            self.durations.clone(),
        );
        registry.register(
            "apiserver_request_sli_duration_seconds",
            TARGET,
            "The duration of requests that are no dry runs, for service level indicators: no webhook and no queue is part of it",
            self.sli_durations.clone(),
        );
        registry.register(
            "apiserver_response_sizes",
            TARGET,
            "Bytes of the answers to gets and lists",
            self.response_sizes.clone(),
        );
    }

    fn add_streams(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "apiserver_longrunning_requests",
            TARGET,
            "Watches and followed logs that are open",
            self.long_running.clone(),
        );
        registry.register(
            "apiserver_watch_events_total",
            RESOURCE,
            "Events sent to watch clients, bookmarks included",
            self.watch_events.clone(),
        );
        registry.register(
            "apiserver_watch_events_sizes",
            RESOURCE,
            "Bytes of the events sent to watch clients",
            self.watch_event_sizes.clone(),
        );
    }

    fn add_attempts(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "authentication_attempts",
            &["result"],
            "Attempts to find out who asks: success (anonymous included), failure (no credential, where one is \
             needed) or error (a credential that is not believed)",
            Untyped(self.authentication.counts.clone()),
        );
        registry.register(
            "authentication_duration_seconds",
            &["result"],
            "Time to find out who asks",
            self.authentication.durations.clone(),
        );
        registry.register(
            "authorization_attempts_total",
            &["result"],
            "Decisions whether the caller may: allowed, denied (nobody allows it, included), or error (nobody \
             could be asked)",
            self.authorization.counts.clone(),
        );
        registry.register(
            "authorization_duration_seconds",
            &["result"],
            "Time to decide whether the caller may",
            self.authorization.durations.clone(),
        );
    }
}

/// Attempts by their result.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    counts: Family<ResultLabel, Counter>,
    durations: Histograms<ResultLabel>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            counts: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15))),
        }
    }
}

impl Attempts {
    pub(super) fn add(&self, result: &'static str, took: Duration) {
        let label = ResultLabel { result };
        self.counts.get_or_create(&label).inc();
        self.durations.get_or_create(&label).observe(took.as_secs_f64());
    }
}
