//! Nothing is created in a namespace that is absent or going.
//!
//! Without this rule the deletion of a namespace races with creates and leaves rows behind.
//! Upstream concept: the admission plugin NamespaceLifecycle. Namespaces are followed by a watch; one
//! that the watch does not know is asked for directly before a create is refused.

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::{Admission, CreateAttributes};
use crate::registry::RegistryError;
use crate::registry::error::Cause;

/// How long a namespace that was just created may take to arrive here; upstream's number.
const MISSING_NAMESPACE_WAIT: Duration = Duration::from_millis(50);

/// Knows the namespaces of the cluster.
#[derive(Clone)]
pub struct NamespaceLifecycle {
    known: reflector::Store<Namespace>,
    api: Api<Namespace>,
}

impl std::fmt::Debug for NamespaceLifecycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamespaceLifecycle")
            .field("known", &self.known.state().len())
            .finish()
    }
}

impl NamespaceLifecycle {
    /// Follows the namespaces until the token is cancelled; the handle is joined by the caller.
    pub fn follow(client: Client, token: CancellationToken) -> (Self, tokio::task::JoinHandle<()>) {
        let api: Api<Namespace> = Api::all(client);
        let (known, writer) = reflector::store();
        let events = watcher(api.clone(), watcher::Config::default()).default_backoff();
        let mut changes = reflector(writer, events).boxed();
        let task = tokio::spawn(async move {
            while let Some(Some(change)) = token.run_until_cancelled(changes.next()).await {
                if let Err(error) = change {
                    tracing::warn!(%error, "namespaces cannot be watched; the last known ones are used");
                }
            }
        });
        (Self { known, api }, task)
    }

    /// Whether the namespaces have been listed once; every cluster has some.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        !self.known.is_empty()
    }

    /// The names of the namespaces that are being deleted.
    #[must_use]
    pub fn terminating(&self) -> Vec<String> {
        let known = self.known.state();
        known
            .iter()
            .filter(|one| is_terminating(one))
            .filter_map(|one| one.metadata.name.clone())
            .collect()
    }

    /// The uid of a namespace; `None` when there is none of this name.
    ///
    /// # Errors
    /// `Internal` when the watch does not know it and the cluster does not answer.
    pub async fn uid(&self, name: &str) -> Result<Option<String>, RegistryError> {
        Ok(self.find(name).await?.and_then(|found| found.metadata.uid))
    }

    async fn find(&self, name: &str) -> Result<Option<Namespace>, RegistryError> {
        let reference = reflector::ObjectRef::new(name);
        if let Some(found) = self.known.get(&reference) {
            return Ok(Some((*found).clone()));
        }
        tokio::time::sleep(MISSING_NAMESPACE_WAIT).await;
        self.api
            .get_opt(name)
            .await
            .map_err(|e| RegistryError::Internal(format!("namespace {name:?} cannot be looked up: {e}")))
    }
}

#[async_trait]
impl Admission for NamespaceLifecycle {
    async fn admit_create(&self, create: CreateAttributes<'_>) -> Result<(), RegistryError> {
        let namespace = create.namespace;
        if namespace.is_empty() || !create.refused_in_terminating_namespace {
            return Ok(());
        }
        match self.find(namespace).await? {
            None => Err(absent(namespace)),
            Some(found) if is_terminating(&found) => Err(terminating(namespace)),
            Some(_) => Ok(()),
        }
    }
}

fn is_terminating(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}

fn absent(namespace: &str) -> RegistryError {
    RegistryError::NotFound {
        group: String::new(),
        resource: "namespaces".to_owned(),
        name: namespace.to_owned(),
    }
}

fn terminating(namespace: &str) -> RegistryError {
    RegistryError::Forbidden {
        message: format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        ),
        causes: vec![Cause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        }],
    }
}
