//! Whether the one who asks may.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authorization/authorizer`.

use async_trait::async_trait;

use crate::authentication::UserInfo;

/// What is asked, in the words of a SubjectAccessReview.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// A request about a resource.
    Resource {
        /// The verb, such as `create` or `deletecollection`.
        verb: String,
        /// The API group.
        group: String,
        /// The version.
        version: String,
        /// The plural resource.
        resource: String,
        /// The subresource; empty = the resource itself.
        subresource: String,
        /// The namespace; empty = all, or cluster-scoped.
        namespace: String,
        /// The name; empty = all.
        name: String,
    },
    /// A request for a path that is no resource.
    NonResource {
        /// The lower-case HTTP method.
        verb: String,
        /// The path.
        path: String,
    },
}

/// The answer of an authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not, or nobody says that it may; with the reason, which may be empty.
    Deny(String),
}

/// Decides whether a user may do what it asks.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Decides. Called before the writer is involved, never under its lock.
    ///
    /// # Errors
    /// When no decision could be reached; the request is then refused with an internal error.
    async fn authorize(
        &self,
        user: &UserInfo,
        attributes: &Attributes,
    ) -> Result<Decision, AuthorizationError>;
}

/// No decision could be reached.
#[derive(Clone, Debug, thiserror::Error)]
#[error("authorization could not be decided: {0}")]
pub struct AuthorizationError(pub String);
