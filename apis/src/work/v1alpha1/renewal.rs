//! Kind WorkOrderRenewal: the holder keeps its claim alive, by a create on `workorders/renew`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActionRecord, ChildReference, Fence};
use crate::schema::{self, null_is_default};
use crate::string_enum::string_enum;
use crate::type_meta::{ApiVersion, Kind, kind};

/// WorkOrderRenewal keeps a claim alive and reports progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderRenewal {
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
    pub spec: WorkOrderRenewalSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<WorkOrderRenewalStatus>,
}

kind!(WorkOrderRenewal, subresource, "renew");

/// Which claim is renewed, and what has changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderRenewalSpec {
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

/// The renewed claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderRenewalStatus {
    /// When the claim ends without a further renewal, with microseconds, by the database's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub expires_at: Option<MicroTime>,
    /// Set when the end of the order was asked for: stop the run and complete the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelNotice>,
}

/// What has changed in a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Whether the run has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ProgressPhase>,
    /// What is going on, in a sentence; at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The object that runs the work, as soon as it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_ref: Option<ChildReference>,
    /// The actions of a workflow as they are now; replaces what was reported before.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub actions: Vec<ActionRecord>,
}

string_enum! {
    /// Whether the run has started. It never goes back to Claimed.
    closed ProgressPhase {
        /// The agent is preparing the run.
        Claimed = "Claimed",
        /// The run has started.
        Running = "Running",
    }
}

/// The end of the order was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelNotice {
    /// Why, in the user's words.
    #[serde(default, deserialize_with = "null_is_default")]
    pub reason: String,
    /// When the order ends even without a confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub deadline: Option<Time>,
}
