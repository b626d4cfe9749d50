//! What must hold around an object before it is created: the seam for rules that no strategy knows.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/admission`. Webhooks and policies are not called yet, and only
//! creates are admitted.

pub mod namespace_lifecycle;

use async_trait::async_trait;

use crate::object::Object;
use crate::registry::RegistryError;
use crate::storage::GroupResource;

pub use namespace_lifecycle::NamespaceLifecycle;

/// A create that asks to be admitted: of an object, or of a request to a subresource of one.
#[derive(Clone, Copy, Debug)]
pub struct CreateAttributes<'r> {
    /// The resource, whose group is also that of the object.
    pub resource: GroupResource,
    /// The subresource that is posted to; empty = none.
    pub subresource: &'r str,
    /// The namespace; empty for cluster-scoped resources.
    pub namespace: &'r str,
    /// The name of the object, or of the parent of a subresource; empty when it is yet to be generated.
    pub name: &'r str,
    /// What is posted, as it was decoded: before defaults, an object in the version that is stored.
    pub object: &'r Object,
    /// Whether it is refused while its namespace is terminating; what ends work that is under way is not.
    pub refused_in_terminating_namespace: bool,
}

/// Admits creates.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Whether this may be created.
    ///
    /// # Errors
    /// `Forbidden`, or what the rule says: nothing is stored then.
    async fn admit_create(&self, create: CreateAttributes<'_>) -> Result<(), RegistryError>;
}
