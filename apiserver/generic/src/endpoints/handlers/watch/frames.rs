//! The frames of a watch: one JSON object and a newline for each event.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::endpoints::handlers::Call;
use crate::endpoints::metadata::PartialObjectMetadata;
use crate::endpoints::negotiation::{Negotiated, Transform};
use crate::endpoints::response::ListMetadata;
use crate::endpoints::table::{IncludeObject, Tables};
use crate::endpoints::{RequestScope, StatusError};
use crate::registry::RestStorage;
use crate::storage::{ResourceVersion, StorageError, Stored, WatchEvent, WatchEventType};

/// Marks the bookmark that closes the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Writes the frames of one watch.
pub(super) struct Frames {
    storage: Arc<dyn RestStorage>,
    scope: RequestScope,
    api_version: String,
    meta_api_version: &'static str,
    transform: Transform,
    include: IncludeObject,
    /// Whether a table has been sent; only the first has column definitions.
    columns_sent: bool,
}

impl Frames {
    pub(super) fn new(call: &Call<'_>, negotiated: &Negotiated, include: IncludeObject) -> Self {
        Self {
            storage: Arc::clone(&call.storage),
            scope: call.scope.clone(),
            api_version: call.api_version(),
            meta_api_version: negotiated.meta_api_version,
            transform: negotiated.transform,
            include,
            columns_sent: false,
        }
    }

    /// The frame of one event.
    pub(super) fn event(&mut self, event: &WatchEvent) -> Result<Bytes, StatusError> {
        match event {
            WatchEvent::Object(event_type, stored) => self.object(type_name(*event_type), stored),
            WatchEvent::Bookmark {
                version,
                initial_events_end,
            } => self.bookmark(*version, *initial_events_end),
        }
    }

    /// The Status of an error on the stream.
    pub(super) fn status(&self, error: StorageError) -> StatusError {
        StatusError::from_storage(error, &self.scope)
    }

    /// The frame of an error; its object is a Status, whatever the watch is turned into.
    pub(super) fn error(error: &StatusError) -> Bytes {
        // A Status consists of strings and numbers: writing it cannot fail.
        frame("ERROR", &serde_json::to_vec(&error.status()).unwrap_or_default())
    }

    fn object(&mut self, event_type: &str, stored: &Stored) -> Result<Bytes, StatusError> {
        match self.transform {
            Transform::None | Transform::PartialObjectMetadataList => {
                Ok(frame(event_type, &self.encoded(stored)?))
            }
            Transform::PartialObjectMetadata => written(
                event_type,
                &PartialObjectMetadata::new(self.meta_api_version, stored),
            ),
            Transform::Table => {
                let metadata = ListMetadata::at(&stored.version.to_string());
                let table = self.tables().table(&metadata, [stored], !self.columns_sent)?;
                self.columns_sent = true;
                written(event_type, &table)
            }
        }
    }

    fn encoded(&self, stored: &Stored) -> Result<Bytes, StatusError> {
        let encoded = self.storage.encoded(stored);
        encoded.map_err(|error| StatusError::from_registry(error, &self.scope))
    }

    /// A bookmark has an object of the watched form with nothing but the version.
    fn bookmark(&mut self, version: ResourceVersion, initial_events_end: bool) -> Result<Bytes, StatusError> {
        let version = version.to_string();
        let mut metadata = json!({"resourceVersion": version, "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let (kind, api_version) = match self.transform {
            Transform::None | Transform::PartialObjectMetadataList => {
                (self.scope.kind.as_str(), self.api_version.as_str())
            }
            Transform::PartialObjectMetadata | Transform::Table => {
                ("PartialObjectMetadata", self.meta_api_version)
            }
        };
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        if self.transform == Transform::Table {
            return self.table_bookmark(&version, &object);
        }
        written("BOOKMARK", &object)
    }

    fn table_bookmark(&mut self, version: &str, object: &Value) -> Result<Bytes, StatusError> {
        let metadata = ListMetadata::at(version);
        let table = self.tables().bookmark(&metadata, object, !self.columns_sent)?;
        self.columns_sent = true;
        written("BOOKMARK", &table)
    }

    fn tables(&self) -> Tables<'_> {
        Tables {
            storage: self.storage.as_ref(),
            scope: &self.scope,
            api_version: self.meta_api_version,
            include: self.include,
        }
    }
}

const fn type_name(event_type: WatchEventType) -> &'static str {
    match event_type {
        WatchEventType::Added => "ADDED",
        WatchEventType::Modified => "MODIFIED",
        WatchEventType::Deleted => "DELETED",
    }
}

fn written(event_type: &str, object: &impl Serialize) -> Result<Bytes, StatusError> {
    let object = serde_json::to_vec(object).map_err(StatusError::internal)?;
    Ok(frame(event_type, &object))
}

fn frame(event_type: &str, object: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(object.len() + 40);
    bytes.extend_from_slice(format!(r#"{{"type":"{event_type}","object":"#).as_bytes());
    bytes.extend_from_slice(object);
    bytes.extend_from_slice(b"}\n");
    bytes.into()
}
