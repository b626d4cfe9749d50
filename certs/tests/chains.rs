//! What was minted, judged by openssl's own verifier and read field by field.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::{Duration, SystemTime};

use brokkr_certs::{CertificateAuthority, ClientRequest, Error, IssuedCertificate, ServingRequest, Validity};
use openssl::nid::Nid;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId, X509StoreContext, X509VerifyResult};

// openssl's X509_V_ERR_ numbers, which the Rust crate does not name.
const CERT_HAS_EXPIRED: i32 = 10;
const INVALID_PURPOSE: i32 = 26;
const HOSTNAME_MISMATCH: i32 = 62;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn authority() -> CertificateAuthority {
    CertificateAuthority::create("test-ca", Validity::authority_default()).unwrap()
}

fn parse(pem: &str) -> X509 {
    X509::from_pem(pem.as_bytes()).unwrap()
}

fn leaf(issued: &IssuedCertificate) -> X509 {
    parse(issued.certificate_pem())
}

/// Verifies as strictly as openssl can, for a purpose and, where given, a host.
fn verify(
    certificate: &X509,
    trusted: &[&CertificateAuthority],
    purpose: X509PurposeId,
    host: Option<&str>,
) -> X509VerifyResult {
    let mut store = X509StoreBuilder::new().unwrap();
    for authority in trusted {
        store
            .add_cert(parse(&authority.certificate_pem().unwrap()))
            .unwrap();
    }
    let mut parameters = X509VerifyParam::new().unwrap();
    parameters
        .set_flags(X509VerifyFlags::X509_STRICT | X509VerifyFlags::CHECK_SS_SIGNATURE)
        .unwrap();
    parameters.set_purpose(purpose).unwrap();
    if let Some(host) = host {
        parameters.set_host(host).unwrap();
    }
    store.set_param(&parameters).unwrap();
    let mut context = X509StoreContext::new().unwrap();
    let untrusted = Stack::new().unwrap();
    context
        .init(&store.build(), certificate, &untrusted, |context| {
            context.verify_cert()?;
            Ok(context.error())
        })
        .unwrap()
}

#[test]
fn serving_certificate_verifies_for_each_name_the_aggregator_and_tests_use() {
    let authority = authority();
    let mut request = ServingRequest::new("brokkr-apiserver", "brokkr-system");
    request.extra_names = vec!["hub.example.com".parse().unwrap(), "::1".parse().unwrap()];

    let certificate = leaf(&authority.issue_serving(&request).unwrap());

    for host in [
        "brokkr-apiserver.brokkr-system.svc",
        "brokkr-apiserver.brokkr-system.svc.cluster.local",
        "localhost",
        "hub.example.com",
    ] {
        let result = verify(&certificate, &[&authority], X509PurposeId::SSL_SERVER, Some(host));
        assert_eq!(result, X509VerifyResult::OK, "{host}");
    }
    let addresses: Vec<_> = certificate
        .subject_alt_names()
        .unwrap()
        .iter()
        .filter_map(|name| name.ipaddress().map(<[u8]>::to_vec))
        .collect();
    assert_eq!(addresses, [vec![127, 0, 0, 1], [vec![0; 15], vec![1]].concat()]);
}

#[test]
fn serving_certificate_is_refused_for_another_name_purpose_or_authority() {
    let authority = authority();
    let certificate = leaf(&authority.issue_serving(&ServingRequest::new("one", "a")).unwrap());

    let other_host = verify(
        &certificate,
        &[&authority],
        X509PurposeId::SSL_SERVER,
        Some("two.a.svc"),
    );
    let as_client = verify(&certificate, &[&authority], X509PurposeId::SSL_CLIENT, None);
    let stranger = CertificateAuthority::create("test-ca", Validity::authority_default()).unwrap();
    let other_authority = verify(&certificate, &[&stranger], X509PurposeId::SSL_SERVER, None);

    assert_eq!(other_host.as_raw(), HOSTNAME_MISMATCH, "{other_host}");
    assert_eq!(as_client.as_raw(), INVALID_PURPOSE, "{as_client}");
    assert_ne!(other_authority, X509VerifyResult::OK);
}

