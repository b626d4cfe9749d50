//! `workorders/renew`: the holder keeps its claim of one order.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{WorkOrderRenewal, WorkOrderRenewalStatus};
use brokkr_apis::work::validation::validate_renewal;
use generic_apiserver::registry::{NamedCreater, RegistryError, RequestContext};
use generic_apiserver::storage::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::queue::{Queue, Renewal, Renewer};
use crate::registry::caller::required_agent_of;
use crate::registry::refusals::{report_error, valid, valid_uid};

/// The subresource.
#[derive(Debug)]
pub struct WorkOrderRenewals {
    queue: Arc<Queue>,
}

impl WorkOrderRenewals {
    /// The subresource on this queue.
    #[must_use]
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl NamedCreater for WorkOrderRenewals {
    type Kind = WorkOrderRenewal;

    fn name(&self) -> &'static str {
        "renew"
    }

    /// Work that is under way ends in a terminating namespace as anywhere.
    fn refused_in_terminating_namespace(&self) -> bool {
        false
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: WorkOrderRenewal,
    ) -> Result<WorkOrderRenewal, RegistryError> {
        valid(
            "WorkOrderRenewal",
            &parent.name,
            validate_renewal("spec", &body.spec),
        )?;
        let mut spec = body.spec.clone();
        spec.uid = valid_uid("WorkOrderRenewal", &parent.name, "spec.uid", &spec.uid)?;
        let agent = required_agent_of(self.queue.storage(), ctx).await?;
        if ctx.dry_run {
            return Ok(body);
        }
        let by = Renewer {
            agent,
            holder: None,
            user: ctx.user.name.clone(),
        };
        let renewal = Renewal {
            namespace: parent.namespace.clone(),
            name: parent.name.clone(),
            spec,
        };
        let results = self.queue.renew(&by, &[renewal]).await?;
        for result in results {
            let renewed = result.map_err(|refusal| report_error(refusal, parent))?;
            body.status = Some(WorkOrderRenewalStatus {
                expires_at: Some(MicroTime(renewed.expires_at)),
                cancel: renewed.cancel,
            });
        }
        Ok(body)
    }
}
