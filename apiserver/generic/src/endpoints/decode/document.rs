//! A JSON or YAML document as a value, with the fields that it gives twice.
//!
//! Of a field given twice the last one counts, as everywhere in Kubernetes; strict field validation
//! refuses it, which needs their paths. What could be read but not kept is refused here, for all
//! resources: text that PostgreSQL has no place for, and nesting that a reader of a list, an event or
//! another object around this one would give up at.

mod path;

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;

use super::PROBLEMS_MAX;
use path::Path;

/// The deepest nesting of a document. Readers of JSON commonly give up at 128 levels, and an object is
/// sent inside of others: lists, events, answers and entries of a log.
pub(crate) const DEPTH_MAX: usize = 100;

/// The deepest nesting of a YAML document.
const YAML_DEPTH_MAX: usize = 64;

/// The stack of who reads YAML. Its reader needs up to 32 KiB for each level in a build for tests, which
/// the threads that serve requests do not have.
pub(super) const YAML_STACK_BYTES: usize = 8 * 1024 * 1024;

/// The most nodes of a YAML document after its aliases are followed.
const YAML_NODES_MAX: usize = 100_000;

/// The most anchors and the most aliases of a YAML document.
const YAML_ALIASES_MAX: usize = 100;

/// A decoded document.
#[derive(Debug)]
pub(crate) struct Document {
    /// What it says.
    pub(crate) value: Value,
    /// The paths of the fields given more than once.
    pub(crate) duplicates: Vec<String>,
}

impl Document {
    /// Reads JSON; nothing may follow the document.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// Reads one YAML document, on a stack of [`YAML_STACK_BYTES`]. Bounds on depth and aliases keep a short text
    /// from becoming a large value.
    pub(super) fn from_yaml(text: &[u8]) -> Result<Self, String> {
        let budget = serde_saphyr::budget! {
            max_depth: YAML_DEPTH_MAX,
            max_nodes: YAML_NODES_MAX,
            max_anchors: YAML_ALIASES_MAX,
            max_aliases: YAML_ALIASES_MAX,
        };
        // Only true and false are booleans: a name such as `y` or `no` stays what its author wrote.
        let options = serde_saphyr::options! {
            budget: budget,
            strict_booleans: true,
            duplicate_keys: DuplicateKeyPolicy::LastWins,
            with_snippet: false,
        };
        serde_saphyr::from_slice_with_options(text, options).map_err(|error| error.to_string())
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut duplicates = Vec::new();
        let node = Node {
            path: Path::ROOT,
            duplicates: &mut duplicates,
        };
        let value = node.deserialize(deserializer)?;
        Ok(Self { value, duplicates })
    }
}

/// Reads the value at a path.
struct Node<'a> {
    path: Path<'a>,
    duplicates: &'a mut Vec<String>,
}

impl Node<'_> {
    /// An array or an object may begin here.
    fn check_depth<E: de::Error>(&self) -> Result<(), E> {
        if self.path.depth() < DEPTH_MAX {
            return Ok(());
        }
        let path = &self.path;
        Err(E::custom(format!(
            "{path}: an object may be nested {DEPTH_MAX} levels deep, this one is deeper"
        )))
    }

    /// PostgreSQL keeps every character but this one.
    fn check_text<E: de::Error>(&self, text: &str) -> Result<(), E> {
        if !text.contains('\0') {
            return Ok(());
        }
        let path = &self.path;
        Err(E::custom(format!(
            "{path}: the character U+0000 cannot be stored: leave it out, or encode the text as base64"
        )))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number =
            Number::from_f64(value).ok_or_else(|| E::custom("infinity and NaN are no JSON numbers"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.check_text(value)?;
        Ok(Value::from(value))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        self.check_text(&value)?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut values = Vec::new();
        loop {
            let node = Node {
                path: self.path.item(values.len()),
                duplicates: &mut *self.duplicates,
            };
            match items.next_element_seed(node)? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            self.check_text(&name)?;
            let path = self.path.field(&name);
            if fields.contains_key(&name) && self.duplicates.len() < PROBLEMS_MAX {
                self.duplicates.push(path.to_string());
            }
            let node = Node {
                path,
                duplicates: &mut *self.duplicates,
            };
            let value = entries.next_value_seed(node)?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::Document;
    use serde_json::json;

    #[test]
    fn duplicates_are_named_and_the_last_counts() {
        let text = br#"{"spec":{"a":1,"b":[{"c":1,"c":2}],"a":9007199254740993}}"#;
        let document = Document::from_json(text).unwrap();
        assert_eq!(
            document.value,
            json!({"spec": {"a": 9_007_199_254_740_993_u64, "b": [{"c": 2}]}})
        );
        assert_eq!(document.duplicates, ["spec.b[0].c", "spec.a"]);
    }

    #[test]
    fn yaml_becomes_the_same_value() {
        let text = b"spec:\n  text: 'yes'\n  count: 3\n  ratio: 0.5\n  flag: true\n  none: null\n  list: [a, \"2\"]\n";
        let document = Document::from_yaml(text).unwrap();
        assert_eq!(
            document.value,
            json!({"spec": {"text": "yes", "count": 3, "ratio": 0.5, "flag": true, "none": null, "list": ["a", "2"]}})
        );
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_its_path() {
        for (text, place) in [
            (
                r#"{"spec":{"a":["x","y\u0000"]}}"#,
                "spec.a[1]: the character U+0000",
            ),
            (r#"{"spec":{"a\u0000":1}}"#, "spec: the character U+0000"),
        ] {
            let error = Document::from_json(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(place), "{error}");
        }
        let error = Document::from_yaml(b"a: \"x\\0\"").unwrap_err();
        assert!(error.contains("U+0000"), "{error}");
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Document::from_json(nested(super::DEPTH_MAX).as_bytes()).is_ok());
        let error = Document::from_json(nested(super::DEPTH_MAX + 1).as_bytes()).unwrap_err();
        assert!(error.contains("100 levels deep"), "{error}");
    }

    #[test]
    fn long_names_cost_no_more_than_their_text() {
        // Written out for each item, the paths of this document would have a terabyte.
        let text = format!(r#"{{"{}":[{}0]}}"#, "k".repeat(1 << 20), "0,".repeat(1 << 19));
        let document = Document::from_json(text.as_bytes()).unwrap();
        assert!(document.duplicates.is_empty());
    }

    #[test]
    fn depth_without_end_is_refused() {
        assert!(Document::from_json("[".repeat(100_000).as_bytes()).is_err());
    }
}
