//! Durations as users write them: `15m`, `1h30m`.
//!
//! The text is kept as it was written, so that a GitOps tool which compares what it sent with what is stored sees no
//! difference. Upstream's metav1.Duration would answer `15m0s`.

use std::borrow::Cow;
use std::fmt;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration in the syntax of Go's `time.ParseDuration`: numbers with a unit, one after the other.
///
/// Any text can be decoded; [`Duration::parse`] says whether it is a duration, and validation does so for every object
/// that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(String);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// The text is empty, or has a part that is no number followed by a unit.
    #[error("must be numbers with a unit (h, m, s, ms, us or ns), such as 15m or 1h30m")]
    Syntax,
    /// The duration is negative.
    #[error("must not be negative")]
    Negative,
    /// The duration does not fit what a 64-bit count of nanoseconds can hold, about 292 years.
    #[error("is too long")]
    TooLong,
}

const NANOSECOND: u128 = 1;
const MICROSECOND: u128 = 1_000;
const MILLISECOND: u128 = 1_000_000;
const SECOND: u128 = 1_000_000_000;

/// Units, longest word first, so that `ms` is not read as minutes.
const UNITS: [(&str, u128); 8] = [
    ("ms", MILLISECOND),
    ("us", MICROSECOND),
    ("\u{b5}s", MICROSECOND),
    ("\u{3bc}s", MICROSECOND),
    ("ns", NANOSECOND),
    ("h", 3600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
];

impl Duration {
    /// A duration as a user wrote it, not yet checked.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the text.
    ///
    /// # Errors
    ///
    /// Says which rule the text breaks.
    pub fn parse(&self) -> Result<time::Duration, ParseDurationError> {
        let text = self.0.strip_prefix('+').unwrap_or(&self.0);
        if text.starts_with('-') {
            return Err(ParseDurationError::Negative);
        }
        if text == "0" {
            return Ok(time::Duration::ZERO);
        }
        if text.is_empty() {
            return Err(ParseDurationError::Syntax);
        }
        let mut rest = text;
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (nanoseconds, tail) = leading_part(rest)?;
            total = total
                .checked_add(nanoseconds)
                .ok_or(ParseDurationError::TooLong)?;
            rest = tail;
        }
        match i64::try_from(total) {
            Ok(_) => Ok(time::Duration::from_nanos_u128(total)),
            Err(_) => Err(ParseDurationError::TooLong),
        }
    }
}

/// Reads one number with its unit; returns nanoseconds and what follows.
fn leading_part(text: &str) -> Result<(u128, &str), ParseDurationError> {
    let number_length = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(number_length);
    let (unit, scale) = UNITS
        .iter()
        .find(|(unit, _)| rest.starts_with(unit))
        .ok_or(ParseDurationError::Syntax)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(ParseDurationError::Syntax);
    }
    let whole = digits(whole)?
        .checked_mul(*scale)
        .ok_or(ParseDurationError::TooLong)?;
    // Beyond 12 digits a fraction of the longest unit is below a nanosecond.
    let fraction = &fraction[..fraction.len().min(12)];
    let places = u32::try_from(fraction.len()).map_err(|_| ParseDurationError::Syntax)?;
    let part = digits(fraction)? * scale / 10_u128.pow(places);
    Ok((whole + part, &rest[unit.len()..]))
}

fn digits(text: &str) -> Result<u128, ParseDurationError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| ParseDurationError::TooLong)
}

impl From<time::Duration> for Duration {
    /// Writes the shortest text: `15m`, not `15m0s`. Parts below a millisecond are dropped.
    fn from(duration: time::Duration) -> Self {
        let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (millis.into(), "ms"),
        ];
        let text: String = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count}{unit}"))
            .collect();
        Self(if text.is_empty() { "0s".to_owned() } else { text })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<f64, ParseDurationError> {
        Duration::from_text(text)
            .parse()
            .map(|duration| duration.as_secs_f64())
    }

    #[test]
    fn reads_what_go_reads() {
        for (text, expected) in [
            ("15m", 900.0),
            ("1h30m", 5400.0),
            ("1.5h", 5400.0),
            ("90s", 90.0),
            ("0", 0.0),
            ("+5s", 5.0),
            ("1500ms", 1.5),
            (".5s", 0.5),
            ("2m3.5s", 123.5),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["", "15", "m", "1x", "1h30", ".s", "1.2.3s", " 1s", "1s "] {
            assert_eq!(seconds(text), Err(ParseDurationError::Syntax), "{text:?}");
        }
        assert_eq!(seconds("-1s"), Err(ParseDurationError::Negative));
        assert_eq!(seconds("99999999999h"), Err(ParseDurationError::TooLong));
        assert_eq!(
            seconds("99999999999999999999999999999999999999999999s"),
            Err(ParseDurationError::TooLong)
        );
    }

    #[test]
    fn writes_the_shortest_text() {
        for (duration, expected) in [(900, "15m"), (5400, "1h30m"), (3661, "1h1m1s"), (0, "0s")] {
            assert_eq!(
                Duration::from(time::Duration::from_secs(duration)).as_str(),
                expected
            );
        }
        assert_eq!(
            Duration::from(time::Duration::from_millis(1500)).as_str(),
            "1s500ms"
        );
    }
}
