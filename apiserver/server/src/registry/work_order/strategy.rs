//! What is particular to orders; each verb has its file.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::WorkOrder;
use brokkr_apis::work::{defaults, validation};
use generic_apiserver::object::Object;
use generic_apiserver::registry::{
    DeleteOptions, Deletion, FieldError, ReadyChange, RegistryError, RequestContext, ResourceNames, Scope,
    Strategy, TableColumn,
};
use generic_apiserver::storage::{ResourceTable, Storage, Writes};
use jiff::Timestamp;
use serde_json::Value;

use super::roster::Roster;
use super::{create, delete, idempotency, table, update, writes};
use crate::queue::Namespaces;
use crate::queue::change::ChangeOrders;
use crate::registry::field_errors;

/// The strategy of orders.
pub struct WorkOrderStrategy {
    storage: Storage,
    roster: Roster,
    namespaces: Arc<dyn Namespaces>,
    changes: Arc<ChangeOrders>,
}

impl WorkOrderStrategy {
    /// Orders of this storage, which holds agents and the log as well, in these namespaces.
    #[must_use]
    pub fn new(storage: Storage, namespaces: Arc<dyn Namespaces>) -> Self {
        Self {
            roster: Roster::new(storage.clone()),
            storage,
            namespaces,
            changes: Arc::default(),
        }
    }
}

impl std::fmt::Debug for WorkOrderStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkOrderStrategy").finish_non_exhaustive()
    }
}

#[async_trait]
impl Strategy for WorkOrderStrategy {
    type Kind = WorkOrder;

    fn names(&self) -> ResourceNames {
        ResourceNames {
            plural: "workorders",
            singular: "workorder",
            short_names: &["wo"],
            categories: &["brokkr"],
            scope: Scope::Namespaced,
        }
    }

    fn table(&self) -> ResourceTable {
        table::table()
    }

    fn default(&self, order: &mut WorkOrder) {
        defaults::default_work_order(order);
    }

    fn prepare_for_create(&self, ctx: &RequestContext, order: &mut WorkOrder) {
        create::prepare(&ctx.user.name, order);
    }

    async fn admit_create(&self, ctx: &RequestContext, order: &mut WorkOrder) -> Result<(), RegistryError> {
        create::bind(self.namespaces.as_ref(), order).await?;
        create::admit(&self.storage, &self.roster, ctx, order).await
    }

    fn validate(&self, order: &WorkOrder) -> Vec<FieldError> {
        field_errors(validation::validate_work_order(order))
    }

    fn prepare_for_update(&self, ctx: &RequestContext, new: &mut WorkOrder, old: &WorkOrder) {
        update::prepare(&ctx.user.name, new, old, Timestamp::now());
    }

    fn prepare_for_status_update(&self, _ctx: &RequestContext, new: &mut WorkOrder, old: &WorkOrder) {
        update::prepare_status(new, old);
    }

    fn validate_update(&self, new: &WorkOrder, old: &WorkOrder) -> Vec<FieldError> {
        field_errors(validation::validate_work_order_update(new, old))
    }

    fn delete(
        &self,
        ctx: &RequestContext,
        current: &WorkOrder,
        options: &DeleteOptions,
    ) -> Result<Deletion<WorkOrder>, RegistryError> {
        delete::delete(&ctx.user.name, current, *options, Timestamp::now())
    }

    fn further(
        &self,
        _ctx: &RequestContext,
        old: Option<&WorkOrder>,
        new: Option<&WorkOrder>,
    ) -> Result<Writes, RegistryError> {
        match (old, new) {
            (None, Some(new)) => Ok(writes::on_create(new)),
            (Some(_), _) | (None, None) => Ok(Writes::default()),
        }
    }

    async fn write_change(
        &self,
        ctx: &RequestContext,
        change: &ReadyChange<'_, WorkOrder>,
    ) -> Result<Option<Object>, RegistryError> {
        match writes::decided_change(&ctx.user.name, change) {
            Some(input) => Ok(Some(self.storage.run(&self.changes, input).await??)),
            None => Ok(None),
        }
    }

    fn constraint_error(&self, constraint: &str, order: &WorkOrder) -> RegistryError {
        match constraint {
            "work_order_keys_idempotency" => idempotency::taken(order),
            other => RegistryError::Internal(format!("constraint {other} refused an order")),
        }
    }

    fn warnings_on_create(&self, order: &WorkOrder) -> Vec<String> {
        create::warnings(order)
    }

    fn columns(&self) -> &'static [TableColumn] {
        table::PRINTER_COLUMNS
    }

    fn cells(&self, order: &WorkOrder) -> Vec<Value> {
        table::cells(order)
    }
}
