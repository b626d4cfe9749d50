//! Clients that never stop: what they were answered, and every failure.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Pause between two requests of one client.
const PAUSE: Duration = Duration::from_millis(20);

/// Clients in the background.
#[derive(Default)]
pub(crate) struct Load {
    record: Arc<Record>,
    tasks: Vec<JoinHandle<()>>,
    writers: Vec<JoinHandle<()>>,
    /// Ends the creation of orders.
    stop_writing: CancellationToken,
    /// Ends everything.
    stop: CancellationToken,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Record {
    /// Requests answered well, watches that ended cleanly included.
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
    created: Mutex<BTreeSet<String>>,
    watched: Mutex<BTreeSet<String>>,
}

impl Record {
    fn note<T, E: Debug>(&self, what: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(value)
            }
            Err(error) => {
                self.failures
                    .lock()
                    .expect("not poisoned")
                    .push(format!("{what}: {error:?}"));
                None
            }
        }
    }
}

/// Work orders of all namespaces, or of one.
fn orders(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("work.brokkr.io", "v1alpha1", "WorkOrder");
    Api::namespaced_with(
        client,
        namespace,
        &ApiResource::from_gvk_with_plural(&kind, "workorders"),
    )
}

impl Load {
    /// Lists, each time with the client that `connect` gives.
    pub(crate) fn list(&mut self, what: &'static str, connect: impl Fn() -> Client + Send + 'static) {
        let (record, stop) = (Arc::clone(&self.record), self.stop.clone());
        self.tasks.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                let listed = orders(connect(), "load")
                    .list(&ListParams::default().limit(1))
                    .await;
                record.note(what, listed);
                tokio::time::sleep(PAUSE).await;
            }
        }));
    }

    /// Creates suspended orders, each of another name.
    pub(crate) fn create(&mut self, client: Client) {
        let (record, stop) = (Arc::clone(&self.record), self.stop_writing.clone());
        self.writers.push(tokio::spawn(async move {
            for number in 0.. {
                if stop.is_cancelled() {
                    return;
                }
                let name = format!("order-{number}");
                let order = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder",
                    "metadata": {"name": name},
                    "spec": {"workType": "build", "buildRef": {"name": "app"}, "suspend": true}});
                let order = serde_json::from_value(order).expect("an object");
                let created = orders(client.clone(), "load")
                    .create(&PostParams::default(), &order)
                    .await;
                if record.note("create", created).is_some() {
                    record.created.lock().expect("not poisoned").insert(name);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }));
    }

    /// Watches from the beginning, and again from where a watch ended.
    pub(crate) fn watch(&mut self, client: Client) {
        let (record, stop) = (Arc::clone(&self.record), self.stop.clone());
        self.tasks.push(tokio::spawn(async move {
            let api = orders(client, "load");
            let mut version = "0".to_owned();
            while !stop.is_cancelled() {
                let opened = api.watch(&WatchParams::default().timeout(240), &version).await;
                let Some(events) = record.note("watch", opened) else {
                    continue;
                };
                let mut events = events.boxed();
                while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
                    match record.note("watch event", event) {
                        Some(WatchEvent::Added(order)) => {
                            version = order.metadata.resource_version.unwrap_or_default();
                            let name = order.metadata.name.unwrap_or_default();
                            record.watched.lock().expect("not poisoned").insert(name);
                        }
                        Some(WatchEvent::Modified(order)) => {
                            version = order.metadata.resource_version.unwrap_or_default();
                        }
                        Some(WatchEvent::Error(status)) => {
                            let _: Option<()> = record.note("watch", Err(status));
                            break;
                        }
                        Some(WatchEvent::Deleted(_) | WatchEvent::Bookmark(_)) => {}
                        None => break,
                    }
                }
            }
        }));
    }

    /// How many requests were answered well so far.
    pub(crate) fn answered(&self) -> u64 {
        self.record.answered.load(Ordering::Relaxed)
    }

    /// Fails if any request has failed.
    pub(crate) fn assert_unharmed(&self, when: &str) {
        let failures = self.record.failures.lock().expect("not poisoned");
        assert!(
            failures.is_empty(),
            "{when}: of {} requests failed: {failures:#?}",
            self.answered()
        );
    }

    /// Names of the orders whose creation was acknowledged, and of those that the watch has shown.
    pub(crate) fn seen(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let copy = |names: &Mutex<BTreeSet<String>>| names.lock().expect("not poisoned").clone();
        (copy(&self.record.created), copy(&self.record.watched))
    }

    /// Ends the clients that create, after their last answer.
    pub(crate) async fn stop_writing(&mut self) {
        self.stop_writing.cancel();
        for task in self.writers.drain(..) {
            task.await.expect("a client ends");
        }
    }

    /// Ends all clients.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            task.await.expect("a client ends");
        }
    }
}
