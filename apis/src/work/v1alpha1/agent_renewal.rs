//! Kind AgentRenewal: an agent renews many claims at once, by a create on `agents/renew`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, StatusDetails};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CancelNotice, Fence, Progress, WorkOrderPhase, WorkOrderRenewalSpec};
use crate::schema::{self, null_is_default};
use crate::type_meta::{ApiVersion, Kind, kind};

/// AgentRenewal renews up to 100 claims and answers with the full list of what the agent holds, so that a run whose
/// claim is gone is found within one interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentRenewal {
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
    pub spec: AgentRenewalSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentRenewalStatus>,
}

kind!(AgentRenewal, subresource, "renew");

/// Which claims are renewed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentRenewalSpec {
    /// The random id of the agent process.
    #[serde(default, deserialize_with = "null_is_default")]
    pub holder: String,
    /// The claims, up to 100.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<AgentRenewalItem>,
}

/// One claim to renew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentRenewalItem {
    /// The namespace of the order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespace: String,
    /// The name of the order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// The uid of the order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub uid: String,
    /// The fence of the claim.
    #[serde(default, deserialize_with = "null_is_default")]
    pub fence: Fence,
    /// What has changed since the last renewal; absent when nothing has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// The renewed claims.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentRenewalStatus {
    /// One entry for every item of the request, in the same order.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<AgentRenewalResult>,
    /// Every claim the agent holds, whether it was in the request or not; not bound by 100.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub claims: Vec<HeldClaim>,
}

/// One renewed claim, or why it was not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentRenewalResult {
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
    /// When the claim ends without a further renewal, with microseconds, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub expires_at: Option<MicroTime>,
    /// Set when the end of the order was asked for: stop the run and complete the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelNotice>,
}

/// One claim the agent holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldClaim {
    /// The namespace of the order.
    pub namespace: String,
    /// The name of the order.
    pub name: String,
    /// The uid of the order.
    pub uid: String,
    /// The process that holds it.
    pub holder: String,
    /// The fence of the claim.
    pub fence: Fence,
    /// The number of the attempt.
    pub attempt: i64,
    /// The phase of the order.
    pub phase: WorkOrderPhase,
    /// When the claim ends without a further renewal, with microseconds, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub expires_at: Option<MicroTime>,
}

impl AgentRenewalItem {
    /// The same renewal as a request for the one order.
    pub fn renewal(&self) -> WorkOrderRenewalSpec {
        WorkOrderRenewalSpec {
            uid: self.uid.clone(),
            fence: self.fence,
            progress: self.progress.clone(),
        }
    }
}
