//! A resource as `endpoints` sees it: its verbs over JSON objects, whatever its Rust type.
//!
//! Upstream concept: the interfaces of `k8s.io/apiserver/pkg/registry/rest`. [`Store`](super::Store)
//! implements this for a [`Strategy`](super::Strategy), and [`ServedVersion`](super::ServedVersion) for a
//! further version of it.
//!
//! A resource is stored in one version. Every object that crosses this interface is in that version, in
//! either direction; what clients read and write in another one is converted by
//! [`decode`](RestStorage::decode), [`served`](RestStorage::served) and
//! [`encoded`](RestStorage::encoded).

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::context::RequestContext;
use super::error::RegistryError;
use super::names::{ResourceNames, TableColumn, Verb};
use crate::object::Object;
use crate::storage::{Freshness, Key, ListOptions, ListPage, Stored, WatchOptions, WatchStream};

/// A body as its type reads it.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// What the type took, in the version that is stored; unknown fields are gone.
    pub object: Object,
    /// The paths of the fields that the type does not know, such as `spec.x`.
    pub unknown_fields: Vec<String>,
}

/// Makes the new state of an object from its present one: a replacement or a patch.
///
/// It is asked again when the object has changed meanwhile.
pub trait ObjectChange: Send + Sync {
    /// The new state.
    ///
    /// # Errors
    /// When the change does not fit the present state.
    fn apply(&self, current: &Object) -> Result<Object, RegistryError>;
}

/// Which part of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but the status.
    Main,
    /// The status alone.
    Status,
}

/// What happens to objects that name the deleted one as owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationPolicy {
    /// They are left, without the reference.
    Orphan,
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
}

/// The options of a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Seconds of grace asked for.
    pub grace_period_seconds: Option<i64>,
    /// What happens to dependents; `None` = the finalizers that are set decide.
    pub propagation_policy: Option<PropagationPolicy>,
    /// The uid the object must have.
    pub uid: Option<String>,
    /// The version the object must have.
    pub resource_version: Option<String>,
}

/// The effect of a delete.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// The object is gone; its last state.
    Gone(Object),
    /// The object is marked and waits for its finalizers.
    Marked(Object),
}

/// What discovery and OpenAPI say of a resource.
#[derive(Clone, Debug)]
pub struct ResourceInfo {
    /// The API group.
    pub group: &'static str,
    /// The version served.
    pub version: &'static str,
    /// The version stored; the same for every version in which the resource is served.
    pub storage_version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Plural, singular, short names, scope.
    pub names: ResourceNames,
    /// The verbs served.
    pub verbs: &'static [Verb],
    /// Whether `/status` is served.
    pub has_status: bool,
    /// The selectable fields besides `metadata.name` and `metadata.namespace`.
    pub fields: Vec<&'static str>,
}

/// The JSON schema of a kind, and the schemas it refers to below `$defs`.
pub type KindSchema = Value;

/// A subresource as `endpoints` sees it.
#[async_trait]
pub trait RestSubresource: Send + Sync {
    /// The last segment of its path.
    fn name(&self) -> &'static str;

    /// The kind of body and answer.
    fn kind(&self) -> &'static str;

    /// `create` or `get`.
    fn verb(&self) -> Verb;

    /// The schema of its kind; `None` for a kind that a resource serves itself.
    fn schema(&self) -> Option<KindSchema>;

    /// Reads a body as its type does.
    ///
    /// # Errors
    /// When a field has another type than declared.
    fn decode(&self, body: Value) -> Result<Decoded, serde_json::Error>;

    /// Whether it is refused while the namespace is terminating.
    fn refused_in_terminating_namespace(&self) -> bool;

    /// Answers a request about `parent`; a get comes without a body.
    ///
    /// # Errors
    /// What the rules of the subresource say.
    async fn answer(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        body: Option<Object>,
    ) -> Result<Value, RegistryError>;
}

/// A resource as `endpoints` sees it.
#[async_trait]
pub trait RestStorage: Send + Sync {
    /// Names, scope and verbs.
    fn info(&self) -> &ResourceInfo;

    /// The schema of its kind.
    fn schema(&self) -> KindSchema;

    /// Its subresources besides `/status`.
    fn subresources(&self) -> &[Arc<dyn RestSubresource>];

    /// The printer columns between Name and Age.
    fn columns(&self) -> &'static [TableColumn];

    /// The cells of [`columns`](Self::columns).
    ///
    /// # Errors
    /// When the stored object cannot be read as the type.
    fn cells(&self, object: &Stored) -> Result<Vec<Value>, RegistryError>;

    /// Reads a body as the type does.
    ///
    /// # Errors
    /// When a field has another type than declared.
    fn decode(&self, body: Value) -> Result<Decoded, serde_json::Error>;

    /// An object in the version served, which a patch applies to.
    ///
    /// # Errors
    /// When the stored object cannot be read as its type.
    fn served<'o>(&self, object: &'o Object) -> Result<Cow<'o, Object>, RegistryError> {
        Ok(Cow::Borrowed(object))
    }

    /// The text of a stored object in the version served: where that is the version stored, the bytes that
    /// storage keeps and every reader shares.
    ///
    /// # Errors
    /// When the stored object cannot be read as its type.
    fn encoded(&self, object: &Stored) -> Result<Bytes, RegistryError> {
        Ok(object.encoded.clone())
    }

    /// One object.
    ///
    /// # Errors
    /// `NotFound`, or storage cannot answer.
    async fn get(&self, key: &Key, fresh: Freshness) -> Result<Arc<Stored>, RegistryError>;

    /// One page of a list.
    ///
    /// # Errors
    /// Storage cannot answer.
    async fn list(&self, options: &ListOptions) -> Result<ListPage, RegistryError>;

    /// A stream of changes.
    ///
    /// # Errors
    /// Storage cannot answer.
    async fn watch(&self, options: WatchOptions) -> Result<WatchStream, RegistryError>;

    /// Creates; `namespace` is that of the path, empty for cluster-scoped resources.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists`, or what the strategy says.
    async fn create(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        object: Object,
    ) -> Result<Object, RegistryError>;

    /// Changes; retried on a concurrent change unless the change itself names a version.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `Invalid`, or what the strategy says.
    async fn update(
        &self,
        ctx: &RequestContext,
        key: &Key,
        part: Part,
        change: &dyn ObjectChange,
    ) -> Result<Object, RegistryError>;

    /// Deletes, or marks for deletion.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` on a precondition, or what the strategy says.
    async fn delete(
        &self,
        ctx: &RequestContext,
        key: &Key,
        request: &DeleteRequest,
    ) -> Result<Deleted, RegistryError>;

    /// Deletes what a list selects; objects that go meanwhile are no error. Not atomic.
    ///
    /// # Errors
    /// The first error that is not `NotFound`.
    async fn delete_collection(
        &self,
        ctx: &RequestContext,
        options: &ListOptions,
        request: &DeleteRequest,
    ) -> Result<Vec<Object>, RegistryError>;
}
