//! Kind WorkOrderRelease: the holder gives an order back, or an operator takes it, by a create on
//! `workorders/release`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fence, WorkOrderPhase};
use crate::schema::{self, null_is_default};
use crate::type_meta::{ApiVersion, Kind, kind};

/// WorkOrderRelease puts a claimed order back into the queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderRelease {
    #[serde(default)]
    #[expect(missing_docs, reason = "described by the marker's own schema")]
    pub api_version: ApiVersion<Self>,
    #[serde(default)]
    #[expect(missing_docs, reason = "described by the marker's own schema")]
    pub kind: Kind<Self>,
    /// Standard object metadata. Name and namespace are those of the order.
    #[serde(default)]
    #[schemars(schema_with = "schema::object_meta")]
    pub metadata: ObjectMeta,
    /// The request.
    #[serde(default)]
    pub spec: WorkOrderReleaseSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<WorkOrderReleaseStatus>,
}

kind!(WorkOrderRelease, subresource, "release");

/// Which claim is given up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderReleaseSpec {
    /// The uid of the order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub uid: String,
    /// The fence of the claim; may be left out with force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Why; kept on the attempt.
    #[serde(default, deserialize_with = "null_is_default")]
    pub reason: String,
    /// Takes the order from its holder, whatever the holder is doing. For operators: the work may then run twice.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub force: bool,
}

/// The released order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderReleaseStatus {
    /// The phase the order is in now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<WorkOrderPhase>,
}
