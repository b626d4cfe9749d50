//! Kind WorkOrderCompletion: the holder reports how the run ended, by a create on `workorders/complete`.
//!
//! The agent says what it saw; whether the order is tried again is the server's decision.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::work_order_spec::Results;
use super::{Fence, WorkOrderPhase};
use crate::schema::{self, null_is_default};
use crate::string_enum::string_enum;
use crate::type_meta::{ApiVersion, Kind, kind};

/// WorkOrderCompletion reports how a run ended. Repeating an accepted report gets the same answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderCompletion {
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
    pub spec: WorkOrderCompletionSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<WorkOrderCompletionStatus>,
}

kind!(WorkOrderCompletion, subresource, "complete");

/// How the run ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderCompletionSpec {
    /// The uid of the order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub uid: String,
    /// The fence of the claim.
    #[serde(default, deserialize_with = "null_is_default")]
    pub fence: Fence,
    /// How the run ended.
    #[serde(default, deserialize_with = "null_is_default")]
    pub outcome: CompletionOutcome,
    /// The normalised reason of a failure, from the table of reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason as the engine gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_reason: Option<String>,
    /// The exit code of the failing container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the failure lies in the order or in the agent's cluster; the table of reasons decides when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<FailureScope>,
    /// Whether the run had started. When left out, it is taken to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_started: Option<bool>,
    /// Whether the run was seen to have ended. When left out, it is taken to have only if it never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_confirmed_ended: Option<bool>,
    /// What happened, in a sentence; at most 4 KiB.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub message: String,
    /// Structured results of the run; at most 64 KiB.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Results::is_empty"
    )]
    #[schemars(schema_with = "schema::any_values")]
    pub results: Results,
}

/// What the server made of the report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderCompletionStatus {
    /// The phase the order is in now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<WorkOrderPhase>,
    /// When the next attempt may be claimed, if there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub next_retry_after: Option<Time>,
    /// The WorkOrderLog entry, if the order has finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_name: Option<String>,
}

string_enum! {
    /// How a run ended, as its agent saw it.
    #[derive(Default)]
    closed CompletionOutcome {
        /// The work was done.
        Succeeded = "Succeeded",
        /// The work failed.
        #[default]
        Failed = "Failed",
        /// The run was stopped on request.
        Cancelled = "Cancelled",
    }
}

string_enum! {
    /// Where a failure lies.
    closed FailureScope {
        /// In the order: it would fail the same way anywhere.
        Order = "Order",
        /// In the agent's cluster: another agent may succeed.
        Agent = "Agent",
    }
}
