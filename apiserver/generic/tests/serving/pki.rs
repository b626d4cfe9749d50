//! The certificates of one test.

use brokkr_certs::{CertificateAuthority, ClientRequest, IssuedCertificate, ServingRequest, Validity};

/// The authorities of a cluster, and one that nobody trusts.
pub(crate) struct Pki {
    pub(crate) serving: CertificateAuthority,
    pub(crate) client: CertificateAuthority,
    pub(crate) front_proxy: CertificateAuthority,
    pub(crate) stranger: CertificateAuthority,
}

impl Pki {
    pub(crate) fn create() -> Self {
        Self {
            serving: authority("serving-ca"),
            client: authority("client-ca"),
            front_proxy: authority("front-proxy-ca"),
            stranger: authority("stranger-ca"),
        }
    }

    /// What the server shows.
    pub(crate) fn serving_certificate(&self) -> IssuedCertificate {
        let request = ServingRequest::new("api", "brokkr");
        self.serving
            .issue_serving(&request)
            .expect("a serving certificate")
    }

    /// What the aggregator shows: the allowed name below the front-proxy CA.
    pub(crate) fn aggregator(&self) -> IssuedCertificate {
        issue(&self.front_proxy, "front-proxy-client", &[])
    }
}

pub(crate) fn authority(name: &str) -> CertificateAuthority {
    CertificateAuthority::create(name, Validity::authority_default()).expect("an authority")
}

pub(crate) fn issue(authority: &CertificateAuthority, user: &str, groups: &[&str]) -> IssuedCertificate {
    let mut request = ClientRequest::new(user);
    request.groups = groups.iter().map(|&group| group.to_owned()).collect();
    authority.issue_client(&request).expect("a client certificate")
}

pub(crate) fn pem(authority: &CertificateAuthority) -> String {
    authority.certificate_pem().expect("PEM")
}
