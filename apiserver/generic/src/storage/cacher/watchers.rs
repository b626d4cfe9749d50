//! The watchers of one resource: bounded queues that the tailer fills and never waits for.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use prometheus_client::metrics::counter::Counter;
use telemetry::prometheus_client;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Cacher, Event, Filter};
use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::table::ResourceTable;
use crate::storage::types::WatchEvent;

/// Why a watch ended, when that was not because of its consumer.
type End = Arc<OnceLock<StorageError>>;

#[derive(Debug)]
struct Watcher {
    /// Events at or below this version are not for it.
    after: ResourceVersion,
    filter: Arc<Filter>,
    queue: mpsc::Sender<WatchEvent>,
    end: End,
}

/// All watchers of one resource. Those that can see one name only are found by it: many clients watch
/// their own object, and an event of another must not cost each of them something.
#[derive(Debug)]
pub(super) struct Watchers {
    /// Counts those closed because they did not read.
    terminated: Counter,
    last_id: u64,
    by_name: HashMap<String, HashMap<u64, Watcher>>,
    others: HashMap<u64, Watcher>,
}

impl Watchers {
    pub(super) fn new(terminated: Counter) -> Self {
        Self {
            terminated,
            last_id: 0,
            by_name: HashMap::new(),
            others: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.others.len() + self.by_name.values().map(HashMap::len).sum::<usize>()
    }

    pub(super) fn add(
        &mut self,
        after: ResourceVersion,
        filter: Arc<Filter>,
        events_max: usize,
    ) -> (u64, mpsc::Receiver<WatchEvent>, End) {
        self.last_id += 1;
        let (queue, receiver) = mpsc::channel(events_max);
        let end = End::default();
        let name = filter.name().map(str::to_owned);
        let watcher = Watcher {
            after,
            filter,
            queue,
            end: Arc::clone(&end),
        };
        match name {
            Some(name) => self
                .by_name
                .entry(name)
                .or_default()
                .insert(self.last_id, watcher),
            None => self.others.insert(self.last_id, watcher),
        };
        (self.last_id, receiver, end)
    }

    pub(super) fn remove(&mut self, id: u64, filter: &Filter) {
        let Some(name) = filter.name() else {
            self.others.remove(&id);
            return;
        };
        if let Some(watchers) = self.by_name.get_mut(name) {
            watchers.remove(&id);
            if watchers.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    /// Queues an event for each watcher that sees it. One whose queue is full is closed: it resumes
    /// from the last version it has read.
    pub(super) fn dispatch(&mut self, event: &Event, table: &ResourceTable) {
        let terminated = &self.terminated;
        if let Some(watchers) = self.by_name.get_mut(&event.object.key.name) {
            watchers.retain(|_, watcher| watcher.offer(event, table, terminated));
        }
        self.others
            .retain(|_, watcher| watcher.offer(event, table, terminated));
    }

    /// Ends all watches with an error, after what they have queued.
    pub(super) fn end_all(&mut self, error: &StorageError) {
        for watcher in self
            .others
            .values()
            .chain(self.by_name.values().flat_map(HashMap::values))
        {
            // The first reason stands.
            let _ = watcher.end.set(error.clone());
        }
        self.close_all();
    }

    pub(super) fn close_all(&mut self) {
        self.others.clear();
        self.by_name.clear();
    }
}

impl Watcher {
    /// Whether the watcher stays.
    fn offer(&self, event: &Event, table: &ResourceTable, terminated: &Counter) -> bool {
        if event.version <= self.after {
            return true;
        }
        match event.seen(&self.filter, table) {
            Ok(None) => true,
            Ok(Some(seen)) => match self.queue.try_send(seen) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    if mutant!("i4-slow-watcher-loses-events") {
                        return true;
                    }
                    terminated.inc();
                    tracing::info!(resource = %table.resource, version = %event.version, "slow watcher closed");
                    false
                }
                Err(TrySendError::Closed(_)) => false,
            },
            Err(error) => {
                let _ = self.end.set(error);
                false
            }
        }
    }
}

/// A watcher's side of its queue; dropping it takes the watcher off the list.
#[derive(Debug)]
pub(crate) struct Registration {
    cacher: Arc<Cacher>,
    id: u64,
    filter: Arc<Filter>,
    pub(crate) queue: mpsc::Receiver<WatchEvent>,
    end: End,
}

impl Registration {
    pub(super) const fn new(
        cacher: Arc<Cacher>,
        id: u64,
        filter: Arc<Filter>,
        queue: mpsc::Receiver<WatchEvent>,
        end: End,
    ) -> Self {
        Self {
            cacher,
            id,
            filter,
            queue,
            end,
        }
    }

    /// Why the watch was ended, if for a reason.
    pub(crate) fn end(&self) -> Option<StorageError> {
        self.end.get().cloned()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cacher.deregister(self.id, &self.filter);
    }
}
