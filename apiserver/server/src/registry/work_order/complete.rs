//! `workorders/complete`: the holder reports how the run of one order ended.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::WorkOrderCompletion;
use brokkr_apis::work::validation::validate_completion;
use generic_apiserver::registry::{NamedCreater, RegistryError, RequestContext};
use generic_apiserver::storage::Key;

use crate::queue::Queue;
use crate::queue::report::{ClaimKey, CompleteInput};
use crate::registry::caller::required_agent_of;
use crate::registry::refusals::{report_error, valid, valid_uid};

/// The subresource.
#[derive(Debug)]
pub struct WorkOrderCompletions {
    queue: Arc<Queue>,
}

impl WorkOrderCompletions {
    /// The subresource on this queue.
    #[must_use]
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl NamedCreater for WorkOrderCompletions {
    type Kind = WorkOrderCompletion;

    fn name(&self) -> &'static str {
        "complete"
    }

    /// Work that is under way ends in a terminating namespace as anywhere.
    fn refused_in_terminating_namespace(&self) -> bool {
        false
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: WorkOrderCompletion,
    ) -> Result<WorkOrderCompletion, RegistryError> {
        valid(
            "WorkOrderCompletion",
            &parent.name,
            validate_completion("spec", &body.spec),
        )?;
        let uid = valid_uid("WorkOrderCompletion", &parent.name, "spec.uid", &body.spec.uid)?;
        let agent = required_agent_of(self.queue.storage(), ctx).await?;
        let key = ClaimKey {
            uid,
            fence: Some(body.spec.fence),
            namespace: parent.namespace.clone(),
            name: parent.name.clone(),
            agent: Some(agent),
            user: ctx.user.name.clone(),
            namespace_terminating: self.queue.terminating().contains(&parent.namespace),
            dry_run: ctx.dry_run,
        };
        let completed = self
            .queue
            .complete(CompleteInput {
                key,
                report: body.spec.clone(),
            })
            .await?;
        body.status = Some(completed.map_err(|refusal| report_error(refusal, parent))?);
        Ok(body)
    }
}
