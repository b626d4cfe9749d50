//! The high-water mark of versions, in a ConfigMap of the server's own namespace.
//!
//! The ConfigMap comes with the manifests (`apiservice/high-water-mark.yaml`), because RBAC cannot limit
//! `create` to a name: the server may read and replace this one object and create none. Replicas share it;
//! whoever finds a higher version there leaves it alone.

use std::collections::BTreeMap;
use std::error::Error;

use async_trait::async_trait;
use generic_apiserver::storage::{HighWaterMark, ResourceVersion};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};

const NAME: &str = "brokkr-apiserver-high-water-mark";
const KEY: &str = "resourceVersion";

/// No version is greater: what is recorded above was not recorded by a server.
const VERSION_MAX: u64 = (1 << 53) - 1;

/// The mark in the ConfigMap `brokkr-apiserver-high-water-mark`.
pub struct ConfigMapMark {
    namespace: String,
    api: Api<ConfigMap>,
}

impl std::fmt::Debug for ConfigMapMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigMapMark")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// The mark cannot be had.
#[derive(Debug, thiserror::Error)]
enum MarkError {
    #[error(
        "the ConfigMap {NAME} may not be read and updated by this server: apply \
         apiservice/high-water-mark.yaml, which binds the role to its service account ({0})"
    )]
    Forbidden(String),
    #[error("there is no ConfigMap {NAME} in the namespace {0}: apply apiservice/high-water-mark.yaml")]
    Missing(String),
    #[error(
        "the ConfigMap {NAME} holds {0:?} as {KEY}, which is no version: take the key out of it if versions may begin anew"
    )]
    Malformed(String),
    #[error("the ConfigMap {NAME} could not be read or updated: {0}")]
    Unreachable(#[source] kube::Error),
}

impl From<kube::Error> for MarkError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => Self::Forbidden(status.message),
            error => Self::Unreachable(error),
        }
    }
}

impl ConfigMapMark {
    /// The mark in the namespace that the client's configuration names: of a pod, its own; of a
    /// kubeconfig, its context's.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self {
            api: Api::namespaced(client, &namespace),
            namespace,
        }
    }

    async fn get(&self) -> Result<ConfigMap, MarkError> {
        let found = self.api.get_opt(NAME).await?;
        found.ok_or_else(|| MarkError::Missing(self.namespace.clone()))
    }
}

/// What the ConfigMap says; a fresh one says nothing.
fn recorded(config_map: &ConfigMap) -> Result<Option<ResourceVersion>, MarkError> {
    let text = config_map.data.as_ref().and_then(|data| data.get(KEY));
    let parse = |text: &String| {
        let version = text.parse().ok();
        let possible = version.filter(|version: &ResourceVersion| version.get() <= VERSION_MAX);
        possible.ok_or_else(|| MarkError::Malformed(text.clone()))
    };
    text.map(parse).transpose()
}

#[async_trait]
impl HighWaterMark for ConfigMapMark {
    async fn read(&self) -> Result<Option<ResourceVersion>, Box<dyn Error + Send + Sync>> {
        Ok(recorded(&self.get().await?)?)
    }

    /// Replaces what was read: when another replica has replaced it meanwhile, this fails, and the next
    /// record looks again.
    async fn raise(&self, version: ResourceVersion) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut config_map = self.get().await?;
        if recorded(&config_map)?.is_some_and(|recorded| recorded >= version) {
            return Ok(());
        }
        let data = config_map.data.get_or_insert_with(BTreeMap::new);
        data.insert(KEY.to_owned(), version.to_string());
        match self.api.replace(NAME, &PostParams::default(), &config_map).await {
            Ok(_) => Ok(()),
            Err(error) => Err(MarkError::from(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(text: &str) -> ConfigMap {
        ConfigMap {
            data: Some([(KEY.to_owned(), text.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    #[test]
    fn a_fresh_mark_says_nothing_and_a_damaged_one_is_not_taken_for_fresh() {
        assert_eq!(recorded(&ConfigMap::default()).unwrap(), None);
        let version = recorded(&holding("1099511627777")).unwrap();
        assert_eq!(version, Some(ResourceVersion::new(1_099_511_627_777)));
        for text in ["many", "9007199254740992", "9223372036854775807"] {
            let error = recorded(&holding(text)).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
