//! Minted certificates in real TLS handshakes between a rustls server and a rustls client: what the
//! API server and the agent use, and a second opinion on openssl's work.
//!
//! Both ends live in memory and pass each other's bytes, so that no socket is needed.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use brokkr_certs::{CertificateAuthority, ClientRequest, IssuedCertificate, ServingRequest, Validity};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Error, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn authority(name: &str) -> CertificateAuthority {
    CertificateAuthority::create(name, Validity::authority_default()).unwrap()
}

fn roots(authorities: &[&CertificateAuthority]) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for authority in authorities {
        store
            .add(certificate(&authority.certificate_pem().unwrap()))
            .unwrap();
    }
    store
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn key(issued: &IssuedCertificate) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(issued.private_key_pem().as_bytes()).unwrap()
}

fn server(serving: &IssuedCertificate, client_authority: Option<&CertificateAuthority>) -> ServerConnection {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client_authority {
        None => builder.with_no_client_auth(),
        Some(authority) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&[authority])), provider())
                .build()
                .unwrap(),
        ),
    };
    let chain = vec![certificate(serving.certificate_pem())];
    ServerConnection::new(Arc::new(builder.with_single_cert(chain, key(serving)).unwrap())).unwrap()
}

fn client(
    trusted: &[&CertificateAuthority],
    own: Option<&IssuedCertificate>,
    host: &str,
) -> ClientConnection {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(trusted));
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(issued) => builder
            .with_client_auth_cert(vec![certificate(issued.certificate_pem())], key(issued))
            .unwrap(),
    };
    ClientConnection::new(Arc::new(config), host.to_owned().try_into().unwrap()).unwrap()
}

/// Passes bytes to and fro until both ends are done; the first end to object ends it.
fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn client_that_trusts_the_authority_connects_by_service_name_and_by_address() {
    let authority = authority("serving");
    let serving = authority
        .issue_serving(&ServingRequest::new("brokkr-apiserver", "brokkr-system"))
        .unwrap();

    for host in ["brokkr-apiserver.brokkr-system.svc", "localhost", "127.0.0.1"] {
        let (mut client, mut server) = (client(&[&authority], None, host), server(&serving, None));
        shake(&mut client, &mut server).unwrap();
        assert_eq!(
            client.protocol_version(),
            Some(ProtocolVersion::TLSv1_3),
            "{host}"
        );
    }
}

#[test]
fn client_refuses_another_name_and_another_authority_of_the_same_name() {
    let (authority, stranger) = (authority("serving"), authority("serving"));
    let serving = authority.issue_serving(&ServingRequest::new("one", "a")).unwrap();

    let other_name = shake(
        &mut client(&[&authority], None, "two.a.svc"),
        &mut server(&serving, None),
    );
    let other_authority = shake(
        &mut client(&[&stranger], None, "one.a.svc"),
        &mut server(&serving, None),
    );

    assert!(
        matches!(other_name, Err(Error::InvalidCertificate(_))),
        "{other_name:?}"
    );
    assert!(
        matches!(other_authority, Err(Error::InvalidCertificate(_))),
        "{other_authority:?}"
    );
}

#[test]
fn bundle_of_old_and_new_authority_accepts_leaves_of_both() {
    let (old, new) = (authority("serving"), authority("serving"));

    for issuer in [&old, &new] {
        let serving = issuer.issue_serving(&ServingRequest::new("one", "a")).unwrap();
        shake(
            &mut client(&[&old, &new], None, "one.a.svc"),
            &mut server(&serving, None),
        )
        .unwrap();
    }
}

#[test]
fn server_takes_a_client_certificate_and_refuses_a_serving_one_in_its_place() {
    let (serving_authority, front_proxy) = (authority("serving"), authority("front-proxy"));
    let serving = serving_authority
        .issue_serving(&ServingRequest::new("one", "a"))
        .unwrap();
    let proxy = front_proxy
        .issue_client(&ClientRequest::new("front-proxy-client"))
        .unwrap();
    let impostor = front_proxy
        .issue_serving(&ServingRequest::new("one", "a"))
        .unwrap();
    let connect = |own: &IssuedCertificate| {
        let mut client = client(&[&serving_authority], Some(own), "one.a.svc");
        let mut server = server(&serving, Some(&front_proxy));
        shake(&mut client, &mut server).map(|()| server.peer_certificates().unwrap().to_vec())
    };

    assert_eq!(connect(&proxy).unwrap(), [certificate(proxy.certificate_pem())]);
    let refused = connect(&impostor);
    assert!(
        matches!(refused, Err(Error::InvalidCertificate(_))),
        "{refused:?}"
    );
}
