//! Flunders as they are stored: a field for each kind of reference.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{kind, object_meta};

/// The reference type of a reference to a flunder.
pub const FLUNDER_REFERENCE: &str = "Flunder";

/// The reference type of a reference to a fischer.
pub const FISCHER_REFERENCE: &str = "Fischer";

/// Flunder is an example type with a spec and a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flunder {
    /// Group and version.
    pub api_version: String,
    /// Flunder.
    pub kind: String,
    /// Standard object metadata.
    #[serde(default)]
    #[schemars(schema_with = "object_meta")]
    pub metadata: ObjectMeta,
    /// What is wanted of the flunder.
    #[serde(default)]
    pub spec: FlunderSpec,
    /// What has become of it.
    #[serde(default)]
    pub status: FlunderStatus,
}

/// FlunderSpec is the specification of a Flunder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlunderSpec {
    /// A name of another flunder, mutually exclusive to the fischerReference.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flunder_reference: String,
    /// A name of a fischer, mutually exclusive to the flunderReference.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fischer_reference: String,
    /// The reference type: Flunder or Fischer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference_type: String,
}

/// FlunderStatus is the status of a Flunder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlunderStatus {}

kind!(Flunder, "v1beta1", NamespaceResourceScope, "flunders");
