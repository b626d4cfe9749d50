//! What kube-apiserver publishes for servers behind it: the CAs and the header names of identity.
//!
//! Upstream concept: the ConfigMap `kube-system/extension-apiserver-authentication` and the controllers
//! that follow it. Loaded once before serving, then followed with a watch of that one name; the last
//! good value stays when a new one cannot be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use futures::StreamExt;
use http::header::HeaderName;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::TrustedRoots;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// Whom to believe. The default believes nobody.
#[derive(Clone, Debug, Default)]
pub struct AuthenticationConfig {
    /// The cluster's client CA; None = certificates identify nobody.
    pub client_roots: Option<TrustedRoots>,
    /// How to believe the front proxy; None = identity headers are never believed.
    pub request_header: Option<RequestHeaderConfig>,
}

/// Which proxy may name users, and in which headers.
#[derive(Clone, Debug)]
pub struct RequestHeaderConfig {
    /// The CA the proxy's certificate must chain to.
    pub roots: TrustedRoots,
    /// Common names allowed to the proxy; empty = any name below the CA.
    pub allowed_names: Vec<String>,
    /// Headers of the user name; the first that is not empty counts.
    pub username_headers: Vec<HeaderName>,
    /// Headers of the UID; the first that is not empty counts.
    pub uid_headers: Vec<HeaderName>,
    /// Headers of groups; all values count.
    pub group_headers: Vec<HeaderName>,
    /// Lower-case prefixes of headers of further attributes.
    pub extra_header_prefixes: Vec<String>,
}

/// The configuration as it is now; readers never wait.
#[derive(Clone, Debug, Default)]
pub struct SharedAuthenticationConfig(Arc<ArcSwap<AuthenticationConfig>>);

impl SharedAuthenticationConfig {
    /// Shares a first value.
    #[must_use]
    pub fn new(config: AuthenticationConfig) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// The current value.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<AuthenticationConfig>> {
        self.0.load()
    }

    /// Replaces the value for all requests from now on.
    pub fn store(&self, config: AuthenticationConfig) {
        self.0.store(Arc::new(config));
    }
}

/// The configuration cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfigMapError {
    /// The own service account lacks a RoleBinding.
    #[error(
        "configmaps \"{NAME}\" in the namespace {NAMESPACE} may not be read by this server: create a \
         RoleBinding in {NAMESPACE} from the Role extension-apiserver-authentication-reader to the server's \
         service account ({0})"
    )]
    Forbidden(String),
    /// kube-apiserver could not be asked.
    #[error("configmaps \"{NAME}\" in the namespace {NAMESPACE} could not be read: {0}")]
    Unreachable(#[source] kube::Error),
    /// A key cannot be read.
    #[error("configmaps \"{NAME}\" in the namespace {NAMESPACE}: key {key}: {problem}")]
    Malformed {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// Any client certificate of the cluster could pose as the front proxy.
    #[error(
        "configmaps \"{NAME}\" in the namespace {NAMESPACE}: requestheader-client-ca-file and client-ca-file \
         share a CA while requestheader-allowed-names is empty, so every client certificate could name any \
         user: give kube-apiserver --requestheader-allowed-names, or another --requestheader-client-ca-file"
    )]
    AnyoneIsFrontProxy,
}

impl AuthenticationConfig {
    /// Reads the ConfigMap's keys. A missing key counts as an empty value.
    ///
    /// # Errors
    /// When a value is malformed, or the values together let anyone pose as the front proxy.
    pub fn from_config_map(data: &BTreeMap<String, String>) -> Result<Self, ConfigMapError> {
        Self::read(data, None)
    }

    /// Reads the keys; those about the front proxy count for nothing where the server has settings of its own.
    fn read(
        data: &BTreeMap<String, String>,
        own: Option<&RequestHeaderConfig>,
    ) -> Result<Self, ConfigMapError> {
        let config = Self {
            client_roots: roots(data, "client-ca-file")?,
            request_header: match own {
                Some(own) => Some(own.clone()),
                None => request_header(data)?,
            },
        };
        config.refuse_ambiguous_ca()?;
        Ok(config)
    }

    fn refuse_ambiguous_ca(&self) -> Result<(), ConfigMapError> {
        let (Some(client_roots), Some(request_header)) = (&self.client_roots, &self.request_header) else {
            return Ok(());
        };
        if request_header.allowed_names.is_empty() && request_header.roots.overlaps(client_roots) {
            return Err(ConfigMapError::AnyoneIsFrontProxy);
        }
        Ok(())
    }
}

