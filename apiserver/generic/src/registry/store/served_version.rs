//! A resource in a version other than the one that is stored.
//!
//! Upstream concept: a version of `APIGroupInfo.VersionedResourcesStorageMap`, with the version that the
//! strategy knows in the place of the internal one. Left out: a change of the stored version; rows of the
//! old one would have to be rewritten first.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::Resource;
use serde_json::Value;

use super::{Store, decode, subresources};
use crate::object::{Kind, Object};
use crate::registry::context::RequestContext;
use crate::registry::error::RegistryError;
use crate::registry::names::TableColumn;
use crate::registry::rest::{
    Decoded, DeleteRequest, Deleted, KindSchema, ObjectChange, Part, ResourceInfo, RestStorage,
    RestSubresource,
};
use crate::registry::strategy::Strategy;
use crate::registry::subresource::{NamedCreater, NamedGetter};
use crate::storage::{
    Freshness, Key, ListOptions, ListPage, StorageError, Stored, WatchOptions, WatchStream,
};

/// A resource served as `V`, which is converted to and from the kind of its strategy.
///
/// Both conversions are total, and no valid object loses anything on the way there and back, or an update
/// in one version would destroy what only the other can say. Defaults that only `V` has belong into its
/// conversion. Names, verbs, columns, selectable fields and the fields that errors name are those of the
/// strategy; subresources are kinds of a version, so that each version brings its own.
pub struct ServedVersion<S: Strategy, V> {
    store: Arc<Store<S>>,
    info: ResourceInfo,
    subresources: Vec<Arc<dyn RestSubresource>>,
    served: PhantomData<fn() -> V>,
}

impl<S, V> ServedVersion<S, V>
where
    S: Strategy,
    S::Kind: From<V>,
    V: Kind + From<S::Kind>,
{
    /// The resource of this store in the version of `V`, which has the same group and kind.
    #[must_use]
    pub fn of(store: Arc<Store<S>>) -> Self {
        let info = ResourceInfo {
            version: V::VERSION,
            ..store.info.clone()
        };
        Self {
            store,
            info,
            subresources: Vec::new(),
            served: PhantomData,
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
}

impl<S: Strategy, V> std::fmt::Debug for ServedVersion<S, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServedVersion")
            .field("store", &self.store)
            .field("version", &self.info.version)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<S, V> RestStorage for ServedVersion<S, V>
where
    S: Strategy,
    S::Kind: From<V>,
    V: Kind + From<S::Kind>,
{
    fn info(&self) -> &ResourceInfo {
        &self.info
    }

    fn schema(&self) -> KindSchema {
        decode::schema::<V>()
    }

    fn subresources(&self) -> &[Arc<dyn RestSubresource>] {
        &self.subresources
    }

    fn columns(&self) -> &'static [TableColumn] {
        self.store.columns()
    }

    fn cells(&self, object: &Stored) -> Result<Vec<Value>, RegistryError> {
        self.store.cells(object)
    }

    fn decode(&self, body: Value) -> Result<Decoded, serde_json::Error> {
        decode::decode::<V, S::Kind>(&body)
    }

    fn served<'o>(&self, object: &'o Object) -> Result<Cow<'o, Object>, RegistryError> {
        let served = V::from(Store::<S>::typed(object)?);
        Object::from_typed(&served)
            .map(Cow::Owned)
            .map_err(|e| unwritable::<V>(&e))
    }

    fn encoded(&self, object: &Stored) -> Result<Bytes, RegistryError> {
        let stored: S::Kind = serde_json::from_slice(&object.encoded)
            .map_err(|e| StorageError::Corrupt(format!("{}: {e}", object.key)))?;
        let served = serde_json::to_vec(&V::from(stored));
        served.map(Bytes::from).map_err(|e| unwritable::<V>(&e))
    }

    async fn get(&self, key: &Key, fresh: Freshness) -> Result<Arc<Stored>, RegistryError> {
        self.store.get(key, fresh).await
    }

    async fn list(&self, options: &ListOptions) -> Result<ListPage, RegistryError> {
        self.store.list(options).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<WatchStream, RegistryError> {
        self.store.watch(options).await
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        object: Object,
    ) -> Result<Object, RegistryError> {
        self.store.create(ctx, namespace, object).await
    }

    async fn update(
        &self,
        ctx: &RequestContext,
        key: &Key,
        part: Part,
        change: &dyn ObjectChange,
    ) -> Result<Object, RegistryError> {
        self.store.update(ctx, key, part, change).await
    }

    async fn delete(
        &self,
        ctx: &RequestContext,
        key: &Key,
        request: &DeleteRequest,
    ) -> Result<Deleted, RegistryError> {
        self.store.delete(ctx, key, request).await
    }

    async fn delete_collection(
        &self,
        ctx: &RequestContext,
        options: &ListOptions,
        request: &DeleteRequest,
    ) -> Result<Vec<Object>, RegistryError> {
        self.store.delete_collection(ctx, options, request).await
    }
}

fn unwritable<V: Resource>(error: &serde_json::Error) -> RegistryError {
    RegistryError::Internal(format!("{} cannot be written: {error}", V::KIND))
}
