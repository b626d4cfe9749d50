//! The few query parameters that decide what a request is. All others are read by `endpoints`.
//!
//! Upstream concept: the parameter codec of `metav1.ListOptions`, as far as `RequestInfoFactory` uses it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The decoded values of a query parameter, in order. Pairs that are not percent-encoded UTF-8 are
/// dropped, as are pairs with a semicolon, which older software took for a separator.
pub fn query_values<'q>(query: Option<&'q str>, key: &str) -> impl Iterator<Item = Cow<'q, str>> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.contains(';'))
        .filter_map(move |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name)? == key).then(|| decode(value)).flatten()
        })
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['+', '%']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

/// A boolean parameter: given, and neither `false` nor `0`. A value that is no boolean counts as true,
/// as in upstream's conversion.
pub(super) fn flag(query: Option<&str>, key: &str) -> bool {
    query_values(query, key)
        .next()
        .is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
}

/// The one name a field selector demands (`metadata.name=x`). None when any option is malformed: the
/// request then fails later, and must not have been authorized for less than it asks.
pub(super) fn demanded_name(query: Option<&str>) -> Option<Cow<'_, str>> {
    let numbers_valid = ["limit", "timeoutSeconds"].iter().all(|key| {
        query_values(query, key)
            .next()
            .is_none_or(|value| value.parse::<i64>().is_ok())
    });
    if !numbers_valid {
        return None;
    }
    let selector = query_values(query, "fieldSelector").next()?;
    field_terms(&selector)
        .ok()?
        .into_iter()
        .find(|term| term.equals && term.field == "metadata.name")
        .map(|term| term.value)
        .filter(|name| !matches!(name.as_str(), "." | "..") && !name.contains(['/', '%']))
        .map(Cow::Owned)
}

/// One requirement of a field selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldTerm {
    /// The field's path.
    pub(crate) field: String,
    /// Whether it must be equal or unequal.
    pub(crate) equals: bool,
    /// The value compared with, without escapes.
    pub(crate) value: String,
}

/// The requirements of a field selector; empty terms are passed over.
///
/// # Errors
/// The first term that is none.
pub(crate) fn field_terms(selector: &str) -> Result<Vec<FieldTerm>, String> {
    split_terms(selector)
        .filter(|term| !term.is_empty())
        .map(|term| parse_term(term).ok_or_else(|| term.to_owned()))
        .collect()
}

/// Splits at commas that no backslash escapes.
fn split_terms(selector: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    selector.split(move |character| {
        let separates = character == ',' && !escaped;
        escaped = character == '\\' && !escaped;
        separates
    })
}

fn parse_term(term: &str) -> Option<FieldTerm> {
    let at = term.find(['=', '!'])?;
    let (field, rest) = term.split_at(at);
    let (equals, value) = match rest {
        rest if rest.starts_with("!=") => (false, &rest[2..]),
        rest if rest.starts_with("==") => (true, &rest[2..]),
        rest if rest.starts_with('=') => (true, &rest[1..]),
        _ => return None,
    };
    Some(FieldTerm {
        field: field.to_owned(),
        equals,
        value: unescape(value)?,
    })
}

/// Removes the backslash before a backslash, comma or equals sign; none of the latter two may stand bare.
fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => characters
                .next()
                .filter(|next| matches!(next, '\\' | ',' | '='))?,
            ',' | '=' => return None,
            other => other,
        });
    }
    Some(plain)
}
