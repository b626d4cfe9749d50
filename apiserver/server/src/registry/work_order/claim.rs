//! `workorders/claim`: an agent claims one order by name.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{WorkOrderClaim, WorkOrderClaimStatus, WorkType};
use brokkr_apis::work::validation::validate_work_order_claim;
use generic_apiserver::registry::{NamedCreater, RegistryError, RequestContext};
use generic_apiserver::storage::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::queue::Queue;
use crate::queue::claim::{ClaimInput, NamedClaim};
use crate::registry::caller::agent_named;
use crate::registry::refusals::{claim_error, valid};

/// The subresource.
#[derive(Debug)]
pub struct WorkOrderClaims {
    queue: Arc<Queue>,
}

impl WorkOrderClaims {
    /// The subresource on this queue.
    #[must_use]
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl NamedCreater for WorkOrderClaims {
    type Kind = WorkOrderClaim;

    fn name(&self) -> &'static str {
        "claim"
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: WorkOrderClaim,
    ) -> Result<WorkOrderClaim, RegistryError> {
        valid("WorkOrderClaim", &parent.name, validate_work_order_claim(&body))?;
        agent_named(self.queue.storage(), ctx, &body.spec.agent).await?;
        let input = self.input(ctx, parent, &body);
        let grants = self
            .queue
            .claim(input)
            .await?
            .map_err(|refusal| claim_error(refusal, parent, &body.spec.agent))?;
        body.status = grants.into_iter().next().map(|grant| WorkOrderClaimStatus {
            fence: grant.fence,
            attempt: Some(grant.attempt),
            expires_at: Some(MicroTime(grant.expires_at)),
            order: grant.order,
            unfinished_children: grant.unfinished,
        });
        Ok(body)
    }
}

impl WorkOrderClaims {
    fn input(&self, ctx: &RequestContext, parent: &Key, body: &WorkOrderClaim) -> ClaimInput {
        let spec = &body.spec;
        ClaimInput {
            agent: spec.agent.clone(),
            holder: spec.holder.clone(),
            request_id: spec.request_id.clone(),
            body_hash: crate::queue::sha256_hex(&format!("{parent} {} {}", spec.holder, spec.takeover)),
            want: 1,
            work_types: WorkType::ALL.iter().map(ToString::to_string).collect(),
            namespaces: None,
            limited_user: None,
            named: Some(NamedClaim {
                namespace: parent.namespace.clone(),
                name: parent.name.clone(),
                takeover: spec.takeover,
            }),
            terminating: self.queue.terminating(),
            dry_run: ctx.dry_run,
        }
    }
}
