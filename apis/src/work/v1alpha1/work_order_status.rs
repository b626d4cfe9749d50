//! The status of a WorkOrder.
//!
//! All of it is written by the server in the same transaction as the queue row it mirrors, but for conditions of
//! types this crate does not define: other controllers may add those through `workorders/status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::work_order_spec::Results;
use super::{Attempt, Fence, WorkOrderPhase};
use crate::schema::{self, null_is_default};
use crate::string_enum::string_enum;

/// What has happened to the order so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderStatus {
    /// Where the order is in its life.
    #[serde(default, deserialize_with = "null_is_default")]
    pub phase: WorkOrderPhase,
    /// The generation of the spec the status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What happened last, in a sentence.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub message: String,
    /// The user who created the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The uid of the namespace the order was created in; its log entry is seen in that namespace only.
    #[serde(rename = "namespaceUID", default, skip_serializing_if = "Option::is_none")]
    pub namespace_uid: Option<String>,
    /// The run of the latest attempt of a build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_run_name: Option<String>,
    /// When the first attempt was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    /// When the order reached a terminal phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    /// The WorkOrderLog entry of the finished order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_name: Option<String>,
    /// Who holds the order; absent while nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimStatus>,
    /// How many failed attempts were charged to retryPolicy.maxRetries.
    #[serde(default, deserialize_with = "null_is_default")]
    pub retry_count: i64,
    /// How many attempts were charged to retryPolicy.maxLostAttempts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub lost_attempts: i64,
    /// When the next attempt may be claimed, while the phase is RetryPending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub next_retry_after: Option<Time>,
    /// The agents that matched when the order was created; agents that joined since match too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targeted_agents: Option<TargetedAgents>,
    /// Who asked for the end of the order, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// Structured results of the successful attempt: for a build the digest, the size, the commit.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Results::is_empty"
    )]
    #[schemars(schema_with = "schema::any_values")]
    pub results: Results,
    /// The latest ten attempts, oldest first, the running one included. The log keeps every attempt.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub attempts: Vec<Attempt>,
    /// Schedulable, Claimed and Complete are true when all is well; Failed and HolderUnreachable when it is not.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// Who holds the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// The name of the Agent object.
    pub agent: String,
    /// The random id of the agent process.
    pub holder: String,
    /// The resourceVersion at which the claim was granted. Renewals, completions, releases and log appends carry it.
    pub fence: Fence,
    /// When the attempt was claimed; a takeover by another process of the same agent keeps it.
    #[schemars(schema_with = "schema::time")]
    pub claimed_at: Time,
    /// How long the claim lives without a renewal, in seconds.
    pub lease_duration_seconds: i64,
}

/// The agents that matched when the order was created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetedAgents {
    /// How many there were.
    #[serde(default, deserialize_with = "null_is_default")]
    pub count: i64,
    /// The first 20 of them, by name.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub names: Vec<String>,
}

/// The end of an order that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    /// What ended the order.
    pub cause: CancellationCause,
    /// The user who asked; empty when the order's own deadline did.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub requested_by: String,
    /// Why, in the user's words.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub reason: String,
    /// When it was asked for.
    #[schemars(schema_with = "schema::time")]
    pub requested_at: Time,
    /// When the order ends even if its holder has not confirmed; absent when nobody held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub deadline: Option<Time>,
}

string_enum! {
    /// What ended the order before its time.
    closed CancellationCause {
        /// `spec.cancel` was set.
        Cancel = "Cancel",
        /// The object was deleted.
        Delete = "Delete",
        /// `spec.activeDeadlineSeconds` passed.
        Deadline = "Deadline",
    }
}
