//! What a resource is: its strategy, its subresources, and how its verbs use storage.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/registry`. Nothing here knows HTTP.

pub mod context;
pub mod error;
pub mod field;
pub mod metadata;
pub mod names;
pub mod rest;
pub mod store;
pub mod strategy;
pub mod subresource;

pub use context::RequestContext;
pub use error::RegistryError;
pub use field::{FieldError, FieldErrorType};
pub use names::{ResourceNames, Scope, TableColumn, Verb};
pub use rest::{
    Decoded, DeleteRequest, Deleted, KindSchema, ObjectChange, Part, PropagationPolicy, ResourceInfo,
    RestStorage, RestSubresource,
};
pub use store::{ServedVersion, Store};
pub use strategy::{DeleteOptions, Deletion, ReadyChange, Seen, Strategy};
pub use subresource::{NamedCreater, NamedGetter};
