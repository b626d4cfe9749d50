//! Identity by client certificate: common name = user, organizations = groups.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authentication/request/x509`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::HeaderMap;

use super::{
    Authentication, AuthenticationError, Authenticator, CREDENTIAL_ID, PeerCertificates,
    SharedAuthenticationConfig, Subject, UserInfo,
};
use crate::mutant;
use crate::server::delegated_metrics::CertificateLifetimes;

/// Believes certificates that chain to the cluster's client CA.
#[derive(Clone, Debug)]
pub struct ClientCert {
    config: SharedAuthenticationConfig,
    lifetimes: CertificateLifetimes,
}

impl ClientCert {
    /// Verifies against the client CA of this configuration, as it is at each request.
    #[must_use]
    pub fn new(config: SharedAuthenticationConfig) -> Self {
        Self {
            config,
            lifetimes: CertificateLifetimes::default(),
        }
    }

    /// Counts there how long the certificates last.
    pub(crate) fn counting(mut self, lifetimes: CertificateLifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }
}

#[async_trait]
impl Authenticator for ClientCert {
    async fn authenticate(
        &self,
        _headers: &HeaderMap,
        peer: Option<&PeerCertificates>,
    ) -> Result<Option<Authentication>, AuthenticationError> {
        let config = self.config.load();
        let (Some(peer), Some(roots)) = (peer, &config.client_roots) else {
            return Ok(None);
        };
        // Before the verdict, as upstream does: so that certificates that are over are seen.
        if let Ok(subject) = peer.subject() {
            self.lifetimes.add(subject.not_after);
        }
        if !mutant!("c025-client-not-verified") {
            peer.verify(roots)?;
        }
        let subject = peer.subject()?;
        if subject.common_name.is_empty() {
            return Ok(None);
        }
        let credential = format!("X509SHA256={}", subject.fingerprint);
        Ok(Some(Authentication::direct(UserInfo {
            name: subject.common_name.clone(),
            uid: uid(subject)?,
            groups: subject.organizations.clone(),
            extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![credential])]),
        })))
    }

    fn strip(&self, _headers: &mut HeaderMap) {}
}

/// The UID of the user, of whom a certificate may say nothing, but not two things.
fn uid(subject: &Subject) -> Result<Option<String>, AuthenticationError> {
    let refused = |why: &str| Err(AuthenticationError::Certificate(why.to_owned()));
    match subject.uids.as_slice() {
        [] => Ok(None),
        [uid] if uid.is_empty() => refused("the UID of the subject is empty"),
        [uid] => Ok(Some(uid.clone())),
        _ => refused("the subject names several UIDs"),
    }
}
