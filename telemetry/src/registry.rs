//! All metrics of a process, with what the reference page says of them.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Metric, Registry};

/// The media type of [`MetricsRegistry::exposition`].
pub const TEXT_FORMAT: &str = prometheus_text::CONTENT_TYPE;

/// The metrics of one process. Registered once, while it is assembled; read at every scrape.
#[derive(Debug, Default)]
pub struct MetricsRegistry {
    registry: Registry,
    described: Vec<Described>,
}

/// A registered metric, as the reference page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The name, as it is scraped.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it counts, in one sentence without a full stop.
    pub help: &'static str,
}

/// What the numbers of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations counted by size.
    Histogram,
    /// A counter whose name is not one of a counter: upstream's spelling is kept.
    Untyped,
}

impl MetricsRegistry {
    /// Adds a metric. The name of a counter ends in `_total`.
    ///
    /// # Panics
    /// When the name is taken: two metrics of one name are a mistake in the program, which no scraper
    /// could read.
    pub fn register(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        metric: impl Metric,
    ) {
        assert!(
            self.described.iter().all(|known| known.name != name),
            "the metric {name} is registered twice"
        );
        let kind = Kind::of(metric.metric_type());
        self.described.push(Described {
            name,
            kind,
            labels,
            help,
        });
        // The encoder adds the suffix of counters.
        let stem = match kind {
            Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
            Kind::Gauge | Kind::Histogram | Kind::Untyped => name,
        };
        self.registry.register(stem, help, metric);
    }

    /// What is registered, in order.
    #[must_use]
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// All metrics in Prometheus' text format, version 0.0.4. Waits for nobody: what is not in memory is
    /// not told.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

impl Kind {
    fn of(metric_type: MetricType) -> Self {
        match metric_type {
            MetricType::Counter => Self::Counter,
            MetricType::Histogram => Self::Histogram,
            MetricType::Gauge | MetricType::Info => Self::Gauge,
            MetricType::Unknown => Self::Untyped,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Untyped => "untyped",
        })
    }
}

/// A counter that upstream named before counters had to end in `_total`.
#[derive(Clone, Debug)]
pub struct Untyped<M>(pub M);

impl<M: EncodeMetric> EncodeMetric for Untyped<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Unknown
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn names_are_scraped_as_registered() {
        let mut registry = MetricsRegistry::default();
        let counter = Counter::<u64>::default();
        registry.register("requests_total", &[], "Requests", counter.clone());
        registry.register("attempts", &[], "Attempts", Untyped(counter.clone()));
        counter.inc();
        let expected = "# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total 1\n\
                        # HELP attempts Attempts.\n# TYPE attempts untyped\nattempts 1\n";
        assert_eq!(registry.exposition(), expected);
        let kinds: Vec<_> = registry.described().iter().map(|known| known.kind).collect();
        assert_eq!(kinds, [Kind::Counter, Kind::Untyped]);
    }

    #[test]
    #[should_panic(expected = "registered twice")]
    fn name_cannot_be_taken_twice() {
        let mut registry = MetricsRegistry::default();
        registry.register("up", &[], "Up", Counter::<u64>::default());
        registry.register("up", &[], "Up", Counter::<u64>::default());
    }
}
