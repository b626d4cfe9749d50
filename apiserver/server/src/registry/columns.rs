//! Reads values of an object's JSON for storage columns and selectable fields.

use generic_apiserver::object::Object;
use serde_json::Value;

/// The value at a dotted path below the top level, such as `status.claim.agent`; `Null` when absent.
pub(crate) fn value_at<'a>(object: &'a Object, path: &str) -> &'a Value {
    let mut names = path.split('.');
    let mut value = names.next().and_then(|name| object.body.get(name));
    for name in names {
        value = value.and_then(|value| value.get(name));
    }
    value.unwrap_or(&Value::Null)
}

/// The text at a path; `None` when absent or not a text.
pub(crate) fn text_at<'a>(object: &'a Object, path: &str) -> Option<&'a str> {
    value_at(object, path).as_str()
}

/// The integer at a path; 0 when absent.
pub(crate) fn integer_at(object: &Object, path: &str) -> i64 {
    value_at(object, path).as_i64().unwrap_or(0)
}

/// The time at a path.
pub(crate) fn time_at(object: &Object, path: &str) -> Option<jiff::Timestamp> {
    text_at(object, path).and_then(|text| text.parse().ok())
}

/// A time so many seconds after another, as a column value.
pub(crate) fn seconds_after(time: Option<jiff::Timestamp>, seconds: i64) -> Value {
    let sum = time.and_then(|time| time.checked_add(jiff::SignedDuration::from_secs(seconds)).ok());
    sum.map_or(Value::Null, |time| Value::String(time.to_string()))
}
