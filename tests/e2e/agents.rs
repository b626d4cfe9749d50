//! Agents of the tests' own, as which the tests call; no process runs behind them.

use brokkr_apis::work::v1alpha1::{
    Agent, AgentClaim, AgentClaimItem, AgentClaimSpec, AgentCompletion, AgentCompletionItem,
    AgentCompletionSpec, AgentRenewal, AgentRenewalItem, AgentRenewalSpec, CompletionOutcome,
};
use brokkr_tests::{Installation, Kubectl, TestNamespace};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

/// The namespace of the accounts that `roles-agent.yaml` makes.
const ACCOUNTS: &str = "brokkr-agents";

/// Creates an Agent with an account of its own in the namespace.
pub(crate) async fn agent(installation: &Installation, namespace: &TestNamespace, name: &str) -> Kubectl {
    namespace
        .kubectl(&format!("create serviceaccount {name}"))
        .await
        .ok();
    let identity = format!("system:serviceaccount:{}:{name}", namespace.name);
    let object = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent", "metadata": {"name": name},
        "spec": {"identity": identity, "workTypes": ["build"]}});
    installation
        .kubectl()
        .run_with_input("create -f -", &object.to_string())
        .await
        .ok();
    installation.kubectl_as(&namespace.name, name).await
}

/// Lets an account claim in its namespace.
pub(crate) async fn may_claim(namespace: &TestNamespace, account: &str) {
    let command = format!(
        "create rolebinding claims-{account} --clusterrole brokkr-agent-orders --serviceaccount {}:{account}",
        namespace.name
    );
    namespace.kubectl(&command).await.ok();
}

/// An agent with the roles of `roles-agent.yaml`. No process runs for it: the test makes its batch calls.
#[derive(Clone)]
pub(crate) struct BatchAgent {
    pub(crate) name: String,
    agents: Api<Agent>,
    kubectl: Kubectl,
}

impl BatchAgent {
    /// Registers an agent whose name begins with `prefix`.
    pub(crate) async fn register(installation: &Installation, prefix: &str) -> Self {
        let name = format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let kubectl = installation.kubectl();
        let roles = include_str!("../../apiservice/roles-agent.yaml").replace("${AGENT_NAME}", &name);
        kubectl.run_with_input("apply -f -", &roles).await.ok();
        let object = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent", "metadata": {"name": name},
            "spec": {"identity": format!("system:serviceaccount:{ACCOUNTS}:{name}"), "workTypes": ["build"],
                "concurrency": {"total": 100}}});
        kubectl
            .run_with_input("create -f -", &object.to_string())
            .await
            .ok();
        Self {
            agents: Api::all(installation.client_as(ACCOUNTS, &name).await),
            kubectl: installation.kubectl_as(ACCOUNTS, &name).await,
            name,
        }
    }

    /// Lets it claim in a namespace.
    pub(crate) async fn serve(&self, namespace: &TestNamespace) {
        namespace
            .kubectl(&format!(
                "create rolebinding claims-{0} --clusterrole brokkr-agent-orders --serviceaccount {ACCOUNTS}:{0}",
                self.name
            ))
            .await
            .ok();
    }

    /// kubectl with the agent's token.
    pub(crate) fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The same, past kube-apiserver.
    pub(crate) async fn kubectl_of_server(&self, installation: &Installation) -> Kubectl {
        installation.kubectl_of_server_as(ACCOUNTS, &self.name).await
    }

    /// How often its doorbell has rung.
    pub(crate) async fn rings(&self) -> i64 {
        let agent = self.agents.get(&self.name).await.expect("its own object");
        agent.status.map_or(0, |status| status.wake)
    }

    /// Claims what there is, up to `max`.
    pub(crate) async fn claim(&self, max: i64) -> Vec<AgentClaimItem> {
        let claim = AgentClaim {
            spec: AgentClaimSpec {
                holder: "h1".to_owned(),
                max: Some(max),
                ..AgentClaimSpec::default()
            },
            ..AgentClaim::default()
        };
        let answer: AgentClaim = self.create("claim", &claim).await;
        answer.status.unwrap_or_default().items
    }

    /// Renews the claims once, and confirms the end of those that are to be cancelled; gives the others.
    pub(crate) async fn renew_and_confirm(&self, claims: Vec<AgentClaimItem>) -> Vec<AgentClaimItem> {
        let renewal = AgentRenewal {
            spec: AgentRenewalSpec {
                holder: "h1".to_owned(),
                items: claims.iter().map(renewal_of).collect(),
            },
            ..AgentRenewal::default()
        };
        let answer: AgentRenewal = self.create("renew", &renewal).await;
        let results = answer.status.unwrap_or_default().items;
        assert!(results.iter().all(|result| result.code == 201), "{results:#?}");
        let (cancelled, others): (Vec<_>, Vec<_>) = claims
            .into_iter()
            .zip(results)
            .partition(|(_, result)| result.cancel.is_some());
        if !cancelled.is_empty() {
            self.confirm(
                cancelled
                    .iter()
                    .map(|(claim, _)| cancellation_of(claim))
                    .collect(),
            )
            .await;
        }
        others.into_iter().map(|(claim, _)| claim).collect()
    }

    async fn confirm(&self, items: Vec<AgentCompletionItem>) {
        let completion = AgentCompletion {
            spec: AgentCompletionSpec {
                holder: "h1".to_owned(),
                items,
            },
            ..AgentCompletion::default()
        };
        let answer: AgentCompletion = self.create("complete", &completion).await;
        let results = answer.status.unwrap_or_default().items;
        assert!(results.iter().all(|result| result.code == 201), "{results:#?}");
    }

    async fn create<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        subresource: &str,
        body: &T,
    ) -> T {
        self.agents
            .create_subresource(subresource, &self.name, &PostParams::default(), body)
            .await
            .expect("an answer")
    }
}

fn uid(claim: &AgentClaimItem) -> String {
    let order = claim.order.as_ref().expect("the order");
    order.metadata.uid.clone().expect("its uid")
}

fn renewal_of(claim: &AgentClaimItem) -> AgentRenewalItem {
    AgentRenewalItem {
        namespace: claim.namespace.clone(),
        name: claim.name.clone(),
        uid: uid(claim),
        fence: claim.fence.expect("a fence"),
        progress: None,
    }
}

fn cancellation_of(claim: &AgentClaimItem) -> AgentCompletionItem {
    AgentCompletionItem {
        namespace: claim.namespace.clone(),
        name: claim.name.clone(),
        uid: uid(claim),
        fence: claim.fence.expect("a fence"),
        outcome: CompletionOutcome::Cancelled,
        child_confirmed_ended: Some(true),
        ..AgentCompletionItem::default()
    }
}
