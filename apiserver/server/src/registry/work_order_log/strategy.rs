//! What is particular to log entries: nothing of them is ever written by a client.

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::WorkOrderLog;
use generic_apiserver::registry::{
    FieldError, RequestContext, ResourceNames, Scope, Strategy, TableColumn, Verb,
};
use generic_apiserver::storage::ResourceTable;
use serde_json::Value;

use super::table;

/// The strategy of log entries.
#[derive(Debug, Default)]
pub struct WorkOrderLogStrategy;

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

    fn columns(&self) -> &'static [TableColumn] {
        table::PRINTER_COLUMNS
    }

    fn cells(&self, entry: &WorkOrderLog) -> Vec<Value> {
        table::cells(entry)
    }
}
