//! What is particular to agents: identity, and who may write which part of the status.

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{Agent, AgentStatus, conditions};
use brokkr_apis::work::{defaults, validation};
use generic_apiserver::registry::error::Cause;
use generic_apiserver::registry::{
    FieldError, RegistryError, RequestContext, ResourceNames, Scope, Strategy, TableColumn,
};
use generic_apiserver::storage::ResourceTable;
use serde_json::Value;

use super::table;
use crate::registry::field_errors;

/// The strategy of agents.
#[derive(Debug, Default)]
pub struct AgentStrategy;

#[async_trait]
impl Strategy for AgentStrategy {
    type Kind = Agent;

    fn names(&self) -> ResourceNames {
        ResourceNames {
            plural: "agents",
            singular: "agent",
            short_names: &[],
            categories: &["brokkr"],
            scope: Scope::Cluster,
        }
    }

    fn table(&self) -> ResourceTable {
        table::table()
    }

    fn default(&self, agent: &mut Agent) {
        defaults::default_agent(agent);
    }

    fn prepare_for_create(&self, _ctx: &RequestContext, agent: &mut Agent) {
        agent.status = Some(AgentStatus::default());
    }

    fn validate(&self, agent: &Agent) -> Vec<FieldError> {
        field_errors(validation::validate_agent(agent))
    }

    fn prepare_for_update(&self, _ctx: &RequestContext, new: &mut Agent, old: &Agent) {
        new.status.clone_from(&old.status);
    }

    fn validate_update(&self, new: &Agent, old: &Agent) -> Vec<FieldError> {
        field_errors(validation::validate_agent_update(new, old))
    }

    fn prepare_for_status_update(&self, _ctx: &RequestContext, new: &mut Agent, old: &Agent) {
        let reported = new.status.take().unwrap_or_default();
        *new = Agent {
            status: Some(merge_report(reported, old.status.clone().unwrap_or_default())),
            ..old.clone()
        };
    }

    fn authorize_status_update(&self, ctx: &RequestContext, old: &Agent) -> Result<(), RegistryError> {
        require_identity(ctx, old)
    }

    fn constraint_error(&self, constraint: &str, agent: &Agent) -> RegistryError {
        match constraint {
            "agents_identity" => identity_taken(agent),
            other => RegistryError::Internal(format!("constraint {other} refused an agent")),
        }
    }

    fn columns(&self) -> &'static [TableColumn] {
        table::PRINTER_COLUMNS
    }

    fn cells(&self, agent: &Agent) -> Vec<Value> {
        table::cells(agent)
    }
}

/// Takes from a report what is the agent's to say; the rest of the status is the server's.
fn merge_report(reported: AgentStatus, present: AgentStatus) -> AgentStatus {
    let mut conditions: Vec<_> = reported
        .conditions
        .into_iter()
        .filter(|condition| condition.type_ != conditions::READY)
        .collect();
    conditions.extend(
        present
            .conditions
            .into_iter()
            .filter(|condition| condition.type_ == conditions::READY),
    );
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    AgentStatus {
        observed_generation: reported.observed_generation,
        capabilities: reported.capabilities,
        version: reported.version,
        conditions,
        ..present
    }
}

/// The identity rule: only the user named by the agent's `spec.identity` acts as that agent.
///
/// # Errors
/// `Forbidden`, naming the identity that may.
pub fn require_identity(ctx: &RequestContext, agent: &Agent) -> Result<(), RegistryError> {
    if ctx.user.name == agent.spec.identity {
        return Ok(());
    }
    let name = agent.metadata.name.as_deref().unwrap_or_default();
    Err(RegistryError::Forbidden {
        message: format!(
            "user {:?} is not agent {name:?}, whose identity is {:?}",
            ctx.user.name, agent.spec.identity
        ),
        causes: vec![Cause {
            reason: "IdentityMismatch".to_owned(),
            message: "only the user in the agent's spec.identity may act as the agent".to_owned(),
            field: "spec.identity".to_owned(),
        }],
    })
}

fn identity_taken(agent: &Agent) -> RegistryError {
    let identity = &agent.spec.identity;
    RegistryError::Invalid {
        kind: "Agent".to_owned(),
        name: agent.metadata.name.clone().unwrap_or_default(),
        errors: vec![FieldError::new(
            "spec.identity",
            generic_apiserver::registry::FieldErrorType::Duplicate,
            format!(
                "Duplicate value: {identity:?}: another agent has this identity; list agents -o wide to find it"
            ),
        )],
    }
}
