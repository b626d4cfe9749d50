//! Asks kube-apiserver whether a user may, and remembers the answer for a short time.
//!
//! Upstream concept: `k8s.io/apiserver/plugin/pkg/authorizer/webhook`. Left out: selectors as attributes;
//! they could only narrow what is asked, so leaving them out never allows more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use kube::Client;
use kube::api::PostParams;
use kube::core::Request;
use moka::Expiry;
use moka::future::Cache;
use ring::hmac;
use telemetry::trace_context;

use super::{Attributes, AuthorizationError, Authorizer, Decision};
use crate::authentication::UserInfo;
use crate::server::delegated_metrics::ReviewCalls;
use crate::server::delegation::{self, CacheKey};

/// Decisions remembered at once. An entry is a hash and a short reason, so this is about 2 MiB.
const DECISIONS_MAX: u64 = 16_384;

/// Above this many bytes of what the caller chooses, an answer is not remembered; upstream's number.
const CACHED_ATTRIBUTES_BYTES_MAX: usize = 10_000;

/// Where reviews are created.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// How long answers hold.
#[derive(Clone, Copy, Debug)]
pub struct DecisionLifetimes {
    /// Of an allow; a revoked permission works this much longer. Default 10 s.
    pub allow: Duration,
    /// Of a deny; a new permission takes this long to work. Default 10 s.
    pub deny: Duration,
}

impl Default for DecisionLifetimes {
    fn default() -> Self {
        Self {
            allow: Duration::from_secs(10),
            deny: Duration::from_secs(10),
        }
    }
}

/// Delegates decisions to kube-apiserver; concurrent requests about the same thing share one question.
pub struct SubjectAccessReviewAuthorizer {
    client: Client,
    key: hmac::Key,
    calls: ReviewCalls,
    decisions: Cache<CacheKey, Decision>,
}

impl SubjectAccessReviewAuthorizer {
    /// An authorizer that asks through this client.
    ///
    /// # Errors
    /// When the system has no randomness for the key of the cache.
    pub fn new(client: Client, lifetimes: DecisionLifetimes) -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            client,
            key: delegation::random_key()?,
            calls: ReviewCalls::default(),
            decisions: Cache::builder()
                .max_capacity(DECISIONS_MAX)
                .expire_after(lifetimes)
                .build(),
        })
    }

    /// Counts its calls there.
    pub(crate) fn counting(mut self, calls: ReviewCalls) -> Self {
        self.calls = calls;
        self
    }

    async fn ask(&self, spec: SubjectAccessReviewSpec) -> Result<Decision, AuthorizationError> {
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let undecided = |error: &dyn std::fmt::Display| AuthorizationError(error.to_string());
        let body = serde_json::to_vec(&review).map_err(|error| undecided(&error))?;
        let request = Request::new(REVIEWS)
            .create(&PostParams::default(), body)
            .map_err(|error| undecided(&error))?;
        // kube-apiserver's lines about the review are found by the trace of the request it is about.
        let request = trace_context::carry(request);
        let asked = || self.client.request::<SubjectAccessReview>(request.clone());
        let answer = delegation::with_retry(&self.calls, asked)
            .await
            .map_err(|error| undecided(&error))?;
        judge(answer.status.unwrap_or_default())
    }
}

#[async_trait]
impl Authorizer for SubjectAccessReviewAuthorizer {
    async fn authorize(
        &self,
        user: &UserInfo,
        attributes: &Attributes,
    ) -> Result<Decision, AuthorizationError> {
        let spec = review_spec(user, attributes);
        if chosen_bytes(attributes) > CACHED_ATTRIBUTES_BYTES_MAX {
            return self.ask(spec).await;
        }
        let text = serde_json::to_vec(&spec).map_err(|error| AuthorizationError(error.to_string()))?;
        let key = delegation::cache_key(&self.key, &text);
        self.decisions
            .try_get_with(key, self.ask(spec))
            .await
            .map_err(|error: Arc<AuthorizationError>| (*error).clone())
    }
}

fn judge(status: SubjectAccessReviewStatus) -> Result<Decision, AuthorizationError> {
    let reason = status.reason.unwrap_or_default();
    match (status.allowed, status.denied.unwrap_or(false)) {
        (true, true) => Err(AuthorizationError("the review both allows and denies".to_owned())),
        (true, false) => Ok(Decision::Allow),
        (false, _) => Ok(Decision::Deny(reason)),
    }
}

/// Bytes of the attributes that the caller makes up.
fn chosen_bytes(attributes: &Attributes) -> usize {
    match attributes {
        Attributes::Resource {
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
            name,
        } => [verb, group, version, resource, subresource, namespace, name]
            .iter()
            .map(|text| text.len())
            .sum(),
        Attributes::NonResource { verb, path } => verb.len() + path.len(),
    }
}

fn review_spec(user: &UserInfo, attributes: &Attributes) -> SubjectAccessReviewSpec {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut spec = SubjectAccessReviewSpec {
        user: given(&user.name),
        uid: user.uid.clone(),
        groups: Some(user.groups.clone()),
        extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    match attributes {
        Attributes::Resource {
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
            name,
        } => {
            spec.resource_attributes = Some(ResourceAttributes {
                verb: given(verb),
                group: given(group),
                version: given(version),
                resource: given(resource),
                subresource: given(subresource),
                namespace: given(namespace),
                name: given(name),
                ..ResourceAttributes::default()
            });
        }
        Attributes::NonResource { verb, path } => {
            spec.non_resource_attributes = Some(NonResourceAttributes {
                verb: given(verb),
                path: given(path),
            });
        }
    }
    spec
}

impl Expiry<CacheKey, Decision> for DecisionLifetimes {
    fn expire_after_create(&self, _key: &CacheKey, decision: &Decision, _at: Instant) -> Option<Duration> {
        Some(match decision {
            Decision::Allow => self.allow,
            Decision::Deny(_) => self.deny,
        })
    }
}

impl std::fmt::Debug for SubjectAccessReviewAuthorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubjectAccessReviewAuthorizer")
            .finish_non_exhaustive()
    }
}
