//! Continue tokens: where a list goes on, opaque to clients, valid on every replica.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use super::resource_version::ResourceVersion;
use super::types::Key;

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContinueToken {
    /// The name of the resource; a token of another collection is refused.
    resource: String,
    namespace: Option<String>,
    /// The version of the list; none: whatever is newest, after the list's own version has expired.
    version: Option<u64>,
    pub(crate) position: Position,
    /// How many objects follow, where that is known.
    pub(crate) remaining: Option<u64>,
}

/// The last object of the page before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Position {
    /// Its namespace and name, in a list by key.
    After(String, String),
    /// Its version, in a list that goes from newest to oldest.
    Below(u64),
}

impl ContinueToken {
    pub(crate) fn new(
        resource: &str,
        namespace: Option<&str>,
        version: Option<ResourceVersion>,
        position: Position,
        remaining: Option<u64>,
    ) -> Self {
        Self {
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            version: version.map(ResourceVersion::get),
            position,
            remaining,
        }
    }

    pub(crate) fn version(&self) -> Option<ResourceVersion> {
        self.version.map(ResourceVersion::new)
    }

    /// The token that goes on from the same place at the newest version.
    pub(crate) fn at_newest(&self) -> Self {
        Self {
            version: None,
            remaining: None,
            ..self.clone()
        }
    }

    /// The key to go on behind; an error for a token of a list that is not by key.
    pub(crate) fn after(&self) -> Result<Key, StorageError> {
        match &self.position {
            Position::After(namespace, name) => Ok(Key::namespaced(namespace, name)),
            Position::Below(_) => Err(invalid("it belongs to another list")),
        }
    }

    /// The version to go on below; an error for a token of a list by key.
    pub(crate) fn below(&self) -> Result<ResourceVersion, StorageError> {
        match &self.position {
            Position::Below(version) => Ok(ResourceVersion::new(*version)),
            Position::After(..) => Err(invalid("it belongs to another list")),
        }
    }

    pub(crate) fn encode(&self) -> String {
        let json = serde_json::to_vec(self).expect("strings and numbers are always JSON");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads a token that must belong to this collection.
    pub(crate) fn decode(text: &str, resource: &str, namespace: Option<&str>) -> Result<Self, StorageError> {
        let json = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| invalid("it is not base64"))?;
        let token: Self =
            serde_json::from_slice(&json).map_err(|_| invalid("it was not made by this server"))?;
        if token.resource != resource || token.namespace.as_deref() != namespace {
            return Err(invalid("it belongs to another list"));
        }
        let outside = |position: &str| namespace.is_some_and(|namespace| namespace != position);
        match &token.position {
            Position::After(position, _) if outside(position) => {
                Err(invalid("it points out of its namespace"))
            }
            _ => Ok(token),
        }
    }
}

fn invalid(why: &str) -> StorageError {
    StorageError::InvalidContinue(why.to_owned())
}
