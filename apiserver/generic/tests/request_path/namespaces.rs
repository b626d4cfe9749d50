//! A kube-apiserver of which only namespaces can be read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use generic_apiserver::admission::NamespaceLifecycle;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::kube_apiserver::{Asked, KubeApiserver, Reply, failure};

/// Read to find out whether the cluster is there.
const PROBED: &str = "/api/v1/namespaces/kube-system";

/// In a cluster that has this namespace, whoever asks whether it is there is never answered.
pub(crate) const SILENT: &str = "silent";

/// The namespaces of the cluster, and the events of their watch.
pub(crate) struct Namespaces {
    state: Arc<Mutex<BTreeMap<String, bool>>>,
    /// Of the watch that runs.
    events: Mutex<Option<mpsc::Sender<Value>>>,
    away: Arc<AtomicBool>,
    probes: Arc<AtomicUsize>,
    _kube_apiserver: KubeApiserver,
    pub(crate) lifecycle: NamespaceLifecycle,
    stop: CancellationToken,
}

fn namespace(name: &str, terminating: bool) -> Value {
    namespace_with_uid(name, name, terminating)
}

fn namespace_with_uid(name: &str, uid: &str, terminating: bool) -> Value {
    let mut metadata = json!({"name": name, "resourceVersion": "5", "uid": uid});
    if terminating {
        metadata["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
    }
    let phase = if terminating { "Terminating" } else { "Active" };
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": metadata, "status": {"phase": phase}})
}

impl Namespaces {
    /// A cluster with these namespaces, true for those that are going; returns when they are known.
    pub(crate) async fn start(given: &[(&str, bool)]) -> Self {
        let state = given
            .iter()
            .map(|&(name, going)| (name.to_owned(), going))
            .collect();
        let state = Arc::new(Mutex::new(state));
        let (events, receiver) = mpsc::channel(10);
        let watch = Mutex::new(Some(receiver));
        let known = Arc::clone(&state);
        let away = Arc::new(AtomicBool::new(false));
        let is_away = Arc::clone(&away);
        let probes = Arc::new(AtomicUsize::new(0));
        let probed = Arc::clone(&probes);
        let kube_apiserver = KubeApiserver::start(move |asked| {
            if is_away.load(Ordering::SeqCst) {
                failure(503, "ServiceUnavailable", "away")
            } else {
                if asked.path == PROBED {
                    probed.fetch_add(1, Ordering::SeqCst);
                }
                answer(asked, &known, &watch)
            }
        })
        .await;
        let stop = CancellationToken::new();
        let (lifecycle, _task) = NamespaceLifecycle::follow(kube_apiserver.client.clone(), stop.clone());
        while !lifecycle.is_synced() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Self {
            state,
            events: Mutex::new(Some(events)),
            away,
            probes,
            _kube_apiserver: kube_apiserver,
            lifecycle,
            stop,
        }
    }

    /// Begins to delete a namespace; the watch hears of it.
    pub(crate) async fn terminate(&self, name: &str) {
        self.state.lock().unwrap().insert(name.to_owned(), true);
        self.tell("MODIFIED", namespace(name, true)).await;
    }

    /// The watch hears that a namespace is gone.
    pub(crate) async fn delete(&self, name: &str) {
        self.tell("DELETED", namespace(name, true)).await;
    }

    /// The watch hears of a namespace with this uid.
    pub(crate) async fn create(&self, name: &str, uid: &str) {
        self.tell("ADDED", namespace_with_uid(name, uid, false)).await;
    }

    async fn tell(&self, kind: &str, object: Value) {
        let event = json!({"type": kind, "object": object});
        let events = self.events.lock().unwrap().clone();
        events.expect("a watch").send(event).await.unwrap();
    }

    /// How often it was asked whether the cluster is there.
    pub(crate) fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }

    /// Ends the watch and refuses everything, or answers again; later watches hear of nothing.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
        self.events.lock().unwrap().take();
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn answer(
    asked: &Asked,
    state: &Mutex<BTreeMap<String, bool>>,
    watch: &Mutex<Option<mpsc::Receiver<Value>>>,
) -> Reply {
    let state = state.lock().unwrap();
    if asked.path == PROBED && state.contains_key(SILENT) {
        return Reply::Silence;
    }
    if let Some(name) = asked.path.strip_prefix("/api/v1/namespaces/") {
        return match state.get(name) {
            Some(&going) => Reply::Json(200, namespace(name, going)),
            None => failure(404, "NotFound", "no such namespace"),
        };
    }
    if asked.query.contains("watch=true") {
        return watch.lock().unwrap().take().map_or(Reply::Silence, Reply::Watch);
    }
    let items: Vec<Value> = state
        .iter()
        .map(|(name, &going)| namespace(name, going))
        .collect();
    let list = json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": items});
    Reply::Json(200, list)
}
