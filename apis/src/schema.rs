//! Schemas and decoding of what comes from k8s-openapi or has no shape of its own.
//!
//! k8s-openapi is built without its `schemars` feature, because the OpenAPI document of the server carries upstream's
//! definitions already. A field of an upstream type is marked with `x-kubernetes-ref`, which the server's OpenAPI
//! builder turns into a `$ref` to that definition.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// An object whose content is not described, kept as it was sent.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// A reference to upstream's ObjectMeta.
pub fn object_meta(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"})
}

/// A reference to upstream's StatusDetails.
pub fn status_details(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-ref": "io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails"})
}

/// A list of upstream Conditions, merged by type as everywhere in Kubernetes.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "object", "x-kubernetes-ref": "io.k8s.apimachinery.pkg.apis.meta.v1.Condition"},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "type",
    })
}

/// An RFC 3339 time.
pub fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// An object of any content.
pub fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A map from names to values of any type.
pub fn any_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true},
    })
}

/// An ordered list of whole Kubernetes objects.
pub fn embedded_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true,
        },
        "x-kubernetes-list-type": "atomic",
    })
}

/// Decodes `null` as the default, as Go's decoder does; clients without `omitempty` send it for empty lists.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
