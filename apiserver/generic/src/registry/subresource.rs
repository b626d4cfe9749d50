//! Subresources besides `/status`: requests about one object of the parent resource.
//!
//! Upstream concept: `rest.NamedCreater` and `rest.GetterWithOptions`; the model is
//! `serviceaccounts/token`, a request in spec answered in status.

use async_trait::async_trait;
use serde_json::Value;

use super::context::RequestContext;
use super::error::RegistryError;
use crate::object::Kind;
use crate::storage::Key;

/// A subresource to which a body is posted.
#[async_trait]
pub trait NamedCreater: Send + Sync + 'static {
    /// The type of the body and of the answer.
    type Kind: Kind;

    /// The last segment of the path, such as `token`.
    fn name(&self) -> &'static str;

    /// Whether the request is refused while its namespace is terminating, as a create is. What ends work
    /// that is under way is not.
    fn refused_in_terminating_namespace(&self) -> bool {
        true
    }

    /// Answers the request about `parent`. The body's name and namespace, if set, equal the path's.
    ///
    /// # Errors
    /// What the rules say; nothing is stored then.
    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        body: Self::Kind,
    ) -> Result<Self::Kind, RegistryError>;
}

/// A subresource that is read.
#[async_trait]
pub trait NamedGetter: Send + Sync + 'static {
    /// The last segment of the path, such as `pending`.
    fn name(&self) -> &'static str;

    /// The kind of the answer, such as `PodList`, in the parent's group and version.
    fn kind(&self) -> &'static str;

    /// The answer, with apiVersion and kind.
    ///
    /// # Errors
    /// What the rules say.
    async fn get(&self, ctx: &RequestContext, parent: &Key) -> Result<Value, RegistryError>;
}
