//! An API object as JSON with typed metadata: the form in which objects travel between the layers.
//!
//! Strategies work on the resource's own Rust type; [`Object`] is what the generic code handles
//! (upstream: `unstructured.Unstructured`). Nothing here knows storage or HTTP.

use std::{fmt, io};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A Rust type that is served as a Kubernetes kind.
///
/// Implemented for every type with the listed traits; `Serialize` writes `apiVersion` and `kind`.
pub trait Kind:
    k8s_openapi::Resource
    + k8s_openapi::Metadata<Ty = ObjectMeta>
    + Serialize
    + DeserializeOwned
    + schemars::JsonSchema
    + Clone
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
}

impl<T> Kind for T where
    T: k8s_openapi::Resource
        + k8s_openapi::Metadata<Ty = ObjectMeta>
        + Serialize
        + DeserializeOwned
        + schemars::JsonSchema
        + Clone
        + fmt::Debug
        + Send
        + Sync
        + 'static
{
}

/// An API object: its type, its metadata and everything else as JSON with sorted keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Object {
    /// Group and version, such as `apps/v1`.
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// Standard object metadata.
    pub metadata: ObjectMeta,
    /// All other top-level fields.
    #[serde(flatten)]
    pub body: Map<String, Value>,
}

impl Object {
    /// The JSON form of a typed object.
    ///
    /// # Errors
    /// When the type cannot be written as a JSON object; that is a defect of the type.
    pub fn from_typed<T: Serialize>(typed: &T) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::to_value(typed)?)
    }

    /// Reads the object as a typed one.
    ///
    /// # Errors
    /// When a field has another type than `T` declares.
    pub fn to_typed<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let head = [
            ("apiVersion", Value::from(self.api_version.as_str())),
            ("kind", Value::from(self.kind.as_str())),
            ("metadata", serde_json::to_value(&self.metadata)?),
        ];
        let head = head.iter().map(|(key, value)| (*key, value));
        let body = self.body.iter().map(|(key, value)| (key.as_str(), value));
        T::deserialize(MapDeserializer::new(head.chain(body)))
    }
}

/// Written out because `serde(flatten)` would keep every field in a form of its own first, and each object is
/// read several times on its way.
impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with apiVersion and kind")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Object, A::Error> {
        let (mut api_version, mut kind, mut metadata) = (None, None, None);
        let mut body = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            match key.as_str() {
                "apiVersion" => api_version = Some(fields.next_value()?),
                "kind" => kind = Some(fields.next_value()?),
                "metadata" => metadata = Some(fields.next_value()?),
                _ => drop(body.insert(key, fields.next_value()?)),
            }
        }
        Ok(Object {
            api_version: api_version.ok_or_else(|| Error::missing_field("apiVersion"))?,
            kind: kind.ok_or_else(|| Error::missing_field("kind"))?,
            metadata: metadata.unwrap_or_default(),
            body,
        })
    }
}

/// Times of metadata are whole seconds on the wire, so they are so from the beginning.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The length of a value as JSON, without keeping it.
pub(crate) fn json_bytes(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value that is not JSON is refused later, where there is somebody to tell.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_survives_in_both_directions() {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"b": "c"}},
            "data": {"x": "y"}, "immutable": true});
        let object: Object = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some("a"));
        assert_eq!(object.body.keys().collect::<Vec<_>>(), ["data", "immutable"]);
        assert_eq!(serde_json::to_value(&object).unwrap(), value);
        let typed: k8s_openapi::api::core::v1::ConfigMap = object.to_typed().unwrap();
        assert_eq!(typed.immutable, Some(true));
        assert_eq!(Object::from_typed(&typed).unwrap(), object);
    }

    #[test]
    fn length_as_json_is_that_of_the_text() {
        for value in [json!({"a": [1, "\u{e9}\n", null]}), json!("")] {
            assert_eq!(json_bytes(&value), value.to_string().len(), "{value}");
        }
    }

    #[test]
    fn an_object_says_what_it_is() {
        let error = |value| serde_json::from_value::<Object>(value).unwrap_err().to_string();
        assert_eq!(error(json!({"kind": "A"})), "missing field `apiVersion`");
        assert_eq!(error(json!({"apiVersion": "v1"})), "missing field `kind`");
        let bare: Object = serde_json::from_value(json!({"apiVersion": "v1", "kind": "A"})).unwrap();
        assert_eq!(bare.metadata, ObjectMeta::default());
    }
}
