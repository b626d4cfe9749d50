//! The identity of requests without a credential.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authentication/request/anonymous`. Stricter than upstream in
//! one point: an `Authorization` header of an unknown scheme is a credential too, and is refused.

use async_trait::async_trait;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{
    ANONYMOUS_USER, Authentication, AuthenticationError, Authenticator, PeerCertificates,
    UNAUTHENTICATED_GROUP, UserInfo,
};

/// Lets requests in that present no credential at all. Put it last: it is asked only when no other
/// authenticator had an opinion, and never after one failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

#[async_trait]
impl Authenticator for Anonymous {
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        _peer: Option<&PeerCertificates>,
    ) -> Result<Option<Authentication>, AuthenticationError> {
        if headers.contains_key(AUTHORIZATION) {
            return Err(AuthenticationError::Unreadable);
        }
        Ok(Some(Authentication::direct(UserInfo {
            name: ANONYMOUS_USER.to_owned(),
            groups: vec![UNAUTHENTICATED_GROUP.to_owned()],
            ..UserInfo::default()
        })))
    }

    fn strip(&self, _headers: &mut HeaderMap) {}
}
