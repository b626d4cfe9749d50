//! The verbs of a resource: a strategy and storage, called in the right order.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/registry/generic/registry.Store`. Writes are compare-and-swap:
//! they are built from what was read, and built again when the object has changed meanwhile.

mod create;
mod decode;
mod delete;
mod served_version;
mod size;
mod subresources;
mod update;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::context::RequestContext;
use super::error::RegistryError;
use super::field::FieldError;
use super::names::TableColumn;
use super::rest::{
    Decoded, DeleteRequest, Deleted, KindSchema, ObjectChange, Part, ResourceInfo, RestStorage,
    RestSubresource,
};
use super::strategy::{Seen, Strategy};
use super::subresource::{NamedCreater, NamedGetter};
use crate::object::Object;
use crate::storage::{
    Freshness, GroupResource, Key, ListOptions, ListPage, Selection, Storage, StorageError, Stored,
    WatchOptions, WatchStream,
};

pub use served_version::ServedVersion;

/// A resource assembled from its strategy and storage.
pub struct Store<S: Strategy> {
    strategy: S,
    storage: Storage,
    resource: GroupResource,
    info: ResourceInfo,
    subresources: Vec<Arc<dyn RestSubresource>>,
}

impl<S: Strategy> Store<S> {
    /// The resource of this strategy; its table is known to `storage`.
    pub fn new(strategy: S, storage: Storage) -> Self {
        let table = strategy.table();
        let info = ResourceInfo {
            group: S::Kind::GROUP,
            version: S::Kind::VERSION,
            storage_version: S::Kind::VERSION,
            kind: S::Kind::KIND,
            names: strategy.names(),
            verbs: strategy.verbs(),
            has_status: strategy.has_status(),
            fields: table.fields.to_vec(),
        };
        Self {
            resource: table.resource,
            strategy,
            storage,
            info,
            subresources: Vec::new(),
        }
    }

    /// Serves a subresource to which a body is posted.
    #[must_use]
    pub fn creater<C: NamedCreater>(mut self, creater: C) -> Self {
        self.subresources.push(Arc::new(subresources::Creater(creater)));
        self
    }

    /// Serves a subresource that is read.
    #[must_use]
    pub fn getter<G: NamedGetter>(mut self, getter: G) -> Self {
        self.subresources.push(Arc::new(subresources::Getter(getter)));
        self
    }

    /// What is seen in one namespace; in all together everything is.
    async fn seen_in(&self, namespace: Option<&str>) -> Result<Seen, RegistryError> {
        match namespace.filter(|namespace| !namespace.is_empty()) {
            Some(namespace) => self.strategy.seen_in(namespace).await,
            None => Ok(Seen::default()),
        }
    }

    /// The type of an object that was decoded or stored before.
    fn typed(object: &Object) -> Result<S::Kind, RegistryError> {
        object
            .to_typed()
            .map_err(|e| RegistryError::BadRequest(format!("{} cannot be read: {e}", S::Kind::KIND)))
    }

    fn untyped(typed: &S::Kind) -> Result<Object, RegistryError> {
        Object::from_typed(typed)
            .map_err(|e| RegistryError::Internal(format!("{} cannot be written: {e}", S::Kind::KIND)))
    }

    fn invalid(metadata: &ObjectMeta, errors: Vec<FieldError>) -> Result<(), RegistryError> {
        if errors.is_empty() {
            return Ok(());
        }
        let name = metadata.name.clone().unwrap_or_default();
        Err(RegistryError::Invalid {
            kind: S::Kind::KIND.to_owned(),
            name,
            errors,
        })
    }
}

impl<S: Strategy> std::fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// Reads a stored object; what was stored can be read, or a person must look.
pub(crate) fn object_of(stored: &Stored) -> Result<Object, RegistryError> {
    serde_json::from_slice(&stored.encoded)
        .map_err(|e| StorageError::Corrupt(format!("{}: {e}", stored.key)).into())
}

#[async_trait]
impl<S: Strategy> RestStorage for Store<S> {
    fn info(&self) -> &ResourceInfo {
        &self.info
    }

    fn schema(&self) -> KindSchema {
        decode::schema::<S::Kind>()
    }

    fn subresources(&self) -> &[Arc<dyn RestSubresource>] {
        &self.subresources
    }

    fn columns(&self) -> &'static [TableColumn] {
        self.strategy.columns()
    }

    fn cells(&self, object: &Stored) -> Result<Vec<Value>, RegistryError> {
        let typed = serde_json::from_slice(&object.encoded)
            .map_err(|e| StorageError::Corrupt(format!("{}: {e}", object.key)))?;
        Ok(self.strategy.cells(&typed))
    }

    fn decode(&self, body: Value) -> Result<Decoded, serde_json::Error> {
        decode::decode::<S::Kind, S::Kind>(&body)
    }

    async fn get(&self, key: &Key, fresh: Freshness) -> Result<Arc<Stored>, RegistryError> {
        let seen = self.seen_in(Some(&key.namespace)).await?;
        let stored = self.storage.get(self.resource, key, fresh).await?;
        let seen = Selection {
            fields: seen.fields,
            ..Selection::default()
        };
        if seen.matches(&stored) {
            Ok(stored)
        } else {
            Err(StorageError::NotFound(key.clone()).into())
        }
    }

    async fn list(&self, options: &ListOptions) -> Result<ListPage, RegistryError> {
        let mut options = options.clone();
        let seen = self.seen_in(options.namespace.as_deref()).await?;
        options.selection.fields.extend(seen.fields);
        Ok(self.storage.list(self.resource, &options).await?)
    }

    async fn watch(&self, mut options: WatchOptions) -> Result<WatchStream, RegistryError> {
        let seen = self.seen_in(options.namespace.as_deref()).await?;
        options.selection.fields.extend(seen.fields);
        let watch = self.storage.watch(self.resource, options).await?;
        Ok(match seen.until {
            Some(until) => watch.expire_when(until),
            None => watch,
        })
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        object: Object,
    ) -> Result<Object, RegistryError> {
        self.create_object(ctx, namespace, object).await
    }

    async fn update(
        &self,
        ctx: &RequestContext,
        key: &Key,
        part: Part,
        change: &dyn ObjectChange,
    ) -> Result<Object, RegistryError> {
        self.update_object(ctx, key, part, change).await
    }

    async fn delete(
        &self,
        ctx: &RequestContext,
        key: &Key,
        request: &DeleteRequest,
    ) -> Result<Deleted, RegistryError> {
        self.delete_object(ctx, key, request).await
    }

    async fn delete_collection(
        &self,
        ctx: &RequestContext,
        options: &ListOptions,
        request: &DeleteRequest,
    ) -> Result<Vec<Object>, RegistryError> {
        self.delete_selected(ctx, options, request).await
    }
}
