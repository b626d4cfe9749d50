//! One attempt to run an order, from its claim to its end.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::work_order_spec::Results;
use super::{FailureClass, FailureScope, Fence};
use crate::schema::{self, null_is_default};
use crate::string_enum::string_enum;

/// One attempt to run the order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// 1 for the first attempt; grows with every claim but a takeover.
    pub number: i64,
    /// The agent that held it.
    pub agent: String,
    /// The agent process that held it last.
    pub holder: String,
    /// The fence it was held with last.
    pub fence: Fence,
    /// When it was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub claimed_at: Option<Time>,
    /// When it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub ended_at: Option<Time>,
    /// How it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AttemptOutcome>,
    /// How the failure was classed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// The rule that classed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The normalised reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason as the engine gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_reason: Option<String>,
    /// The exit code of the failing container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the failure lies in the order or in the agent's cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<FailureScope>,
    /// Whether the run had started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_started: Option<bool>,
    /// Whether the run was seen to have ended. False means that it may still be alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_confirmed_ended: Option<bool>,
    /// What happened, in the agent's words; at most 4 KiB.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub message: String,
    /// The object in the agent's cluster that ran the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<ChildReference>,
    /// The actions of a workflow. In an order's status only the latest attempt keeps them.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub actions: Vec<ActionRecord>,
}

string_enum! {
    /// How an attempt ended. The first three are reports of its holder; the others were decided without one.
    closed AttemptOutcome {
        /// The holder reported success.
        Succeeded = "Succeeded",
        /// The holder reported a failure.
        Failed = "Failed",
        /// The holder reported that the run was cancelled.
        Cancelled = "Cancelled",
        /// The lease expired.
        Lost = "Lost",
        /// The holder gave the order back, or an operator took it.
        Released = "Released",
        /// The server ended the attempt; how the run ended is not known.
        Unknown = "Unknown",
    }
}

/// The object in the agent's cluster that runs the work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChildReference {
    /// The group and version of the object.
    #[serde(default, deserialize_with = "null_is_default")]
    pub api_version: String,
    /// The kind of the object, such as BuildRun, PipelineRun or Job.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kind: String,
    /// Its namespace in the agent's cluster.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub namespace: String,
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// One action of a workflow: one try of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionRecord {
    /// The name of the step.
    pub step: String,
    /// 1 for the first run of the step; grows with the engine's own retries.
    #[serde(default, rename = "try")]
    pub tried: i64,
    /// What the step does, such as kubernetes/scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_type: Option<String>,
    /// The image that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The digest of the image that ran.
    #[serde(default, rename = "imageID", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// A digest of the inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<String>,
    /// Pending, Running, Succeeded, Failed, Cancelled, Skipped or TimedOut.
    pub state: String,
    /// Why, in the engine's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What happened, in a sentence.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub message: String,
    /// The exit code of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub started_at: Option<Time>,
    /// When it finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub finished_at: Option<Time>,
    /// What the action returned.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Results::is_empty"
    )]
    #[schemars(schema_with = "schema::any_values")]
    pub results: Results,
}
