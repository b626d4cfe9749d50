//! Asks several authenticators in order.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authentication/request/union` with the group adder.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;

use super::{
    AUTHENTICATED_GROUP, Anonymous, Authentication, AuthenticationError, Authenticator, PeerCertificates,
    UserInfo,
};

/// Authenticators in the order they are asked. The first identity wins; an error is remembered while the
/// others are asked. Without an identity and without an error the request is anonymous, if allowed.
pub struct Union {
    authenticators: Vec<Arc<dyn Authenticator>>,
    anonymous: bool,
}

impl Union {
    /// A union that refuses requests without a credential.
    #[must_use]
    pub fn new(authenticators: Vec<Arc<dyn Authenticator>>) -> Self {
        Self {
            authenticators,
            anonymous: false,
        }
    }

    /// Lets requests without a credential in as `system:anonymous`.
    #[must_use]
    pub fn or_anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }
}

#[async_trait]
impl Authenticator for Union {
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerCertificates>,
    ) -> Result<Option<Authentication>, AuthenticationError> {
        let mut errors = Vec::new();
        for authenticator in &self.authenticators {
            match authenticator.authenticate(headers, peer).await {
                Ok(Some(mut authentication)) => {
                    add_authenticated_group(&mut authentication.user);
                    return Ok(Some(authentication));
                }
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        match (errors.len(), self.anonymous) {
            (0, true) => Anonymous.authenticate(headers, peer).await,
            (0, false) => Ok(None),
            (1, _) => Err(errors.remove(0)),
            (_, _) => Err(AuthenticationError::Several(errors)),
        }
    }

    fn strip(&self, headers: &mut HeaderMap) {
        for authenticator in &self.authenticators {
            authenticator.strip(headers);
        }
    }
}

/// Every proved identity is in `system:authenticated`, whether or not its source says so: the
/// aggregator's own calls come without any group.
fn add_authenticated_group(user: &mut UserInfo) {
    if !user.is_anonymous() && !user.is_member(AUTHENTICATED_GROUP) {
        user.groups.push(AUTHENTICATED_GROUP.to_owned());
    }
}

impl std::fmt::Debug for Union {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Union")
            .field("authenticators", &self.authenticators.len())
            .field("anonymous", &self.anonymous)
            .finish()
    }
}
