//! Kind WorkOrderLog: what happened to one order, for good.
//!
//! The server writes an entry in the transaction that ends the order, and nobody changes it afterwards. `spec` says what
//! was asked for and `status` what came of it, so that `kubectl describe` reads from the question to the answer. The log
//! text of the attempts is not in the object but under `workorderlogs/log`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::work_order_spec::Results;
use super::{Attempt, Cancellation, WorkOrderSpec};
use crate::schema::{self, null_is_default};
use crate::string_enum::string_enum;
use crate::type_meta::{ApiVersion, Kind, kind};

/// WorkOrderLog is the permanent record of a finished WorkOrder. It is written by the server and never changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderLog {
    #[serde(default)]
    #[expect(missing_docs, reason = "described by the marker's own schema")]
    pub api_version: ApiVersion<Self>,
    #[serde(default)]
    #[expect(missing_docs, reason = "described by the marker's own schema")]
    pub kind: Kind<Self>,
    /// Standard object metadata. The labels are those of the order and work.brokkr.io/completed-at.
    #[serde(default)]
    #[schemars(schema_with = "schema::object_meta")]
    pub metadata: ObjectMeta,
    /// The order as it was submitted.
    #[serde(default)]
    pub spec: WorkOrderLogSpec,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<WorkOrderLogStatus>,
}

kind!(WorkOrderLog, namespaced, "workorderlogs");

/// A list of WorkOrderLogs.
pub type WorkOrderLogList = k8s_openapi::List<WorkOrderLog>;

/// The order as it was submitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderLogSpec {
    /// The name of the WorkOrder.
    pub order_name: String,
    /// The uid of the WorkOrder.
    #[serde(rename = "orderUID")]
    pub order_uid: String,
    /// When the WorkOrder was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub created_at: Option<Time>,
    /// The user who created the WorkOrder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The uid of the namespace of the WorkOrder. Once that namespace is gone, the entry is seen in lists of all
    /// namespaces only, also when another namespace gets the same name.
    #[serde(rename = "namespaceUID", default, skip_serializing_if = "Option::is_none")]
    pub namespace_uid: Option<String>,
    /// The labels of the WorkOrder.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// The spec of the WorkOrder at its end, defaults included.
    #[serde(default)]
    pub order: WorkOrderSpec,
}

/// What came of the order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderLogStatus {
    /// Succeeded, Failed or Cancelled.
    pub outcome: LogOutcome,
    /// Whether the work was done; true exactly if the outcome is Succeeded.
    pub success: bool,
    /// True when the order ended without anybody confirming that its run had: the run may still have done its work.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub outcome_unknown: bool,
    /// How the last failure was classed; absent on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// The normalised reason of the end.
    #[serde(default, deserialize_with = "null_is_default")]
    pub reason: String,
    /// What happened, in a sentence; at most 4 KiB.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub message: String,
    /// The agent of the last attempt; empty when the order was never claimed.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub agent: String,
    /// When the first attempt was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    /// When the order ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    /// The seconds from the first claim to the end; 0 when the order was never claimed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub duration_seconds: i64,
    /// How many failed attempts were charged to maxRetries.
    #[serde(default, deserialize_with = "null_is_default")]
    pub retry_count: i64,
    /// How many attempts were charged to maxLostAttempts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub lost_attempts: i64,
    /// Who asked for the end of the order, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// Structured results of the successful attempt.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Results::is_empty"
    )]
    #[schemars(schema_with = "schema::any_values")]
    pub results: Results,
    /// Every attempt, oldest first.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub attempts: Vec<Attempt>,
}

string_enum! {
    /// How an order ended.
    #[derive(Default)]
    closed LogOutcome {
        /// The work was done.
        Succeeded = "Succeeded",
        /// The work failed for good.
        #[default]
        Failed = "Failed",
        /// The work was cancelled.
        Cancelled = "Cancelled",
    }
}

string_enum! {
    /// What a failure means for the order.
    closed FailureClass {
        /// Trying again cannot help.
        Permanent = "Permanent",
        /// Trying again may help; charged to maxRetries.
        Retryable = "Retryable",
        /// Trying again may help, and the order is not to blame; charged to maxLostAttempts.
        RetryableNotCharged = "RetryableNotCharged",
        /// The run was stopped on request.
        Cancelled = "Cancelled",
    }
}
