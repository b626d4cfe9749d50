//! The spec of a WorkOrder, as a user writes it.
//!
//! Every field that has a default is optional here; [`crate::work::defaults`] fills them in, and
//! [`crate::work::validation`] holds the ranges.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, TargetTerm};
use crate::schema::{self, Object, null_is_default};
use crate::string_enum::string_enum;

/// What is to be done, where, and how often it may be tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderSpec {
    /// Which handler of the agent runs the order: build (also written shipwright-build), workflow, code-task or job.
    #[serde(default, deserialize_with = "null_is_default")]
    pub work_type: String,
    /// For build: the Shipwright Build to run, by name. The Build is applied with kubectl when hub and agent share a
    /// cluster, and travels in manifests otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_ref: Option<BuildReference>,
    /// For workflow: the steps or the pipeline to run on Tekton.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::object")]
    pub workflow: Option<Object>,
    /// For code-task: the repository, the prompt and the code agent to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::object")]
    pub code_task: Option<Object>,
    /// For job: the spec of the Kubernetes Job to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::object")]
    pub job: Option<Object>,
    /// The service account the run's pods get, in the order's namespace of the agent's cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Objects applied in this order before the work starts, each awaited before the next. At most 64 objects and
    /// 1 MiB. Secrets are refused: name them, never embed them.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "schema::embedded_objects")]
    pub manifests: Vec<Object>,
    /// Which agents may claim the order. An agent matches when any term matches it; a term matches when everything in
    /// it does. Without terms every agent that serves the work type and may claim in the namespace matches. Agents
    /// that join later match too.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<TargetTerm>,
    /// How failures are retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// Whether running the work twice may do harm. Orders that are None or Idempotent are requeued when their agent is
    /// lost, so that running twice is possible; NonIdempotent ones wait for their agent. Defaults to Idempotent for
    /// build and NonIdempotent for all other work types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_effects: Option<SideEffects>,
    /// How long one run in the engine may take, as a duration such as 15m or 1h30m. At most
    /// claimTimeoutSeconds; 15m by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The cap on one attempt, from the claim on, in seconds: 60 to 86400, 3600 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_timeout_seconds: Option<i64>,
    /// The cap on the whole order, from its creation on, in seconds. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<i64>,
    /// How long the finished order stays visible, in seconds: 3600 by default, 0 for not at all, -1 for ever. The
    /// WorkOrderLog is kept in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<i64>,
    /// A key that is unique in the namespace over live orders and the log. Creating an order again with the key of a
    /// logged one runs nothing and shows the logged outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Orders of higher priority are claimed first: -1000 to 1000, 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Keeps the order from being claimed. A claimed order runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Cancels the order and keeps it until its TTL. Can be set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelRequest>,
    /// Where the outcome is delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
}

/// A Shipwright Build in the namespace the order runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildReference {
    /// The name of the Build.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
}

/// How failures are retried. The first retry waits backoffSeconds, and every further one twice as long as the one
/// before, up to maxBackoffSeconds and plus up to 10 percent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// How often a failed order is tried again: 0 to 25; 3 by default, 0 for workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<i64>,
    /// The wait before the first retry, in seconds: 1 to 86400, 60 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_seconds: Option<i64>,
    /// The longest wait between two attempts, in seconds: 1 to 86400, 3600 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backoff_seconds: Option<i64>,
    /// How many attempts may be lost with their agent or its node, which maxRetries is not charged for: 0 to 25, 3 by
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lost_attempts: Option<i64>,
    /// Reasons that are retried although they are permanent by default. A reason may be one of the normalised reasons,
    /// a raw reason of the engine, or ExitCode:<number>.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub retry_on: Vec<String>,
    /// Reasons that are never retried; stronger than retryOn.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub never_retry_on: Vec<String>,
}

string_enum! {
    /// Whether running the work twice may do harm.
    open SideEffects {
        /// The work changes nothing outside its own run.
        None = "None",
        /// Running it twice ends in the same state as running it once.
        Idempotent = "Idempotent",
        /// Running it twice may do harm; it is never started again while an earlier run may be alive.
        NonIdempotent = "NonIdempotent",
    }
}

/// A request to cancel the order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelRequest {
    /// Why, in the user's words; shown in the status and kept in the log.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub reason: String,
}

/// Where the outcome is delivered, signed by the server, after the order has finished.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Callback {
    /// The http or https address the outcome is posted to.
    #[serde(default, deserialize_with = "null_is_default")]
    pub url: String,
    /// A Secret in the order's namespace whose key signs the delivery with HMAC as well. The namespace must have
    /// opted in by a Role that lets the server read this Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyReference>,
}

/// One key of a Secret in the order's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// The name of the Secret.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// The key within the Secret; "key" when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Structured results of a run, by name, such as the digest of a built image.
pub type Results = BTreeMap<String, serde_json::Value>;
