//! Whether the one who asks may.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authorization/authorizer`.

pub mod all_names_first;
pub mod locally_allowed;
pub mod subject_access_review;

use async_trait::async_trait;

use crate::authentication::UserInfo;
use crate::request_info::RequestInfo;

pub use all_names_first::AllNamesFirst;
pub use locally_allowed::{LocallyAllowed, is_always_allowed_path};
pub use subject_access_review::SubjectAccessReviewAuthorizer;

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

impl Attributes {
    /// What a request asks for.
    #[must_use]
    pub fn of(info: &RequestInfo) -> Self {
        if !info.is_resource_request {
            return Self::NonResource {
                verb: info.verb.clone(),
                path: info.path.clone(),
            };
        }
        Self::Resource {
            verb: info.verb.clone(),
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
        }
    }
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
