//! The server around the resources of a test: TLS with certificates of one authority, a client known by
//! its own, and nobody who is asked about namespaces and permissions unless a test wants it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use brokkr_certs::{CertificateAuthority, ClientRequest, IssuedCertificate, ServingRequest, Validity};
use generic_apiserver::admission::{Admission, CreateAttributes};
use generic_apiserver::authentication::{
    AuthenticationConfig, ClientCert, SharedAuthenticationConfig, Union, UserInfo,
};
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use generic_apiserver::endpoints::Endpoints;
use generic_apiserver::registry::RegistryError;
use generic_apiserver::server::{
    GenericApiServer, HealthChecks, ServerParts, ServingCertificate, ServingOptions, VersionInfo,
};
use generic_apiserver::storage::Storage;
use tokio_util::sync::CancellationToken;

/// Every namespace exists and stays.
pub(crate) struct AnyNamespace;

#[async_trait]
impl Admission for AnyNamespace {
    async fn admit_create(&self, _: CreateAttributes<'_>) -> Result<(), RegistryError> {
        Ok(())
    }
}

/// Everybody may do everything: permissions are not what is tested here.
pub(crate) struct Everyone;

#[async_trait]
impl Authorizer for Everyone {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Allow)
    }
}

/// Serves on a free port until stopped; whoever has a certificate of the tests is known.
pub(crate) async fn serve(
    endpoints: Endpoints,
    authorizer: Arc<dyn Authorizer>,
    storage: &Storage,
    stop: &CancellationToken,
) -> SocketAddr {
    let pki = Pki::shared();
    let mut options = ServingOptions::new(ServingCertificate::Pem {
        certificate: pki.serving.certificate_pem().to_owned(),
        private_key: pki.serving.private_key_pem().to_owned(),
    });
    options.bind_address = SocketAddr::from(([127, 0, 0, 1], 0));
    options.drain_timeout = Duration::from_secs(5);
    let published = [("client-ca-file".to_owned(), pki.ca.clone())].into();
    let config = AuthenticationConfig::from_config_map(&published).unwrap();
    let by_certificate = ClientCert::new(SharedAuthenticationConfig::new(config));
    let parts = ServerParts {
        authenticator: Arc::new(Union::new(vec![Arc::new(by_certificate)]).or_anonymous()),
        authorizer,
        health: HealthChecks::default(),
        version: VersionInfo::of_crate("1.2.3"),
        storage: Some(storage.clone()),
        handler: Arc::new(endpoints),
    };
    let server = GenericApiServer::new(options.complete().unwrap(), parts);
    let bound = server.bind().await.unwrap();
    let address = bound.address();
    tokio::spawn(bound.run(stop.clone()));
    address
}

/// The certificates of all tests: one authority signs everything.
pub(crate) struct Pki {
    pub(crate) ca: String,
    serving: IssuedCertificate,
    pub(crate) jane: IssuedCertificate,
}

impl Pki {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Pki> = OnceLock::new();
        SHARED.get_or_init(|| {
            let authority = CertificateAuthority::create("ca", Validity::authority_default()).unwrap();
            Self {
                ca: authority.certificate_pem().unwrap(),
                serving: authority
                    .issue_serving(&ServingRequest::new("api", "brokkr"))
                    .unwrap(),
                jane: authority.issue_client(&ClientRequest::new("jane")).unwrap(),
            }
        })
    }
}
