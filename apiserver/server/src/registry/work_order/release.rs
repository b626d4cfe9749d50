//! `workorders/release`: the holder gives its claim back, or an operator takes it by force.
//!
//! RBAC decides who is an operator. An agent releases by force only what it holds itself: the role of
//! agents allows `workorders/release`, and no agent may take another's work.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{WorkOrderRelease, WorkOrderReleaseStatus};
use brokkr_apis::work::validation::validate_release;
use generic_apiserver::registry::{NamedCreater, RegistryError, RequestContext};
use generic_apiserver::storage::Key;

use crate::queue::Queue;
use crate::queue::report::{ClaimKey, ReleaseInput};
use crate::registry::caller::{agent_of, required_agent_of};
use crate::registry::refusals::{report_error, valid, valid_uid};

/// The subresource.
#[derive(Debug)]
pub struct WorkOrderReleases {
    queue: Arc<Queue>,
}

impl WorkOrderReleases {
    /// The subresource on this queue.
    #[must_use]
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl NamedCreater for WorkOrderReleases {
    type Kind = WorkOrderRelease;

    fn name(&self) -> &'static str {
        "release"
    }

    /// Work that is under way ends in a terminating namespace as anywhere.
    fn refused_in_terminating_namespace(&self) -> bool {
        false
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: WorkOrderRelease,
    ) -> Result<WorkOrderRelease, RegistryError> {
        valid("WorkOrderRelease", &parent.name, validate_release(&body))?;
        let uid = valid_uid("WorkOrderRelease", &parent.name, "spec.uid", &body.spec.uid)?;
        let storage = self.queue.storage();
        let agent = match body.spec.force {
            true => agent_of(storage, ctx).await?,
            false => Some(required_agent_of(storage, ctx).await?),
        };
        let key = ClaimKey {
            uid,
            fence: body.spec.fence,
            namespace: parent.namespace.clone(),
            name: parent.name.clone(),
            agent,
            user: ctx.user.name.clone(),
            namespace_terminating: self.queue.terminating().contains(&parent.namespace),
            dry_run: ctx.dry_run,
        };
        let input = ReleaseInput {
            key,
            reason: body.spec.reason.clone(),
            force: body.spec.force,
        };
        let phase = self
            .queue
            .release(input)
            .await?
            .map_err(|refusal| report_error(refusal, parent))?;
        body.status = Some(WorkOrderReleaseStatus { phase: Some(phase) });
        Ok(body)
    }
}
