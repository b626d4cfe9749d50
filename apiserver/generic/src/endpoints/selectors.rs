//! Reads label and field selectors.
//!
//! Upstream concept: `k8s.io/apimachinery/pkg/labels.Parse` and `fields.ParseSelector`. Matching is
//! storage's; this module refuses what is malformed and fields that the resource does not offer.

use super::StatusError;
use crate::request_info::field_terms;
use crate::storage::selection::{FieldRequirement, LabelOperator, LabelRequirement};

/// The longest name part of a label key, and the longest label value.
const LABEL_CHARACTERS_MAX: usize = 63;

/// The longest prefix of a label key.
const PREFIX_CHARACTERS_MAX: usize = 253;

/// The fields of every resource.
const COMMON_FIELDS: [&str; 2] = ["metadata.name", "metadata.namespace"];

/// Reads a label selector such as `a=b,c in (d,e),!f,g>1`.
pub(crate) fn labels(selector: &str) -> Result<Vec<LabelRequirement>, StatusError> {
    if selector.trim().is_empty() {
        return Ok(Vec::new());
    }
    split_outside_parentheses(selector)
        .into_iter()
        .map(|term| label(term.trim()).map_err(|why| malformed("label", selector, &why)))
        .collect()
}

/// Reads a field selector such as `metadata.name=a,status.phase!=Done`; `known` are the resource's fields.
pub(crate) fn fields(selector: &str, known: &[&str]) -> Result<Vec<FieldRequirement>, StatusError> {
    let terms = field_terms(selector).map_err(|term| {
        malformed(
            "field",
            selector,
            &format!("{term:?} is no comparison by =, == or !="),
        )
    })?;
    let read = |term: crate::request_info::FieldTerm| {
        if term.value.contains('\0') {
            let why = format!(
                "the value of {} holds the character U+0000, which no field does",
                term.field
            );
            return Err(malformed("field", selector, &why));
        }
        let offered = COMMON_FIELDS
            .iter()
            .chain(known)
            .any(|field| *field == term.field);
        if !offered {
            return Err(unknown_field(&term.field, known));
        }
        Ok(FieldRequirement {
            field: term.field,
            equal: term.equals,
            value: term.value,
        })
    };
    terms.into_iter().map(read).collect()
}

fn unknown_field(field: &str, known: &[&str]) -> StatusError {
    let offered: Vec<&str> = COMMON_FIELDS.iter().chain(known).copied().collect();
    StatusError::bad_request(format!(
        "field label not supported: {field}; this resource can be selected by {}",
        offered.join(", ")
    ))
}

fn malformed(what: &str, selector: &str, why: &str) -> StatusError {
    StatusError::bad_request(format!("unable to parse {what} selector {selector:?}: {why}"))
}

