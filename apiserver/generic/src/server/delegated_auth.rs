//! Authentication and authorization as a server behind kube-apiserver needs them: everything that is not
//! proved by a certificate is asked of kube-apiserver.
//!
//! Upstream concept: `DelegatingAuthenticationOptions` and `DelegatingAuthorizationOptions`.

use std::sync::Arc;

use kube::Client;
use telemetry::MetricsRegistry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::delegated_metrics::DelegatedMetrics;
use crate::authentication::config_map::{self, ConfigMapError};
use crate::authentication::{
    AuthenticationConfig, Authenticator, ClientCert, RequestHeader, RequestHeaderConfig,
    SharedAuthenticationConfig, TokenReviewAuthenticator, Union,
};
use crate::authorization::subject_access_review::DecisionLifetimes;
use crate::authorization::{Authorizer, LocallyAllowed, SubjectAccessReviewAuthorizer};

/// Whether kube-apiserver is asked whom to believe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// Its answer is needed to begin.
    #[default]
    Required,
    /// Until it has answered, nobody is believed by certificate or by headers but by settings of the server's own.
    Tolerated,
    /// It is never asked: settings of the server's own count alone.
    Skipped,
}

/// What may be chosen.
#[derive(Clone, Debug, Default)]
pub struct DelegatedAuthOptions {
    /// Audiences that tokens must be meant for; none = those of kube-apiserver.
    pub api_audiences: Vec<String>,
    /// Whether kube-apiserver is asked whom to believe. Default: its answer is needed.
    pub lookup: Lookup,
    /// How to believe the front proxy, in place of what kube-apiserver publishes about it. Default: as published.
    pub front_proxy: Option<RequestHeaderConfig>,
    /// How long answers about permissions hold.
    pub decisions: DecisionLifetimes,
}

/// The production set: front proxy, client certificate, token, anonymous; then SubjectAccessReview.
pub struct DelegatedAuth {
    /// Finds out who asks.
    pub authenticator: Arc<dyn Authenticator>,
    /// Decides whether they may.
    pub authorizer: Arc<dyn Authorizer>,
    following: JoinHandle<()>,
    metrics: DelegatedMetrics,
}

/// The set cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DelegatedAuthError {
    /// What kube-apiserver publishes cannot be used.
    #[error(transparent)]
    ConfigMap(#[from] ConfigMapError),
    /// The keys of the caches cannot be made.
    #[error("the system has no randomness")]
    Randomness,
}

impl DelegatedAuth {
    /// Loads what kube-apiserver publishes and follows it until `shutdown`, unless it is not to be asked.
    ///
    /// # Errors
    /// When it cannot be loaded; the error says which RoleBinding or flag is missing.
    pub async fn connect(
        client: Client,
        options: DelegatedAuthOptions,
        shutdown: CancellationToken,
    ) -> Result<Self, DelegatedAuthError> {
        let own = options.front_proxy;
        let first = first(&client, options.lookup, own.as_ref()).await?;
        let config = SharedAuthenticationConfig::new(first);
        let metrics = DelegatedMetrics::default();
        let tokens = TokenReviewAuthenticator::new(client.clone(), options.api_audiences)
            .map_err(|_| DelegatedAuthError::Randomness)?
            .counting(metrics.token_reviews.clone());
        let reviews = SubjectAccessReviewAuthorizer::new(client.clone(), options.decisions)
            .map_err(|_| DelegatedAuthError::Randomness)?
            .counting(metrics.access_reviews.clone());
        let certificates = ClientCert::new(config.clone()).counting(metrics.certificates.clone());
        let union = Union::new(vec![
            Arc::new(RequestHeader::new(config.clone())),
            Arc::new(certificates),
            Arc::new(tokens),
        ]);
        Ok(Self {
            authenticator: Arc::new(union.or_anonymous()),
            authorizer: Arc::new(LocallyAllowed::or(reviews)),
            following: match options.lookup {
                Lookup::Skipped => tokio::spawn(std::future::ready(())),
                _ => tokio::spawn(config_map::follow(client, config, own, shutdown)),
            },
            metrics,
        })
    }

    /// Adds what the parts count: reviews by the code of their answer, and how long client certificates last.
    pub fn register_metrics(&self, registry: &mut MetricsRegistry) {
        self.metrics.register(registry);
    }

    /// Returns when nothing is followed any more, after `shutdown` was cancelled.
    pub async fn stopped(self) {
        if let Err(error) = self.following.await {
            tracing::error!(%error, "following the authentication configuration failed");
        }
    }
}

/// Whom to believe at first.
async fn first(
    client: &Client,
    lookup: Lookup,
    own: Option<&RequestHeaderConfig>,
) -> Result<AuthenticationConfig, ConfigMapError> {
    let unpublished = AuthenticationConfig {
        client_roots: None,
        request_header: own.cloned(),
    };
    if lookup == Lookup::Skipped {
        return Ok(unpublished);
    }
    match config_map::load(client, own).await {
        Err(error @ (ConfigMapError::Forbidden(_) | ConfigMapError::Unreachable(_)))
            if lookup == Lookup::Tolerated =>
        {
            tracing::warn!(%error, "until it can be read, many requests are anonymous");
            Ok(unpublished)
        }
        loaded => loaded,
    }
}

impl std::fmt::Debug for DelegatedAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DelegatedAuth").finish_non_exhaustive()
    }
}
