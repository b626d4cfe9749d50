//! What needs no review: the superusers, and the probes.
//!
//! Upstream concept: `DelegatingAuthorizationOptions` with its always-allowed groups and paths. It keeps
//! discovery and health alive while kube-apiserver cannot be asked.

use async_trait::async_trait;

use super::{Attributes, AuthorizationError, Authorizer, Decision};
use crate::authentication::UserInfo;

/// Paths open to everyone, exactly as written; single checks below them are not.
const ALWAYS_ALLOWED_PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Whether everyone may call the path.
#[must_use]
pub fn is_always_allowed_path(path: &str) -> bool {
    ALWAYS_ALLOWED_PATHS.contains(&path)
}

/// Allows `system:masters` everything and everyone the probes; asks `inner` about all else.
#[derive(Clone, Debug)]
pub struct LocallyAllowed<A> {
    inner: A,
}

impl<A> LocallyAllowed<A> {
    /// Puts the local rules before `inner`.
    pub const fn or(inner: A) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl<A: Authorizer> Authorizer for LocallyAllowed<A> {
    async fn authorize(
        &self,
        user: &UserInfo,
        attributes: &Attributes,
    ) -> Result<Decision, AuthorizationError> {
        let open = match attributes {
            Attributes::NonResource { path, .. } => is_always_allowed_path(path),
            Attributes::Resource { .. } => false,
        };
        if open || user.is_master() {
            return Ok(Decision::Allow);
        }
        self.inner.authorize(user, attributes).await
    }
}
