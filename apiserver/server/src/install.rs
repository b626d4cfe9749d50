//! The one list of what this server serves.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use generic_apiserver::admission::NamespaceLifecycle;
use generic_apiserver::endpoints::{ApiGroup, ApiVersion};
use generic_apiserver::registry::{RegistryError, Store};
use generic_apiserver::storage::{Storage, StorageBuilder, StorageOptions};
use sqlx::postgres::PgConnectOptions;

use brokkr_apis::work::v1alpha1::VERSION;

use crate::queue::metrics::QueueMetrics;
use crate::queue::{self, Namespaces, Queue};
use crate::registry::agent::{
    self, AgentClaims, AgentCompletions, AgentRenewals, AgentStrategy, PendingOrders,
};
use crate::registry::work_order::{
    self, WorkOrderClaims, WorkOrderCompletions, WorkOrderReleases, WorkOrderRenewals, WorkOrderStrategy,
};
use crate::registry::work_order_log::{self, WorkOrderLogStrategy};

/// The storage of all resources, with the forerunner and the followers of the queue.
#[must_use]
pub fn storage(database: PgConnectOptions, metrics: &QueueMetrics) -> StorageBuilder {
    let builder = Storage::builder(StorageOptions::new(database))
        .resource(work_order::table::table())
        .resource(work_order_log::table::table())
        .resource(agent::table::table());
    queue::with_counted_followers(builder, metrics)
}

/// The group `work.brokkr.io` with its resources and subresources.
#[must_use]
pub fn api_group(storage: &Storage, queue: &Arc<Queue>) -> ApiGroup {
    let strategy = WorkOrderStrategy::new(storage.clone(), queue.namespaces());
    let orders = Store::new(strategy, storage.clone())
        .creater(WorkOrderClaims::new(Arc::clone(queue)))
        .creater(WorkOrderRenewals::new(Arc::clone(queue)))
        .creater(WorkOrderCompletions::new(Arc::clone(queue)))
        .creater(WorkOrderReleases::new(Arc::clone(queue)));
    let entries = Store::new(WorkOrderLogStrategy::new(queue.namespaces()), storage.clone());
    let agents = Store::new(AgentStrategy, storage.clone())
        .creater(AgentClaims::new(Arc::clone(queue)))
        .creater(AgentRenewals::new(Arc::clone(queue)))
        .creater(AgentCompletions::new(Arc::clone(queue)))
        .getter(PendingOrders::new(Arc::clone(queue)));
    ApiGroup {
        name: brokkr_apis::GROUP.to_owned(),
        versions: vec![ApiVersion {
            name: VERSION.to_owned(),
            resources: vec![Arc::new(orders), Arc::new(entries), Arc::new(agents)],
        }],
    }
}

#[async_trait]
impl Namespaces for NamespaceLifecycle {
    fn terminating(&self) -> Vec<String> {
        Self::terminating(self)
    }

    fn is_reachable(&self) -> bool {
        Self::is_reachable(self)
    }

    async fn uid(&self, name: &str) -> Result<Option<String>, RegistryError> {
        Self::uid(self, name).await
    }

    fn replaced(&self, name: &str, uid: Option<String>) -> BoxFuture<'static, ()> {
        Self::replaced(self, name, uid)
    }
}
