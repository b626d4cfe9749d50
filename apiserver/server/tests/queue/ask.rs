//! What agents ask and report in these tests, and who asks.

use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{CompletionOutcome, Fence, TargetTerm, WorkOrderCompletionSpec, WorkType};
use brokkr_apiserver::queue::claim::{ClaimInput, Grant, NamedClaim};
use brokkr_apiserver::queue::report::{ClaimKey, CompleteInput};
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use generic_apiserver::registry::RequestContext;

use crate::fixture::TEAM;

pub(crate) fn batch(agent: &str, want: usize) -> ClaimInput {
    ClaimInput {
        agent: agent.to_owned(),
        holder: "p1".to_owned(),
        request_id: None,
        body_hash: format!("batch of {want}"),
        want,
        work_types: WorkType::ALL.iter().map(ToString::to_string).collect(),
        namespaces: None,
        limited_user: None,
        named: None,
        terminating: Vec::new(),
        dry_run: false,
    }
}

pub(crate) fn named(agent: &str, holder: &str, name: &str) -> ClaimInput {
    let named = NamedClaim {
        namespace: TEAM.to_owned(),
        name: name.to_owned(),
        takeover: false,
    };
    ClaimInput {
        holder: holder.to_owned(),
        body_hash: format!("{holder} {name}"),
        named: Some(named),
        ..batch(agent, 1)
    }
}

pub(crate) fn key(grant: &Grant, agent: &str) -> ClaimKey {
    ClaimKey {
        uid: grant.uid.clone(),
        fence: grant.fence,
        namespace: grant.namespace.clone(),
        name: grant.name.clone(),
        agent: Some(agent.to_owned()),
        user: agent.to_owned(),
        namespace_terminating: false,
        dry_run: false,
    }
}

pub(crate) fn completion(grant: &Grant, agent: &str, report: WorkOrderCompletionSpec) -> CompleteInput {
    CompleteInput {
        key: key(grant, agent),
        report,
    }
}

pub(crate) fn success(grant: &Grant) -> WorkOrderCompletionSpec {
    WorkOrderCompletionSpec {
        uid: grant.uid.clone(),
        fence: grant.fence.unwrap_or(Fence(0)),
        outcome: CompletionOutcome::Succeeded,
        ..WorkOrderCompletionSpec::default()
    }
}

pub(crate) fn failure(grant: &Grant, reason: &str) -> WorkOrderCompletionSpec {
    WorkOrderCompletionSpec {
        outcome: CompletionOutcome::Failed,
        reason: Some(reason.to_owned()),
        execution_started: Some(true),
        child_confirmed_ended: Some(true),
        ..success(grant)
    }
}

/// A term for agents with this label.
pub(crate) fn labelled(key: &str, value: &str) -> TargetTerm {
    TargetTerm {
        match_labels: [(key.to_owned(), value.to_owned())].into(),
        ..TargetTerm::default()
    }
}

/// Allows what is asked in the namespaces listed; the empty one stands for all.
#[derive(Debug)]
pub(crate) struct AllowIn(pub(crate) Vec<&'static str>);

#[async_trait]
impl Authorizer for AllowIn {
    async fn authorize(&self, _: &UserInfo, attributes: &Attributes) -> Result<Decision, AuthorizationError> {
        let Attributes::Resource { namespace, .. } = attributes else {
            return Ok(Decision::Allow);
        };
        let allowed = self.0.contains(&"") || self.0.contains(&namespace.as_str());
        Ok(if allowed {
            Decision::Allow
        } else {
            Decision::Deny("not in this namespace".to_owned())
        })
    }
}

/// A request of this user, who may claim in these namespaces.
pub(crate) fn context(user: &str, namespaces: Vec<&'static str>) -> RequestContext {
    let user = UserInfo {
        name: user.to_owned(),
        ..UserInfo::default()
    };
    RequestContext::new(user, Arc::new(AllowIn(namespaces)))
}
