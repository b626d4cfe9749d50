//! The handles of all requests that are counted alike.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use telemetry::prometheus_client;

use super::families::Families;

/// Upstream's name of the half of an API server that serves requests.
const COMPONENT: &str = "apiserver";

/// Everything about a request but its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeriesLabels {
    pub(super) verb: &'static str,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) scope: &'static str,
    pub(super) dry_run: &'static str,
}

impl SeriesLabels {
    pub(super) const fn new(verb: &'static str, scope: &'static str, dry_run: &'static str) -> Self {
        Self {
            verb,
            group: String::new(),
            version: String::new(),
            resource: String::new(),
            subresource: String::new(),
            scope,
            dry_run,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AskedLabels {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TargetLabels {
    #[prometheus(flatten)]
    asked: AskedLabels,
    component: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DryRunLabels {
    #[prometheus(flatten)]
    target: TargetLabels,
    dry_run: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    #[prometheus(flatten)]
    dry_run: DryRunLabels,
    code: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResourceLabels {
    group: String,
    version: String,
    resource: String,
}

/// What requests that are alike add to. Adding takes no label apart.
#[derive(Debug)]
pub(crate) struct Series {
    families: Families,
    labels: DryRunLabels,
    /// By status code; a server answers with a dozen or so.
    codes: RwLock<Vec<(u16, Counter)>>,
    duration: Histogram,
    sli_duration: Option<Histogram>,
    response_size: Option<Histogram>,
    long_running: Option<Gauge>,
    watch: Option<WatchSeries>,
}

#[derive(Debug)]
struct WatchSeries {
    events: Counter,
    sizes: Histogram,
}

/// Counts a long-running request as open until dropped.
#[derive(Debug)]
pub(crate) struct Open(pub(crate) Arc<Series>);

impl Series {
    pub(super) fn new(families: &Families, labels: SeriesLabels) -> Self {
        let resource = ResourceLabels {
            group: labels.group.clone(),
            version: labels.version.clone(),
            resource: labels.resource.clone(),
        };
        let labels = DryRunLabels {
            dry_run: labels.dry_run,
            target: TargetLabels {
                asked: AskedLabels {
                    verb: labels.verb,
                    group: labels.group,
                    version: labels.version,
                    resource: labels.resource,
                    subresource: labels.subresource,
                    scope: labels.scope,
                },
                component: COMPONENT,
            },
        };
        let (verb, target) = (labels.target.asked.verb, &labels.target);
        let is_stream = matches!(verb, "WATCH" | "CONNECT");
        let is_read = matches!(verb, "GET" | "LIST");
        let histogram = |is_one: bool, family: &super::families::Histograms<TargetLabels>| {
            is_one.then(|| family.get_or_create_owned(target))
        };
        Self {
            codes: RwLock::default(),
            duration: families.durations.get_or_create_owned(&labels),
            sli_duration: histogram(labels.dry_run.is_empty(), &families.sli_durations),
            response_size: histogram(is_read, &families.response_sizes),
            long_running: is_stream.then(|| families.long_running.get_or_create_owned(target)),
            watch: (verb == "WATCH").then(|| WatchSeries {
                events: families.watch_events.get_or_create_owned(&resource),
                sizes: families.watch_event_sizes.get_or_create_owned(&resource),
            }),
            families: families.clone(),
            labels,
        }
    }

    /// A request was answered, to the end or as far as its client read.
    pub(crate) fn answered(&self, code: u16, took: Duration, body_bytes: u64) {
        self.count(code);
        let seconds = took.as_secs_f64();
        self.duration.observe(seconds);
        if let Some(sli_duration) = &self.sli_duration {
            sli_duration.observe(seconds);
        }
        if let Some(response_size) = &self.response_size {
            response_size.observe(body_bytes as f64);
        }
    }

    /// The client left before its request was answered.
    pub(crate) fn aborted(&self) {
        self.families
            .aborts
            .get_or_create(&self.labels.target.asked)
            .inc();
    }

    /// A long-running request begins.
    pub(crate) fn open(self: Arc<Self>) -> Open {
        if let Some(long_running) = &self.long_running {
            long_running.inc();
        }
        Open(self)
    }

    /// A frame was sent; each frame of a watch is one event.
    pub(crate) fn sent(&self, bytes: usize) {
        if let Some(watch) = &self.watch {
            watch.events.inc();
            watch.sizes.observe(bytes as f64);
        }
    }

    fn count(&self, code: u16) {
        let known = self.codes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = known.iter().find(|(known, _)| *known == code) {
            counter.inc();
            return;
        }
        drop(known);
        let labels = RequestLabels {
            dry_run: self.labels.clone(),
            code: u32::from(code),
        };
        let counter = self.families.requests.get_or_create_owned(&labels);
        counter.inc();
        let mut known = self.codes.write().unwrap_or_else(PoisonError::into_inner);
        if known.iter().all(|(known, _)| *known != code) {
            known.push((code, counter));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(long_running) = &self.0.long_running {
            long_running.dec();
        }
    }
}
