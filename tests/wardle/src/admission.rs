//! No flunder gets a name that a fischer disallows.
//!
//! Upstream: the admission plugin BanFlunder of the sample server.

use std::sync::Arc;

use async_trait::async_trait;
use generic_apiserver::admission::{Admission, CreateAttributes};
use generic_apiserver::registry::RegistryError;
use generic_apiserver::storage::{
    Freshness, ListOptions, ListVersion, Selection, Storage, StorageError, Stored,
};

use crate::fischer::FISCHERS;
use crate::flunder::FLUNDERS;
use crate::v1alpha1::Fischer;

/// Asks the rules about namespaces, then the fischers.
pub struct BanFlunder {
    storage: Storage,
    namespaces: Arc<dyn Admission>,
}

impl BanFlunder {
    /// This rule after those of `namespaces`.
    pub fn after(namespaces: Arc<dyn Admission>, storage: Storage) -> Self {
        Self { storage, namespaces }
    }

    async fn fischers(&self) -> Result<Vec<Fischer>, StorageError> {
        let everything = ListOptions {
            namespace: None,
            selection: Selection::default(),
            version: ListVersion::Fresh(Freshness::Latest),
            limit: 0,
            continue_token: None,
        };
        let page = self.storage.list(FISCHERS, &everything).await?;
        page.items.iter().map(|stored| read(stored)).collect()
    }
}

fn read(stored: &Stored) -> Result<Fischer, StorageError> {
    serde_json::from_slice(&stored.encoded)
        .map_err(|error| StorageError::Corrupt(format!("{}: {error}", stored.key)))
}

#[async_trait]
impl Admission for BanFlunder {
    async fn admit_create(&self, create: CreateAttributes<'_>) -> Result<(), RegistryError> {
        self.namespaces.admit_create(create).await?;
        if create.resource != FLUNDERS || !create.subresource.is_empty() {
            return Ok(());
        }
        let fischers = self.fischers().await?;
        let disallows =
            |fischer: &&Fischer| fischer.disallowed_flunders.iter().any(|name| name == create.name);
        match fischers.iter().find(disallows) {
            None => Ok(()),
            Some(fischer) => Err(RegistryError::Forbidden {
                message: format!(
                    "fischer {:?} disallows this name, please change the name of the flunder",
                    fischer.metadata.name.as_deref().unwrap_or_default()
                ),
                causes: Vec::new(),
            }),
        }
    }
}

impl std::fmt::Debug for BanFlunder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BanFlunder").finish_non_exhaustive()
    }
}
