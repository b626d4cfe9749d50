//! `agents/pending`: the orders the agent could claim now, at most 100.

use std::sync::Arc;

use async_trait::async_trait;
use generic_apiserver::registry::{NamedGetter, RegistryError, RequestContext};
use generic_apiserver::storage::{Key, StorageError};
use serde_json::{Value, json};

use crate::queue::Queue;
use crate::registry::caller::{agent_named, claimable_namespaces};

/// The subresource.
#[derive(Debug)]
pub struct PendingOrders {
    queue: Arc<Queue>,
}

impl PendingOrders {
    /// The subresource on this queue.
    #[must_use]
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl NamedGetter for PendingOrders {
    fn name(&self) -> &'static str {
        "pending"
    }

    fn kind(&self) -> &'static str {
        "WorkOrderList"
    }

    async fn get(&self, ctx: &RequestContext, parent: &Key) -> Result<Value, RegistryError> {
        let storage = self.queue.storage();
        agent_named(storage, ctx, &parent.name).await?;
        let namespaces = claimable_namespaces(storage, ctx, &parent.name).await?;
        let version = storage.current_version().await?;
        let query = sqlx::query_scalar(include_str!("pending.sql"))
            .bind(&parent.name)
            .bind(namespaces)
            .bind(self.queue.terminating());
        let rows: Vec<String> = query
            .fetch_all(storage.pool())
            .await
            .map_err(StorageError::from)?;
        let items = rows.iter().map(|row| item(row)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({
            "apiVersion": brokkr_apis::work::v1alpha1::API_VERSION, "kind": self.kind(),
            "metadata": {"resourceVersion": version.to_string()}, "items": items,
        }))
    }
}

fn item(row: &str) -> Result<Value, StorageError> {
    serde_json::from_str(row).map_err(|error| StorageError::Corrupt(format!("pending order: {error}")))
}
