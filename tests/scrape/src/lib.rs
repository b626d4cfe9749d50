//! Reads Prometheus' text format as strictly as a scraper does, for tests of metrics endpoints.
//!
//! Panics at what no scraper could read, naming the line: a family without HELP or TYPE, a sample outside
//! its family, a sample given twice, a histogram whose buckets are not cumulative.

#![expect(
    clippy::unwrap_used,
    reason = "a scrape that cannot be read is a test that fails"
)]

use std::collections::BTreeMap;

/// Names and values of labels.
pub type Labels = BTreeMap<String, String>;

/// What one scrape brought.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The families by name.
    pub families: BTreeMap<String, Family>,
}

/// All samples of one metric.
#[derive(Clone, Debug)]
pub struct Family {
    /// `counter`, `gauge`, `histogram` or `untyped`.
    pub kind: String,
    /// What it is.
    pub help: String,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The family's name; of a histogram with `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// The labels; of a bucket with `le`.
    pub labels: Labels,
    /// The number.
    pub value: f64,
}

impl Scrape {
    /// Reads an answer.
    ///
    /// # Panics
    /// When it is not in the format.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line is not ended");
        let mut scrape = Self::default();
        let mut current = String::new();
        let mut help = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, text) = rest.split_once(' ').unwrap();
                (current, help) = (name.to_owned(), text.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, current, "TYPE follows HELP of the same family: {line}");
                let family = Family {
                    kind: kind.to_owned(),
                    help: std::mem::take(&mut help),
                    samples: Vec::new(),
                };
                let twice = scrape.families.insert(name.to_owned(), family);
                assert!(twice.is_none(), "a second family of the name: {line}");
            } else {
                let sample = Sample::parse(line);
                let family = scrape.families.get_mut(&current);
                let family = family.unwrap_or_else(|| panic!("a sample before its TYPE: {line}"));
                family.add(&current, sample);
            }
        }
        scrape.families.values().for_each(Family::check_buckets);
        scrape
    }

    /// The sum over all samples of this name whose labels include these; 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.families.values().flat_map(|family| &family.samples);
        let named = samples.filter(|sample| sample.name == name && sample.has(labels));
        named.map(|sample| sample.value).sum()
    }

    /// Whether there is a sample of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let mut samples = self.families.values().flat_map(|family| &family.samples);
        samples.any(|sample| sample.name == name)
    }

    /// How many samples there are in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.families.values().map(|family| family.samples.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Family {
    fn add(&mut self, name: &str, sample: Sample) {
        let suffixes: &[&str] = match self.kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "counter" | "gauge" | "untyped" => &[""],
            other => panic!("{other} is no type"),
        };
        let suffix = sample.name.strip_prefix(name).unwrap_or("of another family");
        assert!(suffixes.contains(&suffix), "{sample:?} in the family {name}");
        let twice = self
            .samples
            .iter()
            .any(|known| known.name == sample.name && known.labels == sample.labels);
        assert!(!twice, "given twice: {sample:?}");
        self.samples.push(sample);
    }

    /// The buckets of a series follow each other and end with the count.
    fn check_buckets(&self) {
        let mut below = 0.0;
        for sample in &self.samples {
            match sample.labels.get("le").map(String::as_str) {
                Some(bound) => {
                    assert!(sample.value >= below, "not cumulative: {sample:?}");
                    below = if bound == "+Inf" { 0.0 } else { sample.value };
                    if bound == "+Inf" {
                        let mut labels = sample.labels.clone();
                        labels.remove("le");
                        let count = self
                            .samples
                            .iter()
                            .find(|other| other.name.ends_with("_count") && other.labels == labels);
                        assert_eq!(count.unwrap().value, sample.value, "{sample:?}");
                    }
                }
                None => assert_eq!(below, 0.0, "no bucket +Inf before {sample:?}"),
            }
        }
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value = match value {
            "+Inf" => f64::INFINITY,
            other => other.parse().unwrap_or_else(|_| panic!("no number: {line}")),
        };
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap())),
            None => (series, Labels::new()),
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        assert!(!name.is_empty() && name.chars().all(valid), "no name: {line}");
        Self {
            name: name.to_owned(),
            labels,
            value,
        }
    }

    /// Whether its labels include these.
    #[must_use]
    pub fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(name, value)| self.labels.get(*name).is_some_and(|given| given == value))
    }
}

/// `a="b",c="d"`, with `\\`, `\"` and `\n` in values.
fn labels(mut rest: &str) -> Labels {
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    other => other,
                }),
                (end, '"') => break end,
                (_, other) => value.push(other),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} twice");
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrape_is_read() {
        let text = "# HELP a_total What, with {braces}.\n# TYPE a_total counter\n\
                    a_total{x=\"1\",y=\"say \\\"no\\\"\\n\"} 2\na_total{x=\"2\"} 3\n\
                    # HELP h H.\n# TYPE h histogram\n\
                    h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 4\nh_sum 9.5\nh_count 4\n";
        let scrape = Scrape::parse(text);
        assert_eq!(scrape.sum("a_total", &[]), 5.0);
        assert_eq!(scrape.sum("a_total", &[("y", "say \"no\"\n")]), 2.0);
        assert_eq!(scrape.sum("h_count", &[]), 4.0);
        assert!(scrape.has("h_sum") && !scrape.has("h"));
        assert_eq!(
            (scrape.len(), scrape.families["h"].kind.as_str()),
            (6, "histogram")
        );
    }

    #[test]
    #[should_panic(expected = "not cumulative")]
    fn buckets_that_shrink_are_refused() {
        let text = "# HELP h H.\n# TYPE h histogram\n\
                    h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        let _ = Scrape::parse(text);
    }

    #[test]
    #[should_panic(expected = "given twice")]
    fn sample_given_twice_is_refused() {
        let _ = Scrape::parse("# HELP a A.\n# TYPE a gauge\na 1\na 1\n");
    }
}
