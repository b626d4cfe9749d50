//! Objects between their three forms: [`Object`], the text in the database, and [`Stored`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use super::error::StorageError;
use super::resource_version::ResourceVersion;
use super::table::ResourceTable;
use super::types::{Key, Stored};
use crate::object::Object;

/// An object ready to be written.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) stored: Arc<Stored>,
    /// The resource's own columns.
    pub(crate) columns: Map<String, Value>,
}

impl ResourceTable {
    /// The stored form of an object's text, as read from the table or the change log.
    ///
    /// # Errors
    /// `Corrupt` when the text is not an object of this version.
    pub fn stored(
        &self,
        version: ResourceVersion,
        text: impl Into<Bytes>,
    ) -> Result<Arc<Stored>, StorageError> {
        let encoded = text.into();
        let corrupt =
            |what: &str| StorageError::Corrupt(format!("{} at version {version}: {what}", self.resource));
        let object: Object = serde_json::from_slice(&encoded).map_err(|error| corrupt(&error.to_string()))?;
        if object.metadata.resource_version.as_deref() != Some(version.to_string().as_str()) {
            return Err(corrupt("the text carries another version than the row"));
        }
        if object.metadata.name.as_deref().is_none_or(str::is_empty) {
            return Err(corrupt("metadata.name is missing"));
        }
        let fields = (self.fields_of)(&object);
        Ok(Arc::new(Stored::new(version, encoded, object.metadata, fields)))
    }

    /// Encodes an object at a version; the object is left carrying that version.
    pub(crate) fn encode(
        &self,
        version: ResourceVersion,
        object: &mut Object,
    ) -> Result<Encoded, StorageError> {
        object.metadata.resource_version = Some(version.to_string());
        let encoded = serde_json::to_vec(object).map_err(|error| {
            StorageError::Corrupt(format!("{} cannot be encoded: {error}", self.resource))
        })?;
        let columns = (self.columns_of)(object);
        let fields = (self.fields_of)(object);
        let stored = Arc::new(Stored::new(
            version,
            encoded.into(),
            object.metadata.clone(),
            fields,
        ));
        Ok(Encoded { stored, columns })
    }

    /// The same object at another version: what a DELETED event carries.
    pub(crate) fn at_version(
        &self,
        object: &Stored,
        version: ResourceVersion,
    ) -> Result<Encoded, StorageError> {
        let mut parsed: Object = serde_json::from_slice(&object.encoded)
            .map_err(|error| StorageError::Corrupt(format!("{} {}: {error}", self.resource, object.key)))?;
        self.encode(version, &mut parsed)
    }
}

impl Stored {
    fn new(
        version: ResourceVersion,
        encoded: Bytes,
        metadata: ObjectMeta,
        fields: BTreeMap<&'static str, String>,
    ) -> Self {
        let key = Key {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        };
        Self {
            key,
            version,
            encoded,
            metadata,
            fields,
        }
    }
}
