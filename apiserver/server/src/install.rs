//! The one list of what this server serves.

use std::sync::Arc;

use generic_apiserver::admission::NamespaceLifecycle;
use generic_apiserver::endpoints::{ApiGroup, ApiVersion};
use generic_apiserver::registry::Store;
use generic_apiserver::storage::{Storage, StorageBuilder, StorageOptions};
use sqlx::postgres::PgConnectOptions;

use crate::queue::{self, Namespaces, Queue};
use crate::registry::agent::{self, AgentClaims, AgentCompletions, AgentRenewals, AgentStrategy, PendingOrders};
use crate::registry::work_order::{
    self, WorkOrderClaims, WorkOrderCompletions, WorkOrderReleases, WorkOrderRenewals, WorkOrderStrategy,
};
use crate::registry::work_order_log::{self, WorkOrderLogStrategy};

/// The storage of all resources, with the followers of the queue.
#[must_use]
pub fn storage(database: PgConnectOptions) -> StorageBuilder {
    let builder = Storage::builder(StorageOptions::new(database))
        .resource(work_order::table::table())
        .resource(work_order_log::table::table())
        .resource(agent::table::table());
    queue::with_followers(builder)
}

/// The group `work.brokkr.io` with its resources and subresources.
#[must_use]
pub fn api_group(storage: &Storage, queue: &Arc<Queue>) -> ApiGroup {
    let orders = Store::new(WorkOrderStrategy::new(storage.clone()), storage.clone())
        .creater(WorkOrderClaims::new(storage.clone(), Arc::clone(queue)))
        .creater(WorkOrderRenewals::new(storage.clone(), Arc::clone(queue)))
        .creater(WorkOrderCompletions::new(storage.clone(), Arc::clone(queue)))
        .creater(WorkOrderReleases::new(storage.clone(), Arc::clone(queue)));
    let entries = Store::new(WorkOrderLogStrategy, storage.clone());
    let agents = Store::new(AgentStrategy, storage.clone())
        .creater(AgentClaims::new(storage.clone(), Arc::clone(queue)))
        .creater(AgentRenewals::new(storage.clone(), Arc::clone(queue)))
        .creater(AgentCompletions::new(storage.clone(), Arc::clone(queue)))
        .getter(PendingOrders::new(storage.clone(), Arc::clone(queue)));
    ApiGroup::new(brokkr_apis::GROUP).version(
        ApiVersion::new(brokkr_apis::work::v1alpha1::VERSION)
            .resource(Arc::new(orders))
            .resource(Arc::new(entries))
            .resource(Arc::new(agents)),
    )
}

impl Namespaces for NamespaceLifecycle {
    fn terminating(&self) -> Vec<String> {
        Self::terminating(self)
    }
}
