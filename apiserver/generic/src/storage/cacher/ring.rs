//! The recent events of one resource, and the way back to the objects at any version among them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Event, Filter, Objects};
use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::options::StorageOptions;
use crate::storage::postgres::change_log::LoggedEvent;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::types::{Key, Stored, WatchEventType};

/// Events between two kept states: going back undoes at most so many.
const CHECKPOINT_EVENTS: usize = 256;

/// The recent events. Those younger than an age are kept within bounds, a few whatever their age:
/// upstream's ring grows and shrinks to the same effect.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<Arc<Event>>,
    /// All events after this version are here.
    floor: ResourceVersion,
    /// The state before is known of all events after this version.
    unknown: ResourceVersion,
    bytes: usize,
    /// The objects after some of the events.
    checkpoints: VecDeque<(ResourceVersion, Objects)>,
    since_checkpoint: usize,
    events_min: usize,
    events_max: usize,
    bytes_max: usize,
    age: Duration,
}

impl Ring {
    pub(super) const fn new(options: &StorageOptions) -> Self {
        Self {
            events: VecDeque::new(),
            floor: ResourceVersion::ZERO,
            unknown: ResourceVersion::ZERO,
            bytes: 0,
            checkpoints: VecDeque::new(),
            since_checkpoint: 0,
            events_min: options.ring_events_min,
            events_max: options.ring_events_max,
            bytes_max: options.ring_bytes_max,
            age: options.ring_age,
        }
    }

    /// How many events it holds.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The most it may hold.
    pub(super) const fn events_max(&self) -> usize {
        self.events_max
    }

    /// The bytes of the encoded objects of its events.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything and starts with the events after `floor`, read from the change log. The state
    /// before an event is the one after the last event of the same object; of the first event that is
    /// not a creation it is unknown.
    pub(super) fn restart(&mut self, floor: ResourceVersion, events: Vec<LoggedEvent>) {
        self.events.clear();
        self.checkpoints.clear();
        self.bytes = 0;
        self.since_checkpoint = 0;
        self.floor = floor;
        self.unknown = floor;
        let mut states: HashMap<Key, Option<Arc<Stored>>> = HashMap::new();
        for logged in events {
            let after = (logged.kind != WatchEventType::Deleted).then(|| Arc::clone(&logged.object));
            let before = states.insert(logged.object.key.clone(), after);
            if before.is_none() && logged.kind != WatchEventType::Added {
                self.unknown = logged.version;
            }
            let event = Event::new(logged, before.flatten());
            self.bytes += event.bytes();
            self.events.push_back(Arc::new(event));
        }
    }

    /// Adds an event; `objects` is the state after it.
    pub(super) fn push(&mut self, event: Arc<Event>, objects: &Objects) {
        let now = event.at;
        self.bytes += event.bytes();
        self.since_checkpoint += 1;
        if self.since_checkpoint == CHECKPOINT_EVENTS {
            self.since_checkpoint = 0;
            self.checkpoints.push_back((event.version, objects.clone()));
        }
        self.events.push_back(event);
        while let Some(oldest) = self.events.front() {
            let full = self.events.len() > self.events_max || self.bytes > self.bytes_max;
            let old = now.duration_since(oldest.at) > self.age;
            if self.events.len() <= self.events_min || !(full || old) {
                break;
            }
            self.floor = oldest.version;
            self.bytes -= oldest.bytes();
            self.events.pop_front();
        }
        while self
            .checkpoints
            .front()
            .is_some_and(|(version, _)| *version < self.floor)
        {
            self.checkpoints.pop_front();
        }
    }

    /// The events after a version, for a watcher with this filter.
    pub(super) fn after(
        &self,
        version: ResourceVersion,
        filter: &Filter,
    ) -> Result<Vec<Arc<Event>>, StorageError> {
        let floor = if filter.varies() && !mutant!("i4-state-before-the-log-guessed") {
            self.floor.max(self.unknown)
        } else {
            self.floor
        };
        reaches(floor, version)?;
        Ok(self.events.range(self.position(version)..).cloned().collect())
    }

    /// What leads back from the newest objects, or from a kept state, to a version.
    pub(super) fn undo_to(&self, version: ResourceVersion, newest: &Objects) -> Result<Undo, StorageError> {
        reaches(self.floor.max(self.unknown), version)?;
        let checkpoint = self.checkpoints.partition_point(|(kept, _)| *kept < version);
        let (end, objects) = match self.checkpoints.get(checkpoint) {
            Some((kept, objects)) => (self.position(*kept), objects),
            None => (self.events.len(), newest),
        };
        let events = self.events.range(self.position(version)..end).cloned().collect();
        Ok(Undo {
            objects: objects.clone(),
            events,
        })
    }

    /// How many events are at or below a version.
    fn position(&self, version: ResourceVersion) -> usize {
        self.events.partition_point(|event| event.version <= version)
    }
}

/// A state, and the events that lie between it and an earlier one.
#[derive(Debug)]
pub(super) struct Undo {
    objects: Objects,
    events: Vec<Arc<Event>>,
}

impl Undo {
    /// The earlier state.
    pub(super) fn objects(mut self) -> Objects {
        for event in self.events.iter().rev() {
            match &event.previous {
                Some(previous) => self
                    .objects
                    .insert_mut(previous.key.clone(), Arc::clone(previous)),
                None => {
                    self.objects.remove_mut(&event.object.key);
                }
            }
        }
        self.objects
    }
}

fn reaches(floor: ResourceVersion, version: ResourceVersion) -> Result<(), StorageError> {
    if version < floor && !mutant!("i4-start-below-the-ring-accepted") {
        return Err(StorageError::Expired {
            asked: version,
            oldest: floor,
            continue_from: None,
        });
    }
    Ok(())
}
