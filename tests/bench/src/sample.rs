//! What one measurement gave, and the medians over several.

use std::time::Duration;

use crate::usage::Cpu;

/// One measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Operations done.
    pub(crate) operations: u64,
    /// Operations per second.
    pub(crate) rate: f64,
    /// Times of single operations; empty where they are not known one by one.
    pub(crate) latency: Latency,
    /// Processor time per operation.
    pub(crate) cpu: Cpu,
}

/// Times of operations, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Latency {
    /// What a set of times says.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let total: Duration = times.iter().sum();
        Self {
            mean: milliseconds(total) / times.len().max(1) as f64,
            p50: milliseconds(percentile(&times, 50)),
            p99: milliseconds(percentile(&times, 99)),
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The smallest of the sorted times that `percent` of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The median; of an even number the mean of the middle two, of none NaN.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The median over all samples of one of their numbers.
pub(crate) fn median_of(samples: &[Sample], number: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(number))
}

/// The median of what two contestants of the same repeat give together, such as a ratio.
pub(crate) fn paired(ours: &[Sample], theirs: &[Sample], both: impl Fn(&Sample, &Sample) -> f64) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| both(ours, theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let latency = Latency::of(times);
        assert_eq!((latency.p50, latency.p99, latency.mean), (100.0, 198.0, 100.5));
        assert_eq!(Latency::of(vec![Duration::from_millis(7)]).p99, 7.0);
    }

    #[test]
    fn median_of_an_even_number_lies_between() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median([9.0, 1.0, 2.0]), 2.0);
        assert!(median([]).is_nan());
    }
}
