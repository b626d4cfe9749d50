//! The watch cache of one resource: current objects, recent events, watchers.
//!
//! The tailer alone changes it, in the order of versions. Readers take a snapshot of the persistent map
//! and work outside the lock. Upstream concept: `k8s.io/apiserver/pkg/storage/cacher`.

mod event;
mod page;
mod ring;
mod tally;
mod watchers;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpds::RedBlackTreeMapSync;

pub(crate) use self::event::{Event, Filter};
pub(crate) use self::page::{count, page};
use self::ring::Ring;
pub use self::tally::Tally;
pub(crate) use self::watchers::Registration;
use self::watchers::Watchers;
use super::error::StorageError;
use super::metrics::CacheMetrics;
use super::options::StorageOptions;
use super::postgres::Resource;
use super::postgres::change_log::LoggedEvent;
use super::resource_version::ResourceVersion;
use super::table::Residence;
use super::types::{Key, Stored, WatchEventType};
use crate::mutant;

/// The objects of one resource at one version; copies share their nodes.
pub(crate) type Objects = RedBlackTreeMapSync<Key, Arc<Stored>>;

/// The watch cache of one resource.
#[derive(Debug)]
pub(crate) struct Cacher {
    pub(crate) resource: Arc<Resource>,
    watcher_events_max: usize,
    metrics: CacheMetrics,
    state: Mutex<State>,
}

/// How much a cache holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheSizes {
    pub(crate) objects: usize,
    pub(crate) events: usize,
    pub(crate) events_max: usize,
    pub(crate) event_bytes: usize,
    pub(crate) watchers: usize,
}

/// What a cache starts from.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) version: ResourceVersion,
    /// The objects at the version.
    pub(crate) objects: Vec<Arc<Stored>>,
    pub(crate) events_after: ResourceVersion,
    /// The events after `events_after`, up to the version.
    pub(crate) events: Vec<LoggedEvent>,
}

#[derive(Debug)]
struct State {
    /// Everything up to here has been applied, of this resource and all others.
    version: ResourceVersion,
    /// Empty for a resource that lives in the database only.
    objects: Objects,
    ring: Ring,
    watchers: Watchers,
    tally: Tally,
    /// Objects at or below this version may be gone without an event (an append-only resource); none
    /// before it is first read.
    retained_after: Option<ResourceVersion>,
}