#[test]
fn two_authorities_of_one_name_are_told_apart_by_key_identifier() {
    let (old, new) = (authority(), authority());
    let certificate = leaf(&new.issue_serving(&ServingRequest::new("one", "a")).unwrap());

    for trusted in [[&old, &new], [&new, &old]] {
        let result = verify(&certificate, &trusted, X509PurposeId::SSL_SERVER, None);
        assert_eq!(result, X509VerifyResult::OK);
    }
}

#[test]
fn client_certificate_carries_user_and_groups_and_serves_nothing() {
    let authority = authority();
    let mut request = ClientRequest::new("system:node:east");
    request.groups = vec!["team-a".to_owned(), "auditors".to_owned()];

    let certificate = leaf(&authority.issue_client(&request).unwrap());

    let entries = |nid| -> Vec<String> {
        certificate
            .subject_name()
            .entries_by_nid(nid)
            .map(|entry| entry.data().to_string().unwrap())
            .collect()
    };
    assert_eq!(entries(Nid::COMMONNAME), ["system:node:east"]);
    assert_eq!(entries(Nid::ORGANIZATIONNAME), ["team-a", "auditors"]);
    assert_eq!(
        verify(&certificate, &[&authority], X509PurposeId::SSL_CLIENT, None),
        X509VerifyResult::OK
    );
    let as_server = verify(&certificate, &[&authority], X509PurposeId::SSL_SERVER, None);
    assert_eq!(as_server.as_raw(), INVALID_PURPOSE, "{as_server}");
}

#[test]
fn extensions_say_what_each_certificate_is() {
    let authority = authority();
    let root = parse(&authority.certificate_pem().unwrap());
    let certificate = leaf(&authority.issue_client(&ClientRequest::new("jane")).unwrap());

    let root_text = String::from_utf8(root.to_text().unwrap()).unwrap();
    let leaf_text = String::from_utf8(certificate.to_text().unwrap()).unwrap();

    assert!(root_text.contains("CA:TRUE, pathlen:0"), "{root_text}");
    assert!(
        root_text.contains("Key Usage: critical\n                Certificate Sign, CRL Sign\n"),
        "{root_text}"
    );
    assert!(
        leaf_text.contains("Basic Constraints: critical\n                CA:FALSE\n"),
        "{leaf_text}"
    );
    assert!(
        leaf_text.contains("Key Usage: critical\n                Digital Signature\n"),
        "{leaf_text}"
    );
    assert!(leaf_text.contains("ASN1 OID: prime256v1"), "{leaf_text}");
    assert!(
        leaf_text.contains("Signature Algorithm: ecdsa-with-SHA256"),
        "{leaf_text}"
    );
    let root_identifier = root.subject_key_id().unwrap().as_slice();
    assert_eq!(
        certificate.authority_key_id().unwrap().as_slice(),
        root_identifier
    );
    assert_ne!(certificate.subject_key_id().unwrap().as_slice(), root_identifier);
}

#[test]
fn serial_numbers_are_random_positive_and_at_most_twenty_octets() {
    let authority = authority();
    let mut serials = Vec::new();
    for _ in 0..32 {
        let certificate = leaf(&authority.issue_client(&ClientRequest::new("jane")).unwrap());
        let serial = certificate.serial_number().to_bn().unwrap();
        assert!(
            !serial.is_negative() && serial.num_bits() > 64 && serial.num_bits() < 160,
            "{serial}"
        );
        serials.push(serial.to_vec());
    }
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 32);
}

#[test]
fn leaf_never_outlives_its_authority() {
    let authority = CertificateAuthority::create("short", Validity::days(10)).unwrap();
    let issued = authority.issue_serving(&ServingRequest::new("one", "a")).unwrap();

    let root = parse(&authority.certificate_pem().unwrap());
    assert_eq!(
        leaf(&issued).not_after().to_string(),
        root.not_after().to_string()
    );
    assert_eq!(issued.not_after(), root.not_after().to_string());
}

