//! The certificates of one test.

use brokkr_certs::{CertificateAuthority, ClientRequest, IssuedCertificate, ServingRequest, Validity};

/// The authorities of a cluster, and one that nobody trusts.
pub struct Pki {
    pub serving: CertificateAuthority,
    pub client: CertificateAuthority,
    pub front_proxy: CertificateAuthority,
    pub stranger: CertificateAuthority,
}

impl Pki {
    pub fn create() -> Self {
        Self {
            serving: authority("serving-ca"),
            client: authority("client-ca"),
            front_proxy: authority("front-proxy-ca"),
            stranger: authority("stranger-ca"),
        }
    }

    /// What the server shows.
    pub fn serving_certificate(&self) -> IssuedCertificate {
        let request = ServingRequest::new("api", "brokkr");
        self.serving
            .issue_serving(&request)
            .expect("a serving certificate")
    }

    /// What the aggregator shows: the allowed name below the front-proxy CA.
    pub fn aggregator(&self) -> IssuedCertificate {
        issue(&self.front_proxy, "front-proxy-client", &[])
    }
}

pub fn authority(name: &str) -> CertificateAuthority {
    CertificateAuthority::create(name, Validity::authority_default()).expect("an authority")
}

pub fn issue(authority: &CertificateAuthority, user: &str, groups: &[&str]) -> IssuedCertificate {
    let mut request = ClientRequest::new(user);
    request.groups = groups.iter().map(|&group| group.to_owned()).collect();
    authority.issue_client(&request).expect("a client certificate")
}

pub fn pem(authority: &CertificateAuthority) -> String {
    authority.certificate_pem().expect("PEM")
}
