//! Identity by client certificate: common name = user, organizations = groups.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authentication/request/x509`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::HeaderMap;

use super::{
    Authentication, AuthenticationError, Authenticator, CREDENTIAL_ID, PeerCertificates,
    SharedAuthenticationConfig, UserInfo,
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
            uid: subject.uid.clone(),
            groups: subject.organizations.clone(),
            extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![credential])]),
        })))
    }

    fn strip(&self, _headers: &mut HeaderMap) {}
}
