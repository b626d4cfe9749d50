//! Kind WorkOrder: one piece of work to be done once, by one agent at a time.
//!
//! The life of an order (who may move which phase when) is the server's state machine, not part of the type.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{WorkOrderSpec, WorkOrderStatus};
use crate::schema;
use crate::type_meta::{ApiVersion, Kind, kind};

/// WorkOrder is a request for work: an agent in a suitable cluster claims it, applies its manifests in order, runs it
/// on an engine that is already there, and reports the outcome. Finished orders disappear after their TTL; the
/// WorkOrderLog keeps what happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrder {
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
    /// What is to be done, where, and how often it may be tried. Immutable but for suspend, cancel, priority,
    /// retryPolicy, activeDeadlineSeconds and ttlSecondsAfterFinished.
    #[serde(default)]
    pub spec: WorkOrderSpec,
    /// What has happened so far. Written by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<WorkOrderStatus>,
}

kind!(WorkOrder, namespaced, "workorders");

/// A list of WorkOrders.
pub type WorkOrderList = k8s_openapi::List<WorkOrder>;

impl WorkOrder {
    /// A new order of that name; the server adds defaults.
    pub fn new(name: impl Into<String>, spec: WorkOrderSpec) -> Self {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        };
        Self {
            metadata,
            spec,
            ..Self::default()
        }
    }
}
