//! One event in memory, and what a watcher with a selection sees of it.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use crate::storage::error::StorageError;
use crate::storage::postgres::change_log::LoggedEvent;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::selection::{FieldRequirement, Selection};
use crate::storage::table::ResourceTable;
use crate::storage::types::{Stored, WatchEvent, WatchEventType};

/// Which objects a list or a watch is about.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) namespace: Option<String>,
    pub(crate) selection: Selection,
}

impl Filter {
    /// A field selector on the namespace narrows as the path does.
    pub(crate) fn new(namespace: Option<&str>, selection: &Selection) -> Self {
        let equal = selection
            .fields
            .iter()
            .find(|field| field.equal && field.field == "metadata.namespace");
        let namespace = namespace.or(equal.map(|field| field.value.as_str()));
        Self {
            namespace: namespace.map(str::to_owned),
            selection: selection.clone(),
        }
    }

    pub(crate) fn matches(&self, object: &Stored) -> bool {
        self.namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == object.key.namespace)
            && self.selection.matches(object)
    }

    /// Whether an object may begin or cease to match while it exists.
    pub(crate) fn varies(&self) -> bool {
        let fixed = |field: &FieldRequirement| {
            ["metadata.name", "metadata.namespace"].contains(&field.field.as_str())
        };
        !self.selection.labels.is_empty() || !self.selection.fields.iter().all(fixed)
    }

    /// The one name that can match, when there is only one.
    pub(crate) fn name(&self) -> Option<&str> {
        let equal = self
            .selection
            .fields
            .iter()
            .find(|field| field.equal && field.field == "metadata.name");
        equal.map(|field| field.value.as_str())
    }
}

/// One event, shared by the ring and the watchers.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) version: ResourceVersion,
    pub(crate) kind: WatchEventType,
    /// The state after; of a deleted object the last state, at the event's version.
    pub(crate) object: Arc<Stored>,
    /// The state before. None also for an event older than the cache whose predecessor is not in the
    /// change log: the ring gives such an event to nobody to whom that makes a difference.
    pub(crate) previous: Option<Arc<Stored>>,
    /// `previous` at the event's version, made when the first watcher needs it.
    departed: OnceLock<Arc<Stored>>,
    /// When it was read.
    pub(crate) at: Instant,
}

impl Event {
    pub(crate) fn new(logged: LoggedEvent, previous: Option<Arc<Stored>>) -> Self {
        Self {
            version: logged.version,
            kind: logged.kind,
            object: logged.object,
            previous,
            departed: OnceLock::new(),
            at: Instant::now(),
        }
    }

    /// What a watcher sees: an object that begins to match is added, one that ceases to match is
    /// deleted, in its last matching state at the version of the event.
    pub(crate) fn seen(
        &self,
        filter: &Filter,
        table: &ResourceTable,
    ) -> Result<Option<WatchEvent>, StorageError> {
        let deleted = self.kind == WatchEventType::Deleted;
        let after = !deleted && filter.matches(&self.object);
        let before = match &self.previous {
            Some(previous) => filter.matches(previous),
            None => self.kind != WatchEventType::Added && filter.matches(&self.object),
        };
        let seen = match (before, after) {
            (false, false) => return Ok(None),
            (false, true) => WatchEvent::Object(WatchEventType::Added, Arc::clone(&self.object)),
            (true, true) => WatchEvent::Object(WatchEventType::Modified, Arc::clone(&self.object)),
            (true, false) => WatchEvent::Object(WatchEventType::Deleted, self.departed(table)?),
        };
        Ok(Some(seen))
    }

    fn departed(&self, table: &ResourceTable) -> Result<Arc<Stored>, StorageError> {
        let previous = match &self.previous {
            Some(previous) if self.kind != WatchEventType::Deleted => previous,
            _ => return Ok(Arc::clone(&self.object)),
        };
        if let Some(departed) = self.departed.get() {
            return Ok(Arc::clone(departed));
        }
        let departed = table.at_version(previous, self.version)?;
        Ok(Arc::clone(self.departed.get_or_init(|| departed.stored)))
    }

    /// What it costs to keep.
    pub(crate) fn bytes(&self) -> usize {
        self.object.encoded.len()
    }
}
