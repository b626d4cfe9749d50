//! The agents of the fleet as this replica knows them: parsed once per version, not once per order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use brokkr_apis::work::v1alpha1::Agent;
use generic_apiserver::storage::{
    Freshness, ListOptions, ListVersion, ResourceVersion, Selection, Storage, StorageError, Stored,
};

use crate::registry::agent::table::AGENTS;

/// Reads agents from the watch cache.
pub(super) struct Roster {
    storage: Storage,
    parsed: Mutex<HashMap<String, (ResourceVersion, Arc<Agent>)>>,
}

impl Roster {
    pub(super) fn new(storage: Storage) -> Self {
        Self {
            storage,
            parsed: Mutex::default(),
        }
    }

    /// All agents by name, as fresh as the cache is.
    ///
    /// # Errors
    /// Storage cannot answer, or an agent cannot be read.
    pub(super) async fn agents(&self) -> Result<Vec<Arc<Agent>>, StorageError> {
        let options = ListOptions {
            namespace: None,
            selection: Selection::default(),
            version: ListVersion::Fresh(Freshness::Any),
            limit: 0,
            continue_token: None,
        };
        let page = self.storage.list(AGENTS, &options).await?;
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        // Agents that are gone are forgotten with the old map.
        let mut known = std::mem::take(&mut *parsed);
        let mut agents = Vec::with_capacity(page.items.len());
        for stored in &page.items {
            let entry = match known.remove(&stored.key.name) {
                Some((version, agent)) if version == stored.version => (version, agent),
                _ => (stored.version, Arc::new(parse(stored)?)),
            };
            agents.push(Arc::clone(&entry.1));
            parsed.insert(stored.key.name.clone(), entry);
        }
        Ok(agents)
    }
}

fn parse(stored: &Stored) -> Result<Agent, StorageError> {
    serde_json::from_slice(&stored.encoded)
        .map_err(|error| StorageError::Corrupt(format!("agent {}: {error}", stored.key)))
}
