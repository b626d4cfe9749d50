//! An API object as JSON with typed metadata: the form in which objects travel between the layers.
//!
//! Strategies work on the resource's own Rust type; [`Object`] is what the generic code handles
//! (upstream: `unstructured.Unstructured`). Nothing here knows storage or HTTP.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
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
    + std::fmt::Debug
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
        + std::fmt::Debug
        + Send
        + Sync
        + 'static
{
}

/// An API object: its type, its metadata and everything else as JSON with sorted keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Group and version, such as `apps/v1`.
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// Standard object metadata.
    #[serde(default)]
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
        serde_json::from_value(serde_json::to_value(self)?)
    }
}

/// Times of metadata are whole seconds on the wire, so they are so from the beginning.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
