//! Durations as Go writes them: `1h2m3.5s`.
//!
//! Upstream concept: `time.ParseDuration`.

use std::time::Duration;

/// Reads a duration; None when the text is none. Negative durations count as zero.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|at: char| !at.is_ascii_digit() && at != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|at: char| at.is_ascii_digit() || at == '.')
            .unwrap_or(after.len());
        let (unit, remaining) = after.split_at(unit_end);
        seconds += number.parse::<f64>().ok()? * unit_seconds(unit)?;
        rest = remaining;
    }
    if negative {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(seconds).ok()
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c065_durations_are_read_as_go_reads_them() {
        let rows = [
            ("0", 0),
            ("0s", 0),
            ("34s", 34_000),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("100ms", 100),
            ("2h", 7_200_000),
            ("+3s", 3_000),
            ("-3s", 0),
            ("1s500ms", 1_500),
            ("1000us", 1),
        ];
        for (text, milliseconds) in rows {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "", "s", "10", "1d", "1 s", "foo", "1s2", "--1s", "1.2.3s", ".s", "1e3s", "nans",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