fn split_outside_parentheses(selector: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    selector
        .split(|character| {
            match character {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            character == ',' && depth == 0
        })
        .collect()
}

fn label(term: &str) -> Result<LabelRequirement, String> {
    if let Some(key) = term.strip_prefix('!') {
        return requirement(key.trim(), LabelOperator::DoesNotExist, Vec::new());
    }
    let end = term
        .find(|character: char| character.is_whitespace() || "=!<>()".contains(character))
        .unwrap_or(term.len());
    let (key, rest) = (&term[..end], term[end..].trim());
    if rest.is_empty() {
        return requirement(key, LabelOperator::Exists, Vec::new());
    }
    let (operator, values) = comparison(rest)?;
    requirement(key, operator, values)
}

/// Operator and values after a key.
fn comparison(rest: &str) -> Result<(LabelOperator, Vec<String>), String> {
    for (sign, operator) in [
        ("!=", LabelOperator::NotIn),
        ("==", LabelOperator::In),
        ("=", LabelOperator::In),
        (">", LabelOperator::GreaterThan),
        ("<", LabelOperator::LessThan),
    ] {
        if let Some(value) = rest.strip_prefix(sign) {
            return Ok((operator, vec![value.trim().to_owned()]));
        }
    }
    for (word, operator) in [("notin", LabelOperator::NotIn), ("in", LabelOperator::In)] {
        let Some(set) = rest.strip_prefix(word) else {
            continue;
        };
        let inner = set
            .trim()
            .strip_prefix('(')
            .and_then(|set| set.strip_suffix(')'))
            .ok_or_else(|| format!("after {word} a set in parentheses must follow"))?;
        if inner.trim().is_empty() {
            return Err(format!("the set after {word} is empty"));
        }
        return Ok((
            operator,
            inner.split(',').map(|value| value.trim().to_owned()).collect(),
        ));
    }
    Err(format!(
        "{rest:?} does not begin with one of =, ==, !=, in, notin, >, <"
    ))
}

fn requirement(key: &str, operator: LabelOperator, values: Vec<String>) -> Result<LabelRequirement, String> {
    if !is_label_key(key) {
        return Err(format!("{key:?} is no label key"));
    }
    let ordered = matches!(operator, LabelOperator::GreaterThan | LabelOperator::LessThan);
    for value in &values {
        if ordered && value.parse::<i64>().is_err() {
            return Err(format!("{value:?} is no integer, which > and < compare with"));
        }
        if !(ordered || value.is_empty() || is_label_name(value)) {
            return Err(format!("{value:?} is no label value"));
        }
    }
    Ok(LabelRequirement {
        key: key.to_owned(),
        operator,
        values,
    })
}

/// A label key: a name, perhaps after a DNS prefix and a slash.
fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_label_name(key),
        Some((prefix, name)) => is_prefix(prefix) && is_label_name(name),
    }
}

fn is_prefix(prefix: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    prefix.len() <= PREFIX_CHARACTERS_MAX && prefix.split('.').all(label)
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_label_name(name: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    name.len() <= LABEL_CHARACTERS_MAX
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use LabelOperator::{DoesNotExist, Exists, GreaterThan, In, LessThan, NotIn};

    fn read(selector: &str) -> Vec<(String, LabelOperator, Vec<String>)> {
        labels(selector)
            .unwrap()
            .into_iter()
            .map(|r| (r.key, r.operator, r.values))
            .collect()
    }

    fn one(key: &str, operator: LabelOperator, values: &[&str]) -> (String, LabelOperator, Vec<String>) {
        (
            key.to_owned(),
            operator,
            values.iter().map(|&v| v.to_owned()).collect(),
        )
    }

    #[test]
    fn label_selector_in_all_forms() {
        assert_eq!(
            read("a=b, c == d,e!=f,x.io/g in (h, i),j notin (k),l,!m,n>1,o<-2,p="),
            [
                one("a", In, &["b"]),
                one("c", In, &["d"]),
                one("e", NotIn, &["f"]),
                one("x.io/g", In, &["h", "i"]),
                one("j", NotIn, &["k"]),
                one("l", Exists, &[]),
                one("m", DoesNotExist, &[]),
                one("n", GreaterThan, &["1"]),
                one("o", LessThan, &["-2"]),
                one("p", In, &[""]),
            ]
        );
        assert!(read("").is_empty());
        assert_eq!(read("in in (in)"), [one("in", In, &["in"])]);
    }

    #[test]
    fn malformed_label_selectors_are_refused() {
        for selector in [
            "a=b,", ",", "a in b", "a in ()", "a in (b", "a~b", "a>b", "-a", "a=b c", "a b", "!", "a=$",
            "/a", "A.B/c",
        ] {
            assert_eq!(labels(selector).unwrap_err().code().as_u16(), 400, "{selector}");
        }
    }

    #[test]
    fn field_selectors() {
        let read = fields("metadata.name=a\\,b,status.phase!=Done", &["status.phase"]).unwrap();
        assert_eq!(read[0].value, "a,b");
        assert!(!read[1].equal);
        for selector in ["spec.x=y", "metadata.name", "metadata.name=a=b"] {
            let error = fields(selector, &["status.phase"]).unwrap_err();
            assert_eq!(error.code().as_u16(), 400, "{selector}");
        }
    }
}
