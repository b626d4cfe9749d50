//! Flunders with one field for either kind of reference, fischers, and bumps.

use k8s_openapi::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{kind, object_meta};
use crate::v1beta1::{self, FISCHER_REFERENCE, FLUNDER_REFERENCE, FlunderStatus};

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
    /// A name of another flunder or fischer, depending on the reference type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The reference type, which is Flunder by default if reference is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_type: Option<String>,
}

/// Fischer is an example type with a list of names that flunders may not have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fischer {
    /// Group and version.
    pub api_version: String,
    /// Fischer.
    pub kind: String,
    /// Standard object metadata.
    #[serde(default)]
    #[schemars(schema_with = "object_meta")]
    pub metadata: ObjectMeta,
    /// Names that no new flunder may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub disallowed_flunders: Vec<String>,
}

/// FlunderBump asks a fischer to bump every flunder that carries a label, in all namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlunderBump {
    /// Group and version.
    pub api_version: String,
    /// FlunderBump.
    pub kind: String,
    /// Of the fischer.
    #[serde(default)]
    #[schemars(schema_with = "object_meta")]
    pub metadata: ObjectMeta,
    /// The request.
    #[serde(default)]
    pub spec: FlunderBumpSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<FlunderBumpStatus>,
}

/// FlunderBumpSpec says which flunders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlunderBumpSpec {
    /// The key of the label that they carry.
    #[serde(default)]
    pub label_key: String,
    /// Its value.
    #[serde(default)]
    pub label_value: String,
}

/// FlunderBumpStatus says what was bumped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlunderBumpStatus {
    /// How many flunders.
    pub bumped: i64,
}

kind!(Flunder, "v1alpha1", NamespaceResourceScope, "flunders");
kind!(Fischer, "v1alpha1", ClusterResourceScope, "fischers");
kind!(FlunderBump, "v1alpha1", SubResourceScope, "bump");

impl From<Flunder> for v1beta1::Flunder {
    fn from(flunder: Flunder) -> Self {
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: flunder.kind,
            metadata: flunder.metadata,
            spec: flunder.spec.into(),
            status: flunder.status,
        }
    }
}

impl From<v1beta1::Flunder> for Flunder {
    fn from(flunder: v1beta1::Flunder) -> Self {
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: flunder.kind,
            metadata: flunder.metadata,
            spec: flunder.spec.into(),
            status: flunder.status,
        }
    }
}

impl From<FlunderSpec> for v1beta1::FlunderSpec {
    /// A type that does not exist is carried along, for validation to find.
    fn from(spec: FlunderSpec) -> Self {
        let default = if spec.reference.is_empty() {
            ""
        } else {
            FLUNDER_REFERENCE
        };
        let given = spec.reference_type.filter(|given| !given.is_empty());
        let reference_type = given.unwrap_or_else(|| default.to_owned());
        let (flunder_reference, fischer_reference) = match reference_type.as_str() {
            FISCHER_REFERENCE => (String::new(), spec.reference),
            _ => (spec.reference, String::new()),
        };
        Self {
            flunder_reference,
            fischer_reference,
            reference_type,
        }
    }
}

impl From<v1beta1::FlunderSpec> for FlunderSpec {
    fn from(spec: v1beta1::FlunderSpec) -> Self {
        let reference = match spec.reference_type.as_str() {
            FISCHER_REFERENCE => spec.fischer_reference,
            _ => spec.flunder_reference,
        };
        let reference_type = Some(spec.reference_type).filter(|given| !given.is_empty());
        Self {
            reference,
            reference_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(reference: &str, reference_type: Option<&str>) -> FlunderSpec {
        FlunderSpec {
            reference: reference.to_owned(),
            reference_type: reference_type.map(str::to_owned),
        }
    }

    #[test]
    fn c111_every_valid_spec_survives_the_way_there_and_back() {
        for spec in [
            old("", None),
            old("a", Some("Flunder")),
            old("a", Some("Fischer")),
        ] {
            let stored = v1beta1::FlunderSpec::from(spec.clone());
            assert_eq!(FlunderSpec::from(stored.clone()), spec);
            assert_eq!(
                v1beta1::FlunderSpec::from(FlunderSpec::from(stored.clone())),
                stored
            );
        }
    }

    #[test]
    fn reference_is_to_a_flunder_by_default() {
        for given in [None, Some("")] {
            let stored = v1beta1::FlunderSpec::from(old("a", given));
            assert_eq!(
                (stored.reference_type.as_str(), stored.flunder_reference.as_str()),
                ("Flunder", "a")
            );
        }
    }
}