impl Cacher {
    pub(crate) fn new(
        resource: Arc<Resource>,
        options: &StorageOptions,
        metrics: CacheMetrics,
        tallied: &'static [&'static str],
    ) -> Arc<Self> {
        let state = State {
            version: ResourceVersion::ZERO,
            objects: Objects::new_sync(),
            ring: Ring::new(options),
            watchers: Watchers::new(metrics.terminated.clone()),
            tally: Tally::by(tallied),
            retained_after: None,
        };
        Arc::new(Self {
            resource,
            watcher_events_max: options.watcher_events_max,
            metrics,
            state: Mutex::new(state),
        })
    }

    /// A panic while the lock is held leaves a state that is at worst behind; the next rebuild mends it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much it holds at this moment.
    pub(crate) fn sizes(&self) -> CacheSizes {
        let state = self.lock();
        CacheSizes {
            objects: state.objects.size(),
            events: state.ring.len(),
            events_max: state.ring.events_max(),
            event_bytes: state.ring.bytes(),
            watchers: state.watchers.len(),
        }
    }

    /// How many objects have which values of the fields that are counted by.
    pub(crate) fn tally(&self) -> Tally {
        self.lock().tally.clone()
    }

    /// Starts anew. Watchers cannot go on: what happened in between is not known here.
    pub(crate) fn rebuild(&self, filling: Filling) {
        let Filling {
            version,
            objects,
            events_after,
            events,
        } = filling;
        let mut map = Objects::new_sync();
        for object in objects {
            map.insert_mut(object.key.clone(), object);
        }
        self.metrics.initializations.inc();
        let mut state = self.lock();
        let asked = state.version;
        if !mutant!("i4-watches-outlive-a-rebuild") {
            state.watchers.end_all(&StorageError::Expired {
                asked,
                oldest: version,
                continue_from: None,
            });
        }
        state.ring.restart(events_after, events);
        state.tally.restart(map.values().map(AsRef::as_ref));
        state.objects = map;
        state.version = version;
        // Read with the next events: what is open then has begun after this.
        state.retained_after = None;
    }

    /// Applies events in order and hands them to the watchers.
    pub(crate) fn apply(&self, events: Vec<LoggedEvent>) {
        self.metrics.events.inc_by(events.len() as u64);
        let mut guard = self.lock();
        let state = &mut *guard;
        for logged in events {
            if logged.kind == WatchEventType::Added {
                state.tally.create(&logged.object);
            }
            let previous = match self.resource.table.residence {
                Residence::Cached => state.step(&logged),
                Residence::DatabaseOnly => None,
            };
            let event = Arc::new(Event::new(logged, previous));
            state.version = event.version;
            state.watchers.dispatch(&event, &self.resource.table);
            state.ring.push(event, &state.objects);
        }
    }

    /// Everything up to `version` has been applied, though nothing of this resource.
    pub(crate) fn advance(&self, version: ResourceVersion) {
        let mut state = self.lock();
        state.version = state.version.max(version);
    }

    /// Objects at or below `floor` may be gone. When that rises, open watches end: their view is no
    /// longer whole.
    pub(crate) fn retain_after(&self, floor: ResourceVersion) {
        let mut state = self.lock();
        if state.retained_after.is_some_and(|known| floor > known) {
            let asked = state.version;
            state.watchers.end_all(&StorageError::Expired {
                asked,
                oldest: floor,
                continue_from: None,
            });
        }
        state.retained_after = Some(floor);
    }

    /// The objects at or below this version may be gone without an event.
    pub(crate) fn retained_after(&self) -> ResourceVersion {
        self.lock().retained_after.unwrap_or(ResourceVersion::ZERO)
    }

    /// The newest objects and their version.
    pub(crate) fn newest(&self) -> (ResourceVersion, Objects) {
        let state = self.lock();
        (state.version, state.objects.clone())
    }

    /// The objects at exactly this version.
    ///
    /// # Errors
    /// `Expired` when the version is older than the events kept, `TooLarge` when it is newer than all.
    pub(crate) fn at(&self, version: ResourceVersion) -> Result<Objects, StorageError> {
        let state = self.lock();
        if version > state.version {
            return Err(StorageError::TooLarge {
                asked: version,
                current: state.version,
            });
        }
        // Undoing is done outside the lock: it may be long.
        let undo = state.ring.undo_to(version, &state.objects)?;
        drop(state);
        Ok(undo.objects())
    }

    /// Registers a watcher of the events after `version`, and the events of the ring it has missed.
    ///
    /// # Errors
    /// `Expired` when the ring does not reach back that far.
    pub(crate) fn watch_after(
        self: &Arc<Self>,
        version: ResourceVersion,
        filter: &Arc<Filter>,
    ) -> Result<(Vec<Arc<Event>>, Registration), StorageError> {
        let mut state = self.lock();
        let missed = state.ring.after(version, filter)?;
        if mutant!("i4-watch-joins-with-a-gap") {
            drop(state);
            std::thread::sleep(std::time::Duration::from_millis(20));
            state = self.lock();
        }
        let after = version.max(state.version);
        let registration = self.register(&mut state, after, filter);
        Ok((missed, registration))
    }

    /// Registers a watcher of what follows the newest objects, and gives those.
    pub(crate) fn watch_newest(
        self: &Arc<Self>,
        filter: &Arc<Filter>,
    ) -> (ResourceVersion, Objects, Registration) {
        let mut state = self.lock();
        let version = state.version;
        let registration = self.register(&mut state, version, filter);
        (version, state.objects.clone(), registration)
    }

    fn register(
        self: &Arc<Self>,
        state: &mut State,
        after: ResourceVersion,
        filter: &Arc<Filter>,
    ) -> Registration {
        let (id, queue, end) = state
            .watchers
            .add(after, Arc::clone(filter), self.watcher_events_max);
        Registration::new(Arc::clone(self), id, Arc::clone(filter), queue, end)
    }

    fn deregister(&self, id: u64, filter: &Filter) {
        self.lock().watchers.remove(id, filter);
    }

    /// Closes all watches, at shutdown.
    pub(crate) fn close(&self) {
        self.lock().watchers.close_all();
    }
}

impl State {
    /// Brings the objects up to an event; gives the state of the object before it.
    fn step(&mut self, event: &LoggedEvent) -> Option<Arc<Stored>> {
        let key = &event.object.key;
        let previous = self.objects.get(key).cloned();
        if let Some(previous) = &previous {
            self.tally.leave(previous);
        }
        match event.kind {
            WatchEventType::Added | WatchEventType::Modified => {
                self.tally.enter(&event.object);
                self.objects.insert_mut(key.clone(), Arc::clone(&event.object));
            }
            WatchEventType::Deleted => {
                self.objects.remove_mut(key);
            }
        }
        previous
    }
}
