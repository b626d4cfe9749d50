//! The hub, as an agent calls it: the claim protocol and the agent's own object. Nothing is tried again here.

use std::time::{Duration, Instant};

use brokkr_apis::work::v1alpha1::{
    API_VERSION, Agent, AgentClaim, AgentClaimItem, AgentClaimSpec, AgentCompletion, AgentCompletionItem,
    AgentCompletionResult, AgentCompletionSpec, AgentRenewal, AgentRenewalItem, AgentRenewalSpec,
    AgentRenewalStatus, Fence, WorkOrderClaim, WorkOrderClaimSpec, WorkOrderClaimStatus,
    WorkOrderCompletionSpec, WorkOrderRelease, WorkOrderReleaseSpec, WorkType,
};
use http::{Method, Request};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client, Config, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use telemetry::trace_context;

use crate::metrics::{AgentMetrics, HubResult};

/// How long one call may take. Half a lease of the shortest length allowed, so that a call that hangs does not cost it.
const CALL_TIMEOUT: Duration = Duration::from_secs(7);

/// The hub, called as one agent by one process.
#[derive(Clone)]
pub struct Hub {
    client: Client,
    agent: String,
    holder: String,
    metrics: AgentMetrics,
}

/// Why the hub did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// It decided so, and asking again changes nothing by itself.
    #[error("{message}")]
    Refused {
        /// The HTTP status code.
        code: u16,
        /// What was wrong and what to do.
        message: String,
    },
    /// It could not be asked, or could not answer. Asking again is right.
    #[error("the hub is not available: {0}")]
    Unavailable(String),
}

impl HubError {
    /// Whether the hub refused because the claim is not, or no longer, this process's.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code: 404 | 409, .. })
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("agent", &self.agent)
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// Prepares the connection; nobody is called yet.
    ///
    /// # Errors
    ///
    /// If certificates or credentials of the configuration cannot be used.
    pub fn new(config: Config, agent: &str, holder: &str) -> Result<Self, HubError> {
        let client = Client::try_from(config).map_err(|error| HubError::Unavailable(error.to_string()))?;
        Ok(Self {
            client,
            agent: agent.to_owned(),
            holder: holder.to_owned(),
            metrics: AgentMetrics::default(),
        })
    }

    /// What the agent counts, its calls of the hub among it.
    pub fn metrics(&self) -> &AgentMetrics {
        &self.metrics
    }

    /// The name of the agent.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The id of this process.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The agents; this one may read its own only.
    pub fn agents(&self) -> Api<Agent> {
        Api::all(self.client.clone())
    }

    /// Claims up to `max` orders of the given types. Repeating a request id gets the answer of the first time.
    ///
    /// # Errors
    ///
    /// If the request as a whole was not answered; items fail alone.
    pub async fn claim(
        &self,
        request_id: &str,
        max: usize,
        work_types: &[WorkType],
    ) -> Result<Vec<AgentClaimItem>, HubError> {
        let claim = AgentClaim {
            metadata: named(&self.agent),
            spec: AgentClaimSpec {
                holder: self.holder.clone(),
                request_id: Some(request_id.to_owned()),
                max: i64::try_from(max).ok(),
                work_types: work_types.iter().map(ToString::to_string).collect(),
                wait_seconds: None,
            },
            status: None,
            ..AgentClaim::default()
        };
        let answer: AgentClaim = self.create("claim", &self.agent_path("claim"), &claim).await?;
        Ok(answer.status.unwrap_or_default().items)
    }

    /// Claims one order by name: gets back a claim of this process, or with `takeover` one of an earlier process.
    ///
    /// # Errors
    ///
    /// `Refused` with 409 if the order is held by another agent, not due or finished.
    pub async fn claim_order(
        &self,
        namespace: &str,
        name: &str,
        takeover: bool,
    ) -> Result<WorkOrderClaimStatus, HubError> {
        let claim = WorkOrderClaim {
            metadata: in_namespace(namespace, name),
            spec: WorkOrderClaimSpec {
                agent: self.agent.clone(),
                holder: self.holder.clone(),
                request_id: None,
                takeover,
            },
            ..WorkOrderClaim::default()
        };
        let answer: WorkOrderClaim = self
            .create("claim-order", &order_path(namespace, name, "claim"), &claim)
            .await?;
        Ok(answer.status.unwrap_or_default())
    }

    /// Renews up to 100 claims and learns which claims this agent holds in all.
    ///
    /// # Errors
    ///
    /// If the request as a whole was not answered; items fail alone.
    pub async fn renew(&self, items: &[AgentRenewalItem]) -> Result<AgentRenewalStatus, HubError> {
        let renewal = AgentRenewal {
            metadata: named(&self.agent),
            spec: AgentRenewalSpec {
                holder: self.holder.clone(),
                items: items.to_vec(),
            },
            ..AgentRenewal::default()
        };
        let answer: AgentRenewal = self.create("renew", &self.agent_path("renew"), &renewal).await?;
        Ok(answer.status.unwrap_or_default())
    }

