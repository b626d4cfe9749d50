//! Kind WorkOrderClaim: an agent claims one order by name, by a create on `workorders/claim`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fence, WorkOrder};
use crate::schema::{self, null_is_default};
use crate::type_meta::{ApiVersion, Kind, kind};

/// WorkOrderClaim asks for one order by name. Exactly one claimant wins; the others get 409 with the holder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderClaim {
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
    pub spec: WorkOrderClaimSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<WorkOrderClaimStatus>,
}

kind!(WorkOrderClaim, subresource, "claim");

/// Who claims.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderClaimSpec {
    /// The name of the Agent object; the caller must be its identity.
    #[serde(default, deserialize_with = "null_is_default")]
    pub agent: String,
    /// The random id of the agent process. The same agent and holder claiming again gets its claim back.
    #[serde(default, deserialize_with = "null_is_default")]
    pub holder: String,
    /// An id that makes the claim idempotent for ten minutes; the same id with another body is 409.
    #[serde(default, rename = "requestID", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Takes the claim over from another process of the same agent, which then gets 409 and detaches.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub takeover: bool,
}

/// The granted claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderClaimStatus {
    /// The fencing token every later call for this claim carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// The number of the attempt: 1 for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i64>,
    /// When the claim ends without a further renewal, with microseconds, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub expires_at: Option<MicroTime>,
    /// The order, as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Box<WorkOrder>>,
    /// Runs of earlier attempts that were not seen to end. The same agent adopts its own under the old name.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub unfinished_children: Vec<UnfinishedChild>,
}

/// A run of an earlier attempt that was not seen to end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnfinishedChild {
    /// The number of the attempt that started it.
    pub attempt: i64,
    /// The name of the run in the agent's cluster.
    pub name: String,
    /// The agent in whose cluster it is.
    pub agent: String,
}
