//! Kind AgentClaim: an agent asks for work, by a create on `agents/claim`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, StatusDetails};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fence, UnfinishedChild, WorkOrder};
use crate::schema::{self, null_is_default};
use crate::type_meta::{ApiVersion, Kind, kind};

/// AgentClaim asks for up to 100 orders at once. The answer comes at once, also when there is nothing to claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentClaim {
    #[serde(default)]
    #[expect(missing_docs, reason = "described by the marker's own schema")]
    pub api_version: ApiVersion<Self>,
    #[serde(default)]
    #[expect(missing_docs, reason = "described by the marker's own schema")]
    pub kind: Kind<Self>,
    /// Standard object metadata. The name is that of the agent.
    #[serde(default)]
    #[schemars(schema_with = "schema::object_meta")]
    pub metadata: ObjectMeta,
    /// The request.
    #[serde(default)]
    pub spec: AgentClaimSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentClaimStatus>,
}

kind!(AgentClaim, subresource, "claim");

/// How much work the agent asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentClaimSpec {
    /// The random id of the agent process.
    #[serde(default, deserialize_with = "null_is_default")]
    pub holder: String,
    /// An id that makes the claim idempotent for ten minutes: the answer is kept and replayed.
    #[serde(default, rename = "requestID", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How many orders the agent wants: 1 to 100, 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Only orders of these work types; empty for all the agent serves.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub work_types: Vec<String>,
    /// How long the call may wait for work, in seconds. Honoured only for callers that do not come through the
    /// front proxy; agents on the hub watch their own Agent object instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<i64>,
}

/// The claimed orders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentClaimStatus {
    /// One entry for every order that was claimed or could not be.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<AgentClaimItem>,
}

/// One claimed order, or why it was not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentClaimItem {
    /// The namespace of the order.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub namespace: String,
    /// The name of the order.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub name: String,
    /// The HTTP status code this item would have had as a request of its own: 200 or 201 on success.
    #[serde(default, deserialize_with = "null_is_default")]
    pub code: i32,
    /// The machine-readable reason of a failure, as in upstream's Status; empty on success.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub reason: String,
    /// What went wrong and what to do next; empty on success.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub message: String,
    /// More about the failure, as in upstream's Status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::status_details")]
    pub details: Option<StatusDetails>,
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
