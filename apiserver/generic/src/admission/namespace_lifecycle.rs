//! Nothing is created in a namespace that is absent or going.
//!
//! Without this rule the deletion of a namespace races with creates and leaves rows behind.
//! Upstream concept: the admission plugin NamespaceLifecycle. Namespaces are followed by a watch; one
//! that the watch does not know is asked for directly before a create is refused. The same watch tells
//! whether the cluster can be reached at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Admission, CreateAttributes};
use crate::registry::RegistryError;
use crate::registry::error::Cause;

/// How long a namespace that was just created may take to arrive here; upstream's number.
const MISSING_NAMESPACE_WAIT: Duration = Duration::from_millis(50);

/// How often the cluster is asked whether it is there, and how long an answer may take.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Knows the namespaces of the cluster.
#[derive(Clone)]
pub struct NamespaceLifecycle {
    known: reflector::Store<Namespace>,
    /// Changes after `known` does.
    changed: watch::Receiver<()>,
    api: Api<Namespace>,
    reachable: Arc<AtomicBool>,
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
        let reachable = Arc::new(AtomicBool::new(false));
        let (announce, changed) = watch::channel(());
        let following = Following {
            changes: reflector(writer, events).boxed(),
            announce,
            api: api.clone(),
            reachable: Arc::clone(&reachable),
        };
        let task = tokio::spawn(async move {
            token.run_until_cancelled(following.run()).await;
        });
        let lifecycle = Self {
            known,
            changed,
            api,
            reachable,
        };
        (lifecycle, task)
    }

    /// Whether the cluster has answered when it was last asked; false before it has answered at all. It is asked
    /// every five seconds, and is taken to be away at once when the watch fails.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
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
        Ok(self
            .find(name)
            .await?
            .and_then(|found| found.metadata.uid.clone()))
    }

    /// Ends when there is another namespace of this name than the one with this uid; `None` = there was none. That
    /// one is gone says nothing yet: what was written in it may still be on its way.
    #[must_use]
    pub fn replaced(&self, name: &str, uid: Option<String>) -> BoxFuture<'static, ()> {
        let (known, mut changed) = (self.known.clone(), self.changed.clone());
        let reference = reflector::ObjectRef::new(name);
        Box::pin(async move {
            loop {
                changed.borrow_and_update();
                if known
                    .get(&reference)
                    .is_some_and(|found| found.metadata.uid != uid)
                {
                    return;
                }
                if changed.changed().await.is_err() {
                    // Namespaces are no longer followed: the server ends.
                    std::future::pending::<()>().await;
                }
            }
        })
    }

    async fn find(&self, name: &str) -> Result<Option<Arc<Namespace>>, RegistryError> {
        let reference = reflector::ObjectRef::new(name);
        if let Some(found) = self.known.get(&reference) {
            return Ok(Some(found));
        }
        tokio::time::sleep(MISSING_NAMESPACE_WAIT).await;
        let found =
            self.api.get_opt(name).await.map_err(|e| {
                RegistryError::Internal(format!("namespace {name:?} cannot be looked up: {e}"))
            })?;
        Ok(found.map(Arc::new))
    }
}

/// The task that follows the namespaces, and asks whether the cluster is there: neither waits for the other.
struct Following {
    changes: BoxStream<'static, Result<watcher::Event<Namespace>, watcher::Error>>,
    announce: watch::Sender<()>,
    api: Api<Namespace>,
    reachable: Arc<AtomicBool>,
}

impl Following {
    /// Until the stream of changes ends.
    async fn run(self) {
        let watching = self.changes.for_each(|change| {
            note(change.map(|_| ()), &self.announce, &self.reachable);
            std::future::ready(())
        });
        tokio::select! {
            () = watching => {}
            () = probe(&self.api, &self.reachable) => {}
        }
    }
}

fn note(change: Result<(), watcher::Error>, announce: &watch::Sender<()>, reachable: &AtomicBool) {
    match change {
        Ok(()) => announce.send_replace(()),
        Err(error) => {
            tracing::warn!(%error, "namespaces cannot be watched; the last known ones are used");
            reachable.store(false, Ordering::Relaxed);
        }
    }
}

async fn probe(api: &Api<Namespace>, reachable: &AtomicBool) {
    let mut probes = tokio::time::interval(PROBE_INTERVAL);
    probes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        probes.tick().await;
        reachable.store(answers(api).await, Ordering::Relaxed);
    }
}

/// Whether the cluster answers. A watch cannot tell: it says nothing until something changes.
async fn answers(api: &Api<Namespace>) -> bool {
    match tokio::time::timeout(PROBE_INTERVAL, api.get_opt("kube-system")).await {
        Ok(Ok(_)) => true,
        // A refusal is an answer.
        Ok(Err(kube::Error::Api(status))) => status.code < 500,
        Ok(Err(_)) | Err(_) => false,
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
