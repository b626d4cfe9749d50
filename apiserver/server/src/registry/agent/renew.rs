//! `agents/renew`: an agent renews many claims, and learns everything it holds.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{AgentRenewal, AgentRenewalItem, AgentRenewalResult, AgentRenewalStatus};
use brokkr_apis::work::validation::{validate_agent_renewal, validate_renewal};
use generic_apiserver::registry::{NamedCreater, RegistryError, RequestContext};
use generic_apiserver::storage::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::queue::{Queue, Renewal, RenewedClaim, Renewer};
use crate::registry::caller::agent_named;
use crate::registry::refusals::{item_error, report_error, valid, valid_uid};

/// The subresource.
#[derive(Debug)]
pub struct AgentRenewals {
    queue: Arc<Queue>,
}

impl AgentRenewals {
    /// The subresource on this queue.
    #[must_use]
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl NamedCreater for AgentRenewals {
    type Kind = AgentRenewal;

    fn name(&self) -> &'static str {
        "renew"
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: AgentRenewal,
    ) -> Result<AgentRenewal, RegistryError> {
        valid("AgentRenewal", &parent.name, validate_agent_renewal(&body))?;
        agent_named(self.queue.storage(), ctx, &parent.name).await?;
        let items = if ctx.dry_run {
            Vec::new()
        } else if body.spec.items.is_empty() {
            self.queue.note_heard(&parent.name).await?;
            Vec::new()
        } else {
            self.renew(ctx, parent, &body).await?
        };
        let claims = self.queue.held_claims(&parent.name).await?;
        body.status = Some(AgentRenewalStatus { items, claims });
        Ok(body)
    }
}

impl AgentRenewals {
    /// One result per item, in the order of the items; items that are invalid fail alone.
    async fn renew(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        body: &AgentRenewal,
    ) -> Result<Vec<AgentRenewalResult>, RegistryError> {
        let by = Renewer {
            agent: parent.name.clone(),
            holder: Some(body.spec.holder.clone()),
            user: ctx.user.name.clone(),
        };
        let checked: Vec<_> = body.spec.items.iter().enumerate().map(renewal).collect();
        let renewals: Vec<_> = checked
            .iter()
            .filter_map(|checked| checked.as_ref().ok().cloned())
            .collect();
        let mut renewed = self.queue.renew(&by, &renewals).await?.into_iter();
        let mut results = Vec::with_capacity(checked.len());
        for (item, checked) in body.spec.items.iter().zip(checked) {
            let key = Key::namespaced(item.namespace.clone(), item.name.clone());
            let outcome = checked.and_then(|_| match renewed.next() {
                Some(outcome) => outcome.map_err(|refusal| report_error(refusal, &key)),
                None => Err(RegistryError::Internal(
                    "an item of the renewal has no result".to_owned(),
                )),
            });
            results.push(result(item, outcome));
        }
        Ok(results)
    }
}

fn renewal((index, item): (usize, &AgentRenewalItem)) -> Result<Renewal, RegistryError> {
    let path = format!("spec.items[{index}]");
    let mut spec = item.renewal();
    valid("AgentRenewal", &item.name, validate_renewal(&path, &spec))?;
    spec.uid = valid_uid("AgentRenewal", &item.name, &format!("{path}.uid"), &spec.uid)?;
    Ok(Renewal {
        namespace: item.namespace.clone(),
        name: item.name.clone(),
        spec,
    })
}

fn result(item: &AgentRenewalItem, outcome: Result<RenewedClaim, RegistryError>) -> AgentRenewalResult {
    let mut result = AgentRenewalResult {
        namespace: item.namespace.clone(),
        name: item.name.clone(),
        ..AgentRenewalResult::default()
    };
    match outcome {
        Ok(renewed) => {
            result.code = 201;
            result.expires_at = Some(MicroTime(renewed.expires_at));
            result.cancel = renewed.cancel;
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