fn request_header(data: &BTreeMap<String, String>) -> Result<Option<RequestHeaderConfig>, ConfigMapError> {
    let Some(roots) = roots(data, "requestheader-client-ca-file")? else {
        return Ok(None);
    };
    let prefixes = list(data, "requestheader-extra-headers-prefix")?;
    Ok(Some(RequestHeaderConfig {
        roots,
        allowed_names: list(data, "requestheader-allowed-names")?,
        username_headers: header_names(data, "requestheader-username-headers")?,
        uid_headers: header_names(data, "requestheader-uid-headers")?,
        group_headers: header_names(data, "requestheader-group-headers")?,
        extra_header_prefixes: prefixes
            .iter()
            .map(|prefix| prefix.to_ascii_lowercase())
            .collect(),
    }))
}

fn roots(data: &BTreeMap<String, String>, key: &'static str) -> Result<Option<TrustedRoots>, ConfigMapError> {
    let bundle = data.get(key).map(|bundle| bundle.trim()).unwrap_or_default();
    if bundle.is_empty() {
        return Ok(None);
    }
    TrustedRoots::from_pem(bundle.as_bytes())
        .map(Some)
        .map_err(|problem| ConfigMapError::Malformed { key, problem })
}

fn list(data: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<String>, ConfigMapError> {
    let text = data.get(key).map(|text| text.trim()).unwrap_or_default();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|error| ConfigMapError::Malformed {
        key,
        problem: format!("not a JSON array of strings: {error}"),
    })
}

fn header_names(
    data: &BTreeMap<String, String>,
    key: &'static str,
) -> Result<Vec<HeaderName>, ConfigMapError> {
    list(data, key)?
        .iter()
        .map(|name| {
            name.trim().parse().map_err(|_| ConfigMapError::Malformed {
                key,
                problem: format!("{name:?} is no header name"),
            })
        })
        .collect()
}

/// Loads the configuration; called before serving. Settings of the server's `own` replace what is published about
/// the front proxy, here and in [`follow`].
///
/// # Errors
/// When it cannot be read. Without permission the error names the missing RoleBinding.
pub async fn load(
    client: &Client,
    own: Option<&RequestHeaderConfig>,
) -> Result<AuthenticationConfig, ConfigMapError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let config_map = api.get(NAME).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 403 => ConfigMapError::Forbidden(status.message.clone()),
        error => ConfigMapError::Unreachable(error),
    })?;
    let config = AuthenticationConfig::read(&config_map.data.unwrap_or_default(), own)?;
    if config.request_header.is_none() {
        tracing::error!(
            "kube-apiserver publishes no requestheader-client-ca-file: requests through the aggregation layer \
             cannot be authenticated until it runs with --requestheader-client-ca-file and --proxy-client-cert-file"
        );
    }
    Ok(config)
}

/// Follows the ConfigMap until `shutdown`, replacing the shared value at every change.
pub async fn follow(
    client: Client,
    shared: SharedAuthenticationConfig,
    own: Option<RequestHeaderConfig>,
    shutdown: CancellationToken,
) {
    let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    // The Role allows this one name only, and only to requests that select it.
    let one_name = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let events = watcher::watcher(api, one_name).default_backoff();
    let mut events = std::pin::pin!(events);
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(Event::Apply(config_map) | Event::InitApply(config_map))) => {
                replace(&shared, config_map, own.as_ref());
            }
            Some(Ok(Event::Delete(_))) => {
                tracing::warn!("the ConfigMap {NAMESPACE}/{NAME} was deleted; its last value stays in use");
            }
            Some(Ok(Event::Init | Event::InitDone)) => {}
            Some(Err(error)) => tracing::warn!(%error, "following {NAMESPACE}/{NAME} failed; trying again"),
            None => return,
        }
    }
}

fn replace(shared: &SharedAuthenticationConfig, config_map: ConfigMap, own: Option<&RequestHeaderConfig>) {
    match AuthenticationConfig::read(&config_map.data.unwrap_or_default(), own) {
        Ok(config) => shared.store(config),
        Err(error @ ConfigMapError::AnyoneIsFrontProxy) => {
            // The last value may trust a CA that was withdrawn for a reason: believe no proxy instead.
            tracing::error!(%error, "identity headers are no longer believed");
            let client_roots = shared.load().client_roots.clone();
            shared.store(AuthenticationConfig {
                client_roots,
                request_header: None,
            });
        }
        Err(error) => tracing::error!(%error, "the last good value stays in use"),
    }
}
