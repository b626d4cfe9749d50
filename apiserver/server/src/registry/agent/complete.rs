//! `agents/complete`: an agent reports how many runs ended.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{
    AgentCompletion, AgentCompletionItem, AgentCompletionResult, AgentCompletionStatus,
    WorkOrderCompletionStatus,
};
use brokkr_apis::work::validation::{validate_agent_completion, validate_completion};
use futures::future::join_all;
use generic_apiserver::registry::{NamedCreater, RegistryError, RequestContext};
use generic_apiserver::storage::{Key, StorageError};

use crate::queue::Queue;
use crate::queue::report::{ClaimKey, CompleteInput};
use crate::registry::caller::agent_named;
use crate::registry::refusals::{item_error, report_error, valid, valid_uid};

/// The subresource.
#[derive(Debug)]
pub struct AgentCompletions {
    queue: Arc<Queue>,
}

impl AgentCompletions {
    /// The subresource on this queue.
    #[must_use]
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl NamedCreater for AgentCompletions {
    type Kind = AgentCompletion;

    fn name(&self) -> &'static str {
        "complete"
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: AgentCompletion,
    ) -> Result<AgentCompletion, RegistryError> {
        valid("AgentCompletion", &parent.name, validate_agent_completion(&body))?;
        agent_named(self.queue.storage(), ctx, &parent.name).await?;
        let terminating = self.queue.terminating();
        // Together, so that they share a few transactions; each succeeds or fails alone.
        let items = body.spec.items.iter().enumerate();
        let outcomes = join_all(items.map(async |(index, item)| {
            let path = format!("spec.items[{index}]");
            self.complete(ctx, parent, item, &path, &terminating).await
        }));
        let outcomes = unless_unreachable(outcomes.await)?;
        let items = body.spec.items.iter().zip(outcomes);
        body.status = Some(AgentCompletionStatus {
            items: items.map(|(item, outcome)| result(item, outcome)).collect(),
        });
        Ok(body)
    }
}

impl AgentCompletions {
    async fn complete(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        item: &AgentCompletionItem,
        path: &str,
        terminating: &[String],
    ) -> Result<WorkOrderCompletionStatus, RegistryError> {
        let report = item.completion();
        valid("AgentCompletion", &item.name, validate_completion(path, &report))?;
        let key = ClaimKey {
            uid: valid_uid("AgentCompletion", &item.name, &format!("{path}.uid"), &item.uid)?,
            fence: Some(item.fence),
            namespace: item.namespace.clone(),
            name: item.name.clone(),
            agent: Some(parent.name.clone()),
            user: ctx.user.name.clone(),
            namespace_terminating: terminating.contains(&item.namespace),
            dry_run: ctx.dry_run,
        };
        let order = Key::namespaced(item.namespace.clone(), item.name.clone());
        let completed = self.queue.complete(CompleteInput { key, report }).await?;
        completed.map_err(|refusal| report_error(refusal, &order))
    }
}

/// The outcomes of the items, or the one answer to all of them: without a database none was looked at,
/// and the request may be sent again as it is.
fn unless_unreachable<T>(
    mut outcomes: Vec<Result<T, RegistryError>>,
) -> Result<Vec<Result<T, RegistryError>>, RegistryError> {
    let unreachable = |outcome: &Result<T, RegistryError>| {
        matches!(
            outcome,
            Err(RegistryError::Storage(
                StorageError::Unreachable { .. } | StorageError::TimedOut(_)
            ))
        )
    };
    if !outcomes.is_empty() && outcomes.iter().all(unreachable) {
        outcomes.remove(0)?;
    }
    Ok(outcomes)
}

fn result(
    item: &AgentCompletionItem,
    outcome: Result<WorkOrderCompletionStatus, RegistryError>,
) -> AgentCompletionResult {
    let mut result = AgentCompletionResult {
        namespace: item.namespace.clone(),
        name: item.name.clone(),
        ..AgentCompletionResult::default()
    };
    match outcome {
        Ok(completed) => {
            result.code = 201;
            result.phase = completed.phase;
            result.next_retry_after = completed.next_retry_after;
            result.log_name = completed.log_name;
        }
        Err(error) => {
            let error = item_error(error, &item.name);
            result.code = error.code.unwrap_or_default();
            result.reason = error.reason.unwrap_or_default();
            result.message = error.message.unwrap_or_default();
            result.details = error.details;
        }
    }
    result
}
