//! Sends the warnings of a request to its client, which prints them.
//!
//! Upstream concept: `endpoints/filters.WithWarningRecorder`. The bounds are upstream's: proxies refuse
//! answers with too many header bytes.

use http::HeaderMap;
use http::header::{HeaderValue, WARNING};

/// Characters of all warnings together that are sent whole.
const TOTAL_CHARACTERS_MAX: usize = 4096;

/// Characters of each warning when all together are too many.
const CUT_CHARACTERS: usize = 256;

/// Adds one `Warning` header per text. When the texts are too long together, each is cut; what is then
/// still beyond the limit is left out.
pub(crate) fn add(headers: &mut HeaderMap, warnings: &[String]) {
    let total: usize = warnings.iter().map(|text| text.chars().count()).sum();
    let each_max = if total > TOTAL_CHARACTERS_MAX {
        CUT_CHARACTERS
    } else {
        TOTAL_CHARACTERS_MAX
    };
    let mut sent = 0;
    for text in warnings.iter().filter(|text| !text.is_empty()) {
        if sent >= TOTAL_CHARACTERS_MAX {
            break;
        }
        let cut: String = text.chars().take(each_max).collect();
        sent += cut.chars().count();
        if let Ok(value) = HeaderValue::from_bytes(warning_value(&cut).as_bytes()) {
            headers.append(WARNING, value);
        }
    }
}

/// `299 - "text"`: a miscellaneous persistent warning of no named agent, quoted. Control characters, which
/// no header can hold, become spaces.
fn warning_value(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 10);
    quoted.push_str("299 - \"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(warnings: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        let warnings: Vec<String> = warnings.iter().map(|&text| text.to_owned()).collect();
        add(&mut headers, &warnings);
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        headers.get_all(WARNING).iter().map(text).collect()
    }

    #[test]
    fn c068_warning_is_quoted() {
        assert_eq!(sent(&["a \"b\" \\ c\nd"]), [r#"299 - "a \"b\" \\ c d""#]);
        assert_eq!(sent(&["größe"]), ["299 - \"größe\""]);
        assert!(sent(&[""]).is_empty());
    }

    #[test]
    fn c068_warnings_are_cut_when_too_long_together() {
        let (long, frame) = ("x".repeat(4000), "299 - \"\"".len());
        assert_eq!(sent(&[&long, "short"])[0].len(), 4000 + frame, "all fit whole");

        let cut = sent(&[&long, &long, "short"]);
        assert_eq!(
            cut.iter().map(|text| text.len() - frame).collect::<Vec<_>>(),
            [256, 256, 5]
        );

        let many = vec![long.as_str(); 40];
        assert_eq!(sent(&many).len(), 4096 / 256);
    }
}
