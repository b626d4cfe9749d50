//! The certificates of one test.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use brokkr_certs::{CertificateAuthority, ClientRequest, IssuedCertificate, ServingRequest, Validity};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

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

pub(crate) fn der(certificate: &IssuedCertificate) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(certificate.certificate_pem().as_bytes()).expect("PEM")
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;

/// `1.3.6.1.4.1.57683.2`: the attribute of a subject that holds a user's UID.
const UID_ATTRIBUTE: [u8; 11] = [0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xc2, 0x53, 0x02];

/// `ecdsa-with-SHA256`.
const SIGNATURE_ALGORITHM: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

/// The certificate with these UIDs in its subject besides, signed anew; in PEM.
pub(crate) fn with_uids(
    authority: &CertificateAuthority,
    certificate: &IssuedCertificate,
    uids: &[&str],
) -> String {
    let original = der(certificate);
    let (_, parsed) = X509Certificate::from_der(&original).expect("DER");
    let old_subject = parsed.subject().as_raw();
    let attributes: Vec<_> = uids.iter().map(|uid| attribute(uid)).collect();
    let subject = tagged(SEQUENCE, &[content(old_subject), &attributes.concat()]);
    let old = content(parsed.tbs_certificate.as_ref());
    let position = old
        .windows(old_subject.len())
        .position(|window| window == old_subject)
        .expect("the subject");
    let (before, after) = (&old[..position], &old[position + old_subject.len()..]);
    let signed = tagged(SEQUENCE, &[before, &subject, after]);
    let signature = tagged(BIT_STRING, &[&[0], &sign(authority, &signed)]);
    let whole = tagged(SEQUENCE, &[&signed, &SIGNATURE_ALGORITHM, &signature]);
    let text = STANDARD.encode(whole);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn sign(authority: &CertificateAuthority, message: &[u8]) -> Vec<u8> {
    let key = authority.private_key_pem().expect("PEM");
    let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).expect("PKCS #8");
    let random = SystemRandom::new();
    let key = key.secret_pkcs8_der();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &random).expect("a key");
    pair.sign(&random, message).expect("randomness").as_ref().to_vec()
}

fn attribute(uid: &str) -> Vec<u8> {
    let value = tagged(UTF8_STRING, &[uid.as_bytes()]);
    tagged(SET, &[&tagged(SEQUENCE, &[&UID_ATTRIBUTE, &value])])
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).expect("short").to_be_bytes();
    let mut bytes = match content.len() {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    bytes.extend(content);
    bytes
}

/// What stands behind the tag and the length.
fn content(bytes: &[u8]) -> &[u8] {
    match bytes[1] {
        length @ 0x80.. => &bytes[2 + usize::from(length & 0x7f)..],
        _ => &bytes[2..],
    }
}