    /// Reports how an order ended. Repeating an accepted report gets the same answer.
    ///
    /// The fence alone entitles to it: in a namespace that is being deleted, the binding that let this agent claim there
    /// may have gone before the order.
    ///
    /// # Errors
    ///
    /// `Refused` with 409 if the fence is spent; the hub then keeps the report as a late one. While there is no Agent of
    /// this name, `Unavailable`.
    pub async fn complete(
        &self,
        namespace: &str,
        name: &str,
        report: &WorkOrderCompletionSpec,
    ) -> Result<AgentCompletionResult, HubError> {
        let completion = AgentCompletion {
            metadata: named(&self.agent),
            spec: AgentCompletionSpec {
                holder: self.holder.clone(),
                items: vec![AgentCompletionItem::of(namespace, name, report.clone())],
            },
            ..AgentCompletion::default()
        };
        let answer: AgentCompletion = self
            .create("complete", &self.agent_path("complete"), &completion)
            .await
            .map_err(about_no_claim)?;
        let results = answer.status.unwrap_or_default().items;
        let result = results
            .into_iter()
            .next()
            .ok_or_else(|| HubError::Unavailable("the answer to the report is empty".to_owned()))?;
        match u16::try_from(result.code) {
            Ok(200..300) => Ok(result),
            Ok(code @ 400..500) if code != 429 => Err(HubError::Refused {
                code,
                message: result.message,
            }),
            _ => Err(HubError::Unavailable(result.message)),
        }
    }

    /// Gives an order back that was not begun.
    ///
    /// # Errors
    ///
    /// `Refused` with 409 if the fence is spent.
    pub async fn release(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        fence: Fence,
        reason: &str,
    ) -> Result<(), HubError> {
        let release = WorkOrderRelease {
            metadata: in_namespace(namespace, name),
            spec: WorkOrderReleaseSpec {
                uid: uid.to_owned(),
                fence: Some(fence),
                reason: reason.to_owned(),
                force: false,
            },
            ..WorkOrderRelease::default()
        };
        self.create::<_, WorkOrderRelease>("release", &order_path(namespace, name, "release"), &release)
            .await
            .map(drop)
    }

    /// Reports on the agent itself.
    ///
    /// # Errors
    ///
    /// If the agent is not registered, or the caller is not its identity.
    pub async fn report_status(&self, status: &Value) -> Result<Agent, HubError> {
        let patch = serde_json::json!({"status": status});
        let request = request(
            Method::PATCH,
            &self.agent_path("status"),
            "application/merge-patch+json",
            &patch,
        )?;
        self.send("status", request).await
    }

    fn agent_path(&self, subresource: &str) -> String {
        format!("/apis/{API_VERSION}/agents/{}/{subresource}", self.agent)
    }

    async fn create<B: Serialize, T: DeserializeOwned>(
        &self,
        call: &'static str,
        path: &str,
        body: &B,
    ) -> Result<T, HubError> {
        self.send(call, request(Method::POST, path, "application/json", body)?)
            .await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        call: &'static str,
        request: Request<Vec<u8>>,
    ) -> Result<T, HubError> {
        let begun = Instant::now();
        let answer = self.answer(request).await;
        let result = match &answer {
            Ok(_) => HubResult::Answered,
            Err(HubError::Refused { .. }) => HubResult::Refused,
            Err(HubError::Unavailable(_)) => HubResult::Unavailable,
        };
        self.metrics.called(call, result, begun);
        answer
    }

    async fn answer<T: DeserializeOwned>(&self, request: Request<Vec<u8>>) -> Result<T, HubError> {
        match tokio::time::timeout(CALL_TIMEOUT, self.client.request(trace_context::carry(request))).await {
            Ok(answer) => answer.map_err(HubError::from),
            Err(_) => Err(HubError::Unavailable(format!(
                "no answer in {} s",
                CALL_TIMEOUT.as_secs()
            ))),
        }
    }
}

/// A refusal of a batch as a whole says nothing about the claims in it: the Agent object is missing, perhaps only while
/// it is being replaced.
fn about_no_claim(error: HubError) -> HubError {
    if error.is_gone() {
        return HubError::Unavailable(error.to_string());
    }
    error
}

fn request<B: Serialize>(
    method: Method,
    path: &str,
    content_type: &str,
    body: &B,
) -> Result<Request<Vec<u8>>, HubError> {
    // Both can fail only for names that are no path, which the hub would have refused.
    let refused = |message: String| HubError::Refused { code: 400, message };
    let body = serde_json::to_vec(body).map_err(|error| refused(error.to_string()))?;
    Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, content_type)
        .header(http::header::ACCEPT, "application/json")
        .body(body)
        .map_err(|error| refused(error.to_string()))
}

fn order_path(namespace: &str, name: &str, subresource: &str) -> String {
    format!("/apis/{API_VERSION}/namespaces/{namespace}/workorders/{name}/{subresource}")
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn in_namespace(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        ..named(name)
    }
}

impl From<Error> for HubError {
    fn from(error: Error) -> Self {
        match error {
            // kube-apiserver itself answers 404 with a plain text while the group is not served, and 401 while a
            // token is being replaced. Neither says anything about an order.
            Error::Api(status)
                if matches!(status.code, 401 | 408 | 429 | 500..) || !is_of_the_group(&status) =>
            {
                Self::Unavailable(status.message.clone())
            }
            Error::Api(status) => Self::Refused {
                code: status.code,
                message: status.message.clone(),
            },
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Whether a 404 comes from Brokkr Work: it then names what was not found.
fn is_of_the_group(status: &kube::core::Status) -> bool {
    status.code != 404
        || status
            .details
            .as_ref()
            .is_some_and(|details| !details.name.is_empty())
}
