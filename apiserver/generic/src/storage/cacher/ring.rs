//! The recent events of one resource, and the way back to the objects at any version among them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Event, Objects};
use crate::storage::error::StorageError;
use crate::storage::options::StorageOptions;
use crate::storage::resource_version::ResourceVersion;

/// Events between two kept states: going back undoes at most so many.
const CHECKPOINT_EVENTS: usize = 256;

/// The recent events. Those younger than an age are kept within bounds, a few whatever their age:
/// upstream's ring grows and shrinks to the same effect.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<Arc<Event>>,
    /// All events after this version are here.
    floor: ResourceVersion,
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
            bytes: 0,
            checkpoints: VecDeque::new(),
            since_checkpoint: 0,
            events_min: options.ring_events_min,
            events_max: options.ring_events_max,
            bytes_max: options.ring_bytes_max,
            age: options.ring_age,
        }
    }

    /// Forgets everything; all events after `floor` will follow.
    pub(super) fn restart(&mut self, floor: ResourceVersion) {
        self.events.clear();
        self.checkpoints.clear();
        self.bytes = 0;
        self.since_checkpoint = 0;
        self.floor = floor;
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

    /// The events after a version.
    pub(super) fn after(&self, version: ResourceVersion) -> Result<Vec<Arc<Event>>, StorageError> {
        self.reaches(version)?;
        Ok(self.events.range(self.position(version)..).cloned().collect())
    }

    /// What leads back from the newest objects, or from a kept state, to a version.
    pub(super) fn undo_to(&self, version: ResourceVersion, newest: &Objects) -> Result<Undo, StorageError> {
        self.reaches(version)?;
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

    fn reaches(&self, version: ResourceVersion) -> Result<(), StorageError> {
        if version < self.floor {
            return Err(StorageError::Expired {
                asked: version,
                oldest: self.floor,
                continue_from: None,
            });
        }
        Ok(())
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