#[test]
fn expired_leaf_is_minted_on_request_and_refused_by_verifiers() {
    let authority = authority();
    let mut request = ClientRequest::new("jane");
    let now = SystemTime::now();
    request.validity = Validity::between(now - 2 * DAY, now - DAY);

    let certificate = leaf(&authority.issue_client(&request).unwrap());

    let result = verify(&certificate, &[&authority], X509PurposeId::SSL_CLIENT, None);
    assert_eq!(result.as_raw(), CERT_HAS_EXPIRED, "{result}");
}

#[test]
fn expired_authority_issues_nothing() {
    let now = SystemTime::now();
    let authority = CertificateAuthority::create("old", Validity::between(now - 2 * DAY, now - DAY)).unwrap();

    let error = authority.issue_client(&ClientRequest::new("jane")).unwrap_err();

    assert!(
        matches!(&error, Error::Expired { subject, .. } if subject == "old"),
        "{error}"
    );
}

#[test]
fn authority_survives_pem_and_refuses_a_wrong_key_or_a_leaf() {
    let (one, two) = (authority(), authority());
    let certificate = one.certificate_pem().unwrap();
    let from_pem =
        |certificate: &str, key: &str| CertificateAuthority::from_pem(certificate.as_bytes(), key.as_bytes());

    let again = from_pem(&certificate, &one.private_key_pem().unwrap()).unwrap();
    let issued = again.issue_client(&ClientRequest::new("jane")).unwrap();
    assert_eq!(
        verify(&leaf(&issued), &[&one], X509PurposeId::SSL_CLIENT, None),
        X509VerifyResult::OK
    );

    let wrong_key = from_pem(&certificate, &two.private_key_pem().unwrap()).unwrap_err();
    assert!(matches!(wrong_key, Error::KeyMismatch { .. }), "{wrong_key}");
    let not_authority = from_pem(issued.certificate_pem(), issued.private_key_pem()).unwrap_err();
    assert!(
        matches!(not_authority, Error::NotAuthority { .. }),
        "{not_authority}"
    );
    let swapped = from_pem(&one.private_key_pem().unwrap(), &certificate).unwrap_err();
    assert!(
        matches!(
            swapped,
            Error::Pem {
                what: "certificate",
                ..
            }
        ),
        "{swapped}"
    );
}

#[test]
fn requests_out_of_range_name_the_field() {
    let authority = authority();
    let field = |result: Result<IssuedCertificate, Error>| match result.unwrap_err() {
        Error::Invalid { field, .. } => field,
        other => panic!("{other}"),
    };
    let serving =
        |service: &str, namespace: &str| authority.issue_serving(&ServingRequest::new(service, namespace));
    let client = |user: &str| authority.issue_client(&ClientRequest::new(user));

    assert_eq!(field(serving("Upper", "a")), "service");
    assert_eq!(field(serving("one", "a.b")), "namespace");
    assert_eq!(field(serving("one", &"n".repeat(64))), "namespace");
    assert_eq!(field(client("")), "user");
    assert_eq!(field(client(&"u".repeat(65))), "user");
    assert_eq!(field(client("jane\0root")), "user");
    let mut grouped = ClientRequest::new("jane");
    grouped.groups = vec![String::new()];
    assert_eq!(field(authority.issue_client(&grouped)), "group");
    let mut reversed = ClientRequest::new("jane");
    reversed.validity = Validity::between(SystemTime::now(), SystemTime::now() - DAY);
    assert_eq!(field(authority.issue_client(&reversed)), "validity");
    for name in ["", "a..b", "a b", "-a", "*", "DNS:x"] {
        assert!(name.parse::<brokkr_certs::AlternativeName>().is_err(), "{name:?}");
    }
    assert!(serving(&"s".repeat(63), &"n".repeat(63)).is_ok());
}

#[test]
fn debug_output_holds_no_private_key() {
    let authority = authority();
    let issued = authority.issue_client(&ClientRequest::new("jane")).unwrap();

    assert_eq!(
        format!("{authority:?}"),
        "CertificateAuthority { subject: \"test-ca\", .. }"
    );
    assert!(!format!("{issued:?}").contains("PRIVATE KEY"));
}
