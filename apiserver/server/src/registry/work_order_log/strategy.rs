//! What is particular to log entries: nothing of them is ever written by a client.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::WorkOrderLog;
use generic_apiserver::mutant;
use generic_apiserver::registry::{
    FieldError, RegistryError, RequestContext, ResourceNames, Scope, Seen, Strategy, TableColumn, Verb,
};
use generic_apiserver::storage::ResourceTable;
use generic_apiserver::storage::selection::FieldRequirement;
use serde_json::Value;

use super::table;
use crate::queue::Namespaces;

/// The uid of no namespace.
const NO_NAMESPACE: &str = "none";

/// The strategy of log entries.
pub struct WorkOrderLogStrategy {
    namespaces: Arc<dyn Namespaces>,
}

impl WorkOrderLogStrategy {
    /// Entries of these namespaces.
    #[must_use]
    pub const fn new(namespaces: Arc<dyn Namespaces>) -> Self {
        Self { namespaces }
    }
}

impl std::fmt::Debug for WorkOrderLogStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkOrderLogStrategy").finish_non_exhaustive()
    }
}

#[async_trait]
impl Strategy for WorkOrderLogStrategy {
    type Kind = WorkOrderLog;

    fn names(&self) -> ResourceNames {
        ResourceNames {
            plural: "workorderlogs",
            singular: "workorderlog",
            short_names: &["wol"],
            categories: &[],
            scope: Scope::Namespaced,
        }
    }

    fn table(&self) -> ResourceTable {
        table::table()
    }

    fn verbs(&self) -> &'static [Verb] {
        &[Verb::Get, Verb::List, Verb::Watch]
    }

    fn has_status(&self) -> bool {
        false
    }

    fn prepare_for_create(&self, _ctx: &RequestContext, _entry: &mut WorkOrderLog) {}

    fn validate(&self, _entry: &WorkOrderLog) -> Vec<FieldError> {
        Vec::new()
    }

    fn prepare_for_update(&self, _ctx: &RequestContext, _new: &mut WorkOrderLog, _old: &WorkOrderLog) {}

    fn validate_update(&self, _new: &WorkOrderLog, _old: &WorkOrderLog) -> Vec<FieldError> {
        vec![FieldError::forbidden("", "a log entry never changes")]
    }

    /// Entries outlive their namespace; in another one of the same name they are not seen.
    async fn seen_in(&self, namespace: &str) -> Result<Seen, RegistryError> {
        if mutant!("i5-entry-seen-in-another-namespace") {
            return Ok(Seen::default());
        }
        let uid = self.namespaces.uid(namespace).await?;
        let until = self.namespaces.replaced(namespace, uid.clone());
        let of_namespace = FieldRequirement {
            field: table::NAMESPACE_UID.to_owned(),
            equal: true,
            value: uid.unwrap_or_else(|| NO_NAMESPACE.to_owned()),
        };
        Ok(Seen {
            fields: vec![of_namespace],
            until: Some(until),
        })
    }

    fn columns(&self) -> &'static [TableColumn] {
        table::PRINTER_COLUMNS
    }

    fn cells(&self, entry: &WorkOrderLog) -> Vec<Value> {
        table::cells(entry)
    }
}
