//! What the layers below `endpoints` know of a request.

use std::sync::{Arc, Mutex, PoisonError};

use crate::authentication::UserInfo;
use crate::authorization::Authorizer;

/// The request as strategies and subresources see it: who asks, and how.
#[derive(Clone)]
pub struct RequestContext {
    /// Who asks; already authorized for the verb itself.
    pub user: UserInfo,
    /// Whether the identity came through the front proxy (kube-apiserver's aggregation layer).
    pub front_proxy: bool,
    /// Whether nothing may be stored (`dryRun=All`).
    pub dry_run: bool,
    /// The field manager; empty = none given.
    pub field_manager: String,
    /// Asks further permissions, such as those of a batch.
    pub authorizer: Arc<dyn Authorizer>,
    /// Warnings for the client.
    warnings: Arc<Mutex<Vec<String>>>,
}

impl RequestContext {
    /// A context of this user with no options set.
    #[must_use]
    pub fn new(user: UserInfo, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            user,
            front_proxy: false,
            dry_run: false,
            field_manager: String::new(),
            authorizer,
            warnings: Arc::default(),
        }
    }

    /// Adds a warning, sent to the client once.
    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// The warnings so far.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl std::fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestContext")
            .field("user", &self.user.name)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}
