//! The shape of our certificates: serial, subject, dates, extensions (RFC 5280).
//!
//! Nothing here knows files or requests; it turns checked parts into signed certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Integer, Asn1Time, Asn1TimeRef};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef, X509Ref, X509VerifyResult};

use crate::request::{AlternativeName, Validity};

/// RFC 5280 allows 20 octets and wants a positive number; the top bit stays clear.
const SERIAL_BITS: i32 = 159;

/// X.509 version 3 is written as 2.
const VERSION_3: i32 = 2;

/// What a leaf may be used for.
pub(crate) enum Usage {
    /// serverAuth, reached by these names.
    Server(Vec<AlternativeName>),
    /// clientAuth.
    Client,
}

/// A new ECDSA key on P-256, which every TLS library and ring take.
pub(crate) fn new_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// A subject with one common name and any number of organizations.
pub(crate) fn subject(common_name: &str, organizations: &[String]) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    for organization in organizations {
        name.append_entry_by_nid(Nid::ORGANIZATIONNAME, organization)?;
    }
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(name.build())
}

/// A self-signed CA that may sign leaves and no further CA.
pub(crate) fn authority(
    common_name: &str,
    key: &PKey<Private>,
    validity: &Validity,
) -> Result<X509, ErrorStack> {
    let name = subject(common_name, &[])?;
    let mut builder = start(&name, &name, key)?;
    builder.set_not_before(moment(validity.not_before)?.as_ref())?;
    builder.set_not_after(moment(validity.not_after)?.as_ref())?;
    builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    let key_identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(key_identifier)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// A leaf for `key`, signed by the CA, ending no later than the CA does.
pub(crate) fn leaf(
    issuer: (&X509Ref, &PKey<Private>),
    name: &X509NameRef,
    key: &PKey<Private>,
    validity: &Validity,
    usage: &Usage,
) -> Result<X509, ErrorStack> {
    let (authority, authority_key) = issuer;
    let mut builder = start(name, authority.subject_name(), key)?;
    builder.set_not_before(moment(validity.not_before)?.as_ref())?;
    let not_after = moment(validity.not_after)?;
    builder.set_not_after(earlier(&not_after, authority.not_after()))?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    append_usage(&mut builder, usage)?;
    append_key_identifiers(&mut builder, authority)?;
    builder.sign(authority_key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// Whether this CA signed this certificate, by names, key identifiers and the signature itself.
pub(crate) fn issued(authority: &X509, certificate: &X509) -> bool {
    let signed = authority.public_key().and_then(|key| certificate.verify(&key));
    authority.issued(certificate) == X509VerifyResult::OK && signed.unwrap_or(false)
}

/// The first common name of a certificate, for messages.
pub(crate) fn common_name(certificate: &X509Ref) -> String {
    let entry = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    entry
        .and_then(|entry| entry.data().to_string().ok())
        .unwrap_or_default()
}

fn start(name: &X509NameRef, issuer: &X509NameRef, key: &PKey<Private>) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(VERSION_3)?;
    builder.set_serial_number(random_serial()?.as_ref())?;
    builder.set_subject_name(name)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    Ok(builder)
}

fn random_serial() -> Result<Asn1Integer, ErrorStack> {
    let mut number = BigNum::new()?;
    number.rand(SERIAL_BITS, MsbOption::MAYBE_ZERO, false)?;
    number.to_asn1_integer()
}

fn append_usage(builder: &mut X509Builder, usage: &Usage) -> Result<(), ErrorStack> {
    let mut extended = ExtendedKeyUsage::new();
    match usage {
        Usage::Client => builder.append_extension(extended.client_auth().build()?),
        Usage::Server(names) => {
            builder.append_extension(extended.server_auth().build()?)?;
            let mut alternative = SubjectAlternativeName::new();
            for name in names {
                match name {
                    AlternativeName::Dns(host) => alternative.dns(host),
                    AlternativeName::Ip(address) => alternative.ip(&address.to_string()),
                };
            }
            let extension = alternative.build(&builder.x509v3_context(None, None))?;
            builder.append_extension(extension)
        }
    }
}

/// The key identifiers let a verifier pick the right one of two CAs of the same name, which is what
/// stands in a bundle during a CA's rotation.
fn append_key_identifiers(builder: &mut X509Builder, authority: &X509Ref) -> Result<(), ErrorStack> {
    let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(Some(authority), None))?;
    builder.append_extension(own)?;
    let issuer = AuthorityKeyIdentifier::new()
        .keyid(true)
        .build(&builder.x509v3_context(Some(authority), None))?;
    builder.append_extension(issuer)
}

fn earlier<'time>(left: &'time Asn1TimeRef, right: &'time Asn1TimeRef) -> &'time Asn1TimeRef {
    if left < right { left } else { right }
}

/// Whole seconds since 1970; moments before it count as 1970, long over either way.
fn moment(time: SystemTime) -> Result<Asn1Time, ErrorStack> {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    Asn1Time::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}
