//! Metrics that are read from the state of a part when they are asked for, instead of being kept along
//! with it.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// One number and its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Names and values of the labels.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

impl Reading {
    /// A number without labels.
    #[must_use]
    pub const fn plain(value: f64) -> Self {
        Self {
            labels: Vec::new(),
            value,
        }
    }
}

/// A metric whose numbers a function reads. It is called while a scrape waits: it reads memory and
/// awaits nothing. No reading = no sample.
pub struct Readings<F> {
    metric_type: MetricType,
    read: F,
}

impl<F: Fn() -> Vec<Reading>> Readings<F> {
    /// Numbers that go up and down.
    pub const fn gauge(read: F) -> Self {
        Self {
            metric_type: MetricType::Gauge,
            read,
        }
    }

    /// Numbers that somebody else counts, and that only grow.
    pub const fn counter(read: F) -> Self {
        Self {
            metric_type: MetricType::Counter,
            read,
        }
    }
}

impl<F: Fn() -> Vec<Reading>> EncodeMetric for Readings<F> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for reading in (self.read)() {
            let mut sample = encoder.encode_family(&reading.labels)?;
            match self.metric_type {
                MetricType::Counter => {
                    sample.encode_counter::<NoLabelSet, f64, f64>(&reading.value, None)?;
                }
                _ => sample.encode_gauge(&reading.value)?,
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.metric_type
    }
}

impl<F> fmt::Debug for Readings<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readings")
            .field("metric_type", &self.metric_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricsRegistry;

    #[test]
    fn readings_are_taken_at_each_scrape() {
        let labelled = || {
            vec![
                Reading {
                    labels: vec![("state", "idle".to_owned())],
                    value: 2.0,
                },
                Reading {
                    labels: vec![("state", "say \"no\"\n".to_owned())],
                    value: 0.5,
                },
            ]
        };
        let mut registry = MetricsRegistry::default();
        registry.register(
            "connections",
            &["state"],
            "Connections",
            Readings::gauge(labelled),
        );
        registry.register(
            "seconds_total",
            &[],
            "Seconds",
            Readings::counter(|| vec![Reading::plain(1.5)]),
        );
        let text = registry.exposition();
        assert!(text.contains("connections{state=\"idle\"} 2"), "{text}");
        assert!(
            text.contains("connections{state=\"say \\\"no\\\"\\n\"} 0.5"),
            "{text}"
        );
        assert!(text.contains("\nseconds_total 1.5\n"), "{text}");
    }
}
