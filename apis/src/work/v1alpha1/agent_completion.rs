//! Kind AgentCompletion: an agent completes many orders at once, by a create on `agents/complete`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, StatusDetails, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::work_order_spec::Results;
use super::{CompletionOutcome, FailureScope, Fence, WorkOrderCompletionSpec, WorkOrderPhase};
use crate::schema::{self, null_is_default};
use crate::type_meta::{ApiVersion, Kind, kind};

/// AgentCompletion reports how up to 100 runs ended. Items succeed or fail alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCompletion {
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
    pub spec: AgentCompletionSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentCompletionStatus>,
}

kind!(AgentCompletion, subresource, "complete");

/// Which orders are completed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCompletionSpec {
    /// The random id of the agent process.
    #[serde(default, deserialize_with = "null_is_default")]
    pub holder: String,
    /// The reports, up to 100.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<AgentCompletionItem>,
}

/// The report for one order; the fields are those of WorkOrderCompletion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCompletionItem {
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

/// The completed orders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCompletionStatus {
    /// One entry for every item of the request, in the same order.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<AgentCompletionResult>,
}

/// What the server made of one report, or why it was refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCompletionResult {
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

impl AgentCompletionItem {
    /// The item that reports this on an order.
    pub fn of(namespace: &str, name: &str, report: WorkOrderCompletionSpec) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: report.uid,
            fence: report.fence,
            outcome: report.outcome,
            reason: report.reason,
            source_reason: report.source_reason,
            exit_code: report.exit_code,
            scope: report.scope,
            execution_started: report.execution_started,
            child_confirmed_ended: report.child_confirmed_ended,
            message: report.message,
            results: report.results,
        }
    }

    /// The same report as a request for the one order.
    pub fn completion(&self) -> WorkOrderCompletionSpec {
        WorkOrderCompletionSpec {
            uid: self.uid.clone(),
            fence: self.fence,
            outcome: self.outcome,
            reason: self.reason.clone(),
            source_reason: self.source_reason.clone(),
            exit_code: self.exit_code,
            scope: self.scope,
            execution_started: self.execution_started,
            child_confirmed_ended: self.child_confirmed_ended,
            message: self.message.clone(),
            results: self.results.clone(),
        }
    }
}
