//! Kind Agent: one agent of the fleet, and the doorbell it watches.
//!
//! Fleet administrators write `spec`; the agent of that name reports into `status` but never changes metadata, spec, or
//! what the server owns in status (inUse, lastRenewTime, wake and the condition Ready).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, null_is_default};
use crate::type_meta::{ApiVersion, Kind, kind};

/// Agent is a member of the fleet that may claim WorkOrders. Its labels and annotations are what the targets of an
/// order match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    #[serde(default)]
    #[expect(missing_docs, reason = "described by the marker's own schema")]
    pub api_version: ApiVersion<Self>,
    #[serde(default)]
    #[expect(missing_docs, reason = "described by the marker's own schema")]
    pub kind: Kind<Self>,
    /// Standard object metadata.
    #[serde(default)]
    #[schemars(schema_with = "schema::object_meta")]
    pub metadata: ObjectMeta,
    /// Who the agent is and how much it may take on.
    #[serde(default)]
    pub spec: AgentSpec,
    /// What the agent reports and what the server knows about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentStatus>,
}

kind!(Agent, cluster, "agents");

/// A list of Agents.
pub type AgentList = k8s_openapi::List<Agent>;

/// Who the agent is and how much it may take on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentSpec {
    /// The user name the agent calls the hub with, such as system:serviceaccount:brokkr-agent:edge-1. Immutable, and
    /// unique among agents.
    #[serde(default, deserialize_with = "null_is_default")]
    pub identity: String,
    /// The work types the agent serves: build, workflow, code-task and job; empty for all of them.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub work_types: Vec<String>,
    /// How many orders the agent may hold at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<AgentConcurrency>,
    /// How long a claim of the agent lives without a renewal, in seconds: 15 to 600, 60 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<i64>,
    /// Keeps the agent from claiming more. What it holds runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unschedulable: Option<bool>,
}

/// How many orders the agent may hold at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentConcurrency {
    /// Of all work types together: 1 to 1000, 5 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Of single work types: 1 to 1000 each.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub by_type: BTreeMap<String, i64>,
}

/// What the agent reports and what the server knows about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// The generation of the spec the agent has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What the agent found in its cluster, by name with the version found, such as shipwright: v0.20.13. Reported by
    /// the agent.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub capabilities: BTreeMap<String, String>,
    /// How many orders the agent holds. Written by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<AgentUsage>,
    /// When the agent last renewed its claims, at a coarse grain. Written by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_renew_time: Option<Time>,
    /// The version of the agent's program. Reported by the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Raised by the server whenever there is something for the agent to do: an order to claim, a cancel, a lost claim.
    /// Its value has no other meaning.
    #[serde(default, deserialize_with = "null_is_default")]
    pub wake: i64,
    /// Ready and Prerequisites.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// How many orders the agent holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentUsage {
    /// Of all work types together.
    #[serde(default, deserialize_with = "null_is_default")]
    pub total: i64,
    /// Of single work types.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub by_type: BTreeMap<String, i64>,
}
