//! What must hold around an object before it is created: the seam for rules that no strategy knows.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/admission`. Webhooks and policies are not called yet.

pub mod namespace_lifecycle;

use async_trait::async_trait;

use crate::registry::RegistryError;

pub use namespace_lifecycle::NamespaceLifecycle;

/// Admits creates, those of subresources that begin something included.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Whether something may be created in the namespace.
    ///
    /// # Errors
    /// `NotFound` when the namespace is absent, `Forbidden` when it is terminating.
    async fn admit_create(&self, namespace: &str) -> Result<(), RegistryError>;
}
