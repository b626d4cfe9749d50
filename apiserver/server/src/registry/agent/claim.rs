//! `agents/claim`: an agent asks for its next orders.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{
    Agent, AgentClaim, AgentClaimItem, AgentClaimSpec, AgentClaimStatus, WorkType,
};
use brokkr_apis::work::validation::validate_agent_claim;
use generic_apiserver::registry::{NamedCreater, RegistryError, RequestContext};
use generic_apiserver::storage::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::{Instant, sleep};

use crate::queue::Queue;
use crate::queue::claim::{ClaimInput, Grant};
use crate::registry::caller::{agent_named, claimable_namespaces};
use crate::registry::refusals::{claim_error, valid};

/// How often a waiting call looks at its bell; in memory.
const BELL_INTERVAL: Duration = Duration::from_millis(100);

/// The subresource.
#[derive(Debug)]
pub struct AgentClaims {
    queue: Arc<Queue>,
}

impl AgentClaims {
    /// The subresource on this queue.
    #[must_use]
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

#[async_trait]
impl NamedCreater for AgentClaims {
    type Kind = AgentClaim;

    fn name(&self) -> &'static str {
        "claim"
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: AgentClaim,
    ) -> Result<AgentClaim, RegistryError> {
        valid("AgentClaim", &parent.name, validate_agent_claim(&body))?;
        let deadline = Instant::now() + wait_time(ctx, &body.spec);
        let grants = loop {
            let bell = bell(&agent_named(self.queue.storage(), ctx, &parent.name).await?);
            let input = self.input(ctx, parent, &body.spec).await?;
            let answer = self.queue.claim(input).await?;
            let grants = answer.map_err(|refusal| claim_error(refusal, parent, &parent.name))?;
            if !grants.is_empty() || !self.rings_before(deadline, ctx, parent, bell).await? {
                break grants;
            }
        };
        body.status = Some(AgentClaimStatus {
            items: grants.into_iter().map(item).collect(),
        });
        Ok(body)
    }
}

impl AgentClaims {
    async fn input(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        spec: &AgentClaimSpec,
    ) -> Result<ClaimInput, RegistryError> {
        let max = spec.max.unwrap_or(1);
        let known = WorkType::ALL.iter().copied();
        let asked: Vec<_> = spec
            .work_types
            .iter()
            .filter_map(|word| WorkType::canonical(word))
            .collect();
        let work_types = known.filter(|known| spec.work_types.is_empty() || asked.contains(known));
        let namespaces = claimable_namespaces(self.queue.storage(), ctx, &parent.name).await?;
        Ok(ClaimInput {
            agent: parent.name.clone(),
            holder: spec.holder.clone(),
            request_id: spec.request_id.clone(),
            body_hash: crate::queue::sha256_hex(&format!("{} {max} {asked:?}", spec.holder)),
            want: usize::try_from(max).unwrap_or(1),
            work_types: work_types.map(|known| known.to_string()).collect(),
            limited_user: namespaces.is_some().then(|| ctx.user.clone()),
            namespaces,
            named: None,
            terminating: self.queue.terminating(),
            dry_run: ctx.dry_run,
        })
    }

    /// Waits for the agent's bell; false when the time is over.
    async fn rings_before(
        &self,
        deadline: Instant,
        ctx: &RequestContext,
        parent: &Key,
        before: i64,
    ) -> Result<bool, RegistryError> {
        while Instant::now() < deadline {
            sleep(BELL_INTERVAL).await;
            if bell(&agent_named(self.queue.storage(), ctx, &parent.name).await?) != before {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Calls through the front proxy never wait: there they would occupy seats of the hub.
fn wait_time(ctx: &RequestContext, spec: &AgentClaimSpec) -> Duration {
    let seconds = spec
        .wait_seconds
        .filter(|_| !ctx.front_proxy && !ctx.dry_run)
        .unwrap_or(0);
    Duration::from_secs(seconds.max(0).unsigned_abs())
}

fn bell(agent: &Agent) -> i64 {
    agent.status.as_ref().map_or(0, |status| status.wake)
}

fn item(grant: Grant) -> AgentClaimItem {
    let mut item = AgentClaimItem {
        namespace: grant.namespace,
        name: grant.name,
        code: 201,
        fence: grant.fence,
        attempt: Some(grant.attempt),
        expires_at: Some(MicroTime(grant.expires_at)),
        unfinished_children: grant.unfinished,
        ..AgentClaimItem::default()
    };
    match grant.order {
        Some(order) => item.order = Some(order),
        // Replayed after the claim had ended: there is nothing to run.
        None => {
            item.code = 409;
            item.reason = "Conflict".to_owned();
            item.message = "the claim that was granted to this requestID is no longer current".to_owned();
        }
    }
    item
}
