//! Which agent a caller is, and where it may claim: authorization beyond RBAC.
//!
//! RBAC has been asked for the verb itself before. Everything here happens before the version lock.

use std::collections::BTreeSet;

use brokkr_apis::work::v1alpha1::Agent;
use generic_apiserver::mutant;
use generic_apiserver::registry::error::Cause;
use generic_apiserver::registry::{RegistryError, RequestContext};
use generic_apiserver::storage::{Freshness, Key, Storage, StorageError};

use super::agent::table::AGENTS;
use crate::queue::claim;

/// Namespaces with orders that the agent is targeted by and that nobody holds.
const WAITING_NAMESPACES: &str = "
select distinct o.namespace
from work.target_set_agents t
cross join lateral (
    select o.namespace from work.work_orders o
    where o.target_set_id = t.target_set_id and o.status = 'PENDING' and not o.suspended and not o.selective
    union all
    select o.namespace from work.work_orders o
    where o.target_set_id = t.target_set_id and o.status = 'PENDING' and not o.suspended and o.selective
) o
where t.agent_name = $1
order by o.namespace";

/// The Agent of that name, if the caller is its identity.
///
/// # Errors
/// `NotFound` when there is no such Agent, `Forbidden` when the caller is another user.
pub(super) async fn agent_named(
    storage: &Storage,
    ctx: &RequestContext,
    name: &str,
) -> Result<Agent, RegistryError> {
    let agent = find(storage, name).await?;
    if agent.spec.identity == ctx.user.name || mutant!("i7-any-user-is-the-agent") {
        return Ok(agent);
    }
    Err(forbidden(
        "NotAgentIdentity",
        format!(
            "user {:?} is not the identity of agent {name:?}; call with the account that spec.identity of the agent names",
            ctx.user.name
        ),
    ))
}

/// An agent that has just been created may not have reached the cache yet.
async fn find(storage: &Storage, name: &str) -> Result<Agent, RegistryError> {
    let key = Key::cluster(name);
    let stored = match storage.get(AGENTS, &key, Freshness::Any).await {
        Err(StorageError::NotFound(_)) => storage.get(AGENTS, &key, Freshness::Latest).await,
        found => found,
    };
    let stored = match stored {
        Err(StorageError::NotFound(_)) => {
            return Err(RegistryError::NotFound {
                group: super::GROUP.to_owned(),
                resource: AGENTS.resource.to_owned(),
                name: name.to_owned(),
            });
        }
        other => other?,
    };
    serde_json::from_slice(&stored.encoded)
        .map_err(|error| StorageError::Corrupt(format!("agent {name:?}: {error}")).into())
}

/// The name of the Agent whose identity the caller is, if it is one.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn agent_of(
    storage: &Storage,
    ctx: &RequestContext,
) -> Result<Option<String>, RegistryError> {
    let query = sqlx::query_scalar("select name from work.agents where identity = $1").bind(&ctx.user.name);
    Ok(query
        .fetch_optional(storage.pool())
        .await
        .map_err(StorageError::from)?)
}

/// As [`agent_of`], for requests that only an agent may make.
///
/// # Errors
/// `Forbidden` when the caller is no agent.
pub(super) async fn required_agent_of(
    storage: &Storage,
    ctx: &RequestContext,
) -> Result<String, RegistryError> {
    agent_of(storage, ctx).await?.ok_or_else(|| {
        let message = format!(
            "user {:?} is the identity of no agent; only the agent that holds an order may do this",
            ctx.user.name
        );
        forbidden("NotAgentIdentity", message)
    })
}

/// The namespaces in which the caller may claim: `None` = all; else those with orders waiting for the agent.
///
/// # Errors
/// When a review or the database does not answer.
pub(super) async fn claimable_namespaces(
    storage: &Storage,
    ctx: &RequestContext,
    agent: &str,
) -> Result<Option<Vec<String>>, RegistryError> {
    if may_claim(ctx, "").await? || mutant!("i7-claimed-without-authorization") {
        return Ok(None);
    }
    let query = sqlx::query_scalar(WAITING_NAMESPACES).bind(agent);
    let waiting: BTreeSet<String> = query
        .fetch_all(storage.pool())
        .await
        .map_err(StorageError::from)?
        .into_iter()
        .collect();
    let mut allowed = Vec::new();
    for namespace in waiting {
        if may_claim(ctx, &namespace).await? {
            allowed.push(namespace);
        }
    }
    Ok(Some(allowed))
}

async fn may_claim(ctx: &RequestContext, namespace: &str) -> Result<bool, RegistryError> {
    Ok(claim::may_claim(ctx.authorizer.as_ref(), &ctx.user, namespace).await?)
}

/// A refusal by a rule of the claim protocol.
pub(super) fn forbidden(reason: &str, message: String) -> RegistryError {
    let cause = Cause {
        reason: reason.to_owned(),
        message: message.clone(),
        field: String::new(),
    };
    RegistryError::Forbidden {
        message,
        causes: vec![cause],
    }
}
