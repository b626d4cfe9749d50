//! The nouns of the storage interface: keys, stored objects, list and watch options.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::resource_version::ResourceVersion;
use super::selection::Selection;

/// Namespace and name of an object of one resource; ordered as lists are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of a namespaced object.
    pub fn namespaced(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self {
            namespace: String::new(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{:?}", self.name),
            namespace => write!(f, "{:?} in namespace {namespace:?}", self.name),
        }
    }
}

/// One version of one object: encoded once, shared by cache, ring and watchers.
#[derive(Debug)]
pub struct Stored {
    /// Namespace and name.
    pub key: Key,
    /// The version; also inside `encoded`.
    pub version: ResourceVersion,
    /// The whole object as JSON, with `metadata.resourceVersion`.
    pub encoded: Bytes,
    /// Parsed metadata.
    pub metadata: ObjectMeta,
    /// The selectable fields besides `metadata.name` and `metadata.namespace`.
    pub fields: BTreeMap<&'static str, String>,
}

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// At least as new as the moment of the request (resourceVersion unset).
    Latest,
    /// Whatever is at hand (resourceVersion "0").
    Any,
    /// Not older than this version.
    NotOlderThan(ResourceVersion),
}

/// The version a list is asked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListVersion {
    /// The newest state that is fresh enough.
    Fresh(Freshness),
    /// Exactly this version.
    Exact(ResourceVersion),
}

/// What to list.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// Only this namespace; `None` = all.
    pub namespace: Option<String>,
    /// Labels and fields.
    pub selection: Selection,
    /// At which version.
    pub version: ListVersion,
    /// At most so many objects in a page; 0 = all.
    pub limit: usize,
    /// The token of the page before. With it `version` is ignored.
    pub continue_token: Option<String>,
}

/// One page of a list.
#[derive(Debug)]
pub struct ListPage {
    /// The version of the whole list; above zero also when it is empty.
    pub version: ResourceVersion,
    /// The objects, in the order of the resource (by key; a log: newest first).
    pub items: Vec<Arc<Stored>>,
    /// The token of the next page.
    pub continue_token: Option<String>,
    /// How many objects follow, when that is known.
    pub remaining: Option<u64>,
}

/// What to watch.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Only this namespace; `None` = all.
    pub namespace: Option<String>,
    /// Labels and fields.
    pub selection: Selection,
    /// Where to start.
    pub start: WatchStart,
    /// Whether bookmarks are delivered, the closing one of the initial events included.
    pub bookmarks: bool,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchStart {
    /// After this version.
    After(ResourceVersion),
    /// With the present state, at least this fresh, as ADDED events, then live.
    InitialEvents(Freshness),
    /// From now, with no initial events.
    Now(Freshness),
}

/// The type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEventType {
    /// The object appeared, or began to match.
    Added,
    /// The object changed and still matches.
    Modified,
    /// The object went, or ceased to match.
    Deleted,
}

/// One item of a watch stream.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// A change. A deleted object is the last state that matched, at the version of the event.
    Object(WatchEventType, Arc<Stored>),
    /// Everything up to this version has been delivered; `initial_events_end` closes the initial events.
    Bookmark {
        /// The version reached.
        version: ResourceVersion,
        /// Whether it closes the initial events.
        initial_events_end: bool,
    },
}
