//! What needs no review: the superusers, and the probes.
//!
//! Upstream concept: `DelegatingAuthorizationOptions` with its always-allowed groups and paths. It keeps
//! discovery and health alive while kube-apiserver cannot be asked.

use async_trait::async_trait;

use super::{Attributes, AuthorizationError, Authorizer, Decision};
use crate::authentication::UserInfo;

/// Paths open to everyone, exactly as written; single checks below them are not.
const ALWAYS_ALLOWED_PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Whether the path is a probe, which everyone may call unless a server says otherwise.
#[must_use]
pub fn is_always_allowed_path(path: &str) -> bool {
    ALWAYS_ALLOWED_PATHS.contains(&path)
}

/// Allows `system:masters` everything and everyone the probes; asks `inner` about all else.
#[derive(Clone, Debug)]
pub struct LocallyAllowed<A> {
    inner: A,
    /// Without the slash at the beginning.
    open: Vec<String>,
}

impl<A> LocallyAllowed<A> {
    /// Puts the local rules before `inner`.
    pub fn or(inner: A) -> Self {
        let open = ALWAYS_ALLOWED_PATHS.map(|path| relative(path).to_owned());
        Self {
            inner,
            open: open.to_vec(),
        }
    }

    /// Opens these paths to everyone in place of the probes; a `*` at the end of one stands for all that may follow.
    ///
    /// # Errors
    /// Names a path with a `*` elsewhere.
    pub fn open(mut self, paths: &[String]) -> Result<Self, String> {
        self.open = paths.iter().map(|path| relative(path).to_owned()).collect();
        let starred = |path: &&String| path.strip_suffix('*').unwrap_or(path).contains('*');
        match self.open.iter().find(starred) {
            Some(path) => Err(format!("{path:?}: a * may stand at the end alone")),
            None => Ok(self),
        }
    }

    fn is_open(&self, path: &str) -> bool {
        let path = relative(path);
        self.open.iter().any(|open| match open.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == open,
        })
    }
}

fn relative(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

#[async_trait]
impl<A: Authorizer> Authorizer for LocallyAllowed<A> {
    async fn authorize(
        &self,
        user: &UserInfo,
        attributes: &Attributes,
    ) -> Result<Decision, AuthorizationError> {
        let open = match attributes {
            Attributes::NonResource { path, .. } => self.is_open(path),
            Attributes::Resource { .. } => false,
        };
        if open || user.is_master() {
            return Ok(Decision::Allow);
        }
        self.inner.authorize(user, attributes).await
    }
}
