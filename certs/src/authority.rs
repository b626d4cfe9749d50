//! The certificate authority: created, loaded, and asked for leaves.
//!
//! In memory it is a certificate and its key, checked to belong together. In a directory it is
//! `<stem>.crt` and `<stem>.key`; see `files` for how they are written.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509VerifyResult};

use crate::files::{self, PairPaths};
use crate::request::check_subject;
use crate::x509::{self, Usage};
use crate::{ClientRequest, Error, IssuedCertificate, ServingRequest, Validity};

/// A CA with its private key.
///
/// Cloning shares the key; `Debug` never prints it.
#[derive(Clone)]
pub struct CertificateAuthority {
    certificate: X509,
    key: PKey<Private>,
}

impl CertificateAuthority {
    /// Makes a new self-signed CA in memory. It may sign leaves and no further CA.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the name is empty or longer than 64 bytes, or the validity makes no sense.
    pub fn create(common_name: &str, validity: Validity) -> Result<Self, Error> {
        check_subject("common name", common_name)?;
        validity.check()?;
        let key = x509::new_key()?;
        let certificate = x509::authority(common_name, &key, &validity)?;
        Ok(Self { certificate, key })
    }

    /// Takes a CA from PEM: the first certificate of the text, and its unencrypted private key.
    ///
    /// # Errors
    /// [`Error::Pem`], [`Error::KeyMismatch`], or [`Error::NotAuthority`] for a leaf. An expired CA
    /// loads; it fails when it is asked to issue.
    pub fn from_pem(certificate_pem: &[u8], private_key_pem: &[u8]) -> Result<Self, Error> {
        let certificate = X509::from_pem(certificate_pem).map_err(|source| Error::Pem {
            what: "certificate",
            source,
        })?;
        let key = PKey::private_key_from_pem(private_key_pem).map_err(|source| Error::Pem {
            what: "private key",
            source,
        })?;
        if !certificate.public_key()?.public_eq(&key) {
            return Err(Error::KeyMismatch {
                subject: x509::common_name(&certificate),
            });
        }
        if !may_sign(&certificate) {
            return Err(Error::NotAuthority {
                subject: x509::common_name(&certificate),
            });
        }
        Ok(Self { certificate, key })
    }

    /// Reads `<dir>/<stem>.crt` and `<dir>/<stem>.key`.
    ///
    /// # Errors
    /// [`Error::File`] if one cannot be read, [`Error::Exposed`] if the key is open to others, and those
    /// of [`Self::from_pem`].
    pub fn load(dir: &Path, stem: &str) -> Result<Self, Error> {
        let paths = PairPaths::new(dir, stem);
        if let Some(mode) = files::open_to_others(&paths.key)? {
            return Err(Error::Exposed {
                path: paths.key,
                mode,
            });
        }
        Self::from_pem(&files::read(&paths.certificate)?, &files::read(&paths.key)?)
    }

    /// Reads the CA if both its files exist; creates and saves it if neither does. The name and the
    /// validity matter only then: an existing CA stays as it is.
    ///
    /// # Errors
    /// [`Error::Incomplete`] if one file is there without the other, and those of [`Self::load`],
    /// [`Self::create`] and [`Self::save`].
    pub fn load_or_create(
        dir: &Path,
        stem: &str,
        common_name: &str,
        validity: Validity,
    ) -> Result<Self, Error> {
        if PairPaths::new(dir, stem).exists()? {
            return Self::load(dir, stem);
        }
        let authority = Self::create(common_name, validity)?;
        authority.save(dir, stem)?;
        Ok(authority)
    }

    /// Writes `<dir>/<stem>.key` (mode 0600) and `<dir>/<stem>.crt`, making the directory if needed.
    ///
    /// # Errors
    /// [`Error::Exists`] if either file is there: of two processes that save at once, one wins and the
    /// other gets this. [`Error::File`] otherwise.
    pub fn save(&self, dir: &Path, stem: &str) -> Result<(), Error> {
        files::create_pair(
            &PairPaths::new(dir, stem),
            &self.certificate_pem()?,
            &self.private_key_pem()?,
        )
    }

    /// The CA's certificate in PEM: what others are given to trust.
    ///
    /// # Errors
    /// [`Error::Openssl`] if openssl cannot encode it.
    pub fn certificate_pem(&self) -> Result<String, Error> {
        x509_pem(&self.certificate)
    }

    /// The CA's private key, PKCS #8 in PEM, unencrypted.
    ///
    /// # Errors
    /// [`Error::Openssl`] if openssl cannot encode it.
    pub fn private_key_pem(&self) -> Result<String, Error> {
        key_pem(&self.key)
    }

    /// Issues a serving certificate with a new key. It ends with the CA at the latest.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field, or [`Error::Expired`].
    pub fn issue_serving(&self, request: &ServingRequest) -> Result<IssuedCertificate, Error> {
        request.check()?;
        // A common name holds 64 bytes, which the Service's full name may exceed; nobody reads it.
        self.issue(
            &request.service,
            &[],
            &request.validity,
            &Usage::Server(request.names()),
        )
    }

    /// Issues a client certificate with a new key. It ends with the CA at the latest.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field, or [`Error::Expired`].
    pub fn issue_client(&self, request: &ClientRequest) -> Result<IssuedCertificate, Error> {
        request.check()?;
        self.issue(&request.user, &request.groups, &request.validity, &Usage::Client)
    }

    fn issue(
        &self,
        common_name: &str,
        organizations: &[String],
        validity: &Validity,
        usage: &Usage,
    ) -> Result<IssuedCertificate, Error> {
        self.check_not_expired()?;
        let key = x509::new_key()?;
        let name = x509::subject(common_name, organizations)?;
        let certificate = x509::leaf((&self.certificate, &self.key), &name, &key, validity, usage)?;
        Ok(IssuedCertificate {
            certificate_pem: x509_pem(&certificate)?,
            private_key_pem: key_pem(&key)?,
            not_after: certificate.not_after().to_string(),
        })
    }

    fn check_not_expired(&self) -> Result<(), Error> {
        let not_after = self.certificate.not_after();
        if not_after.compare(Asn1Time::days_from_now(0)?.as_ref())? == Ordering::Greater {
            return Ok(());
        }
        Err(Error::Expired {
            subject: x509::common_name(&self.certificate),
            not_after: not_after.to_string(),
        })
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CertificateAuthority")
            .field("subject", &x509::common_name(&self.certificate))
            .finish_non_exhaustive()
    }
}

/// A leaf that was put in a CA's file is found by asking openssl whether the certificate can have
/// issued itself, which looks at names, key identifiers and keyCertSign.
pub(crate) fn may_sign(certificate: &X509) -> bool {
    certificate.issued(certificate) == X509VerifyResult::OK
}

fn x509_pem(certificate: &X509) -> Result<String, Error> {
    Ok(ascii(certificate.to_pem()?))
}

fn key_pem(key: &PKey<Private>) -> Result<String, Error> {
    Ok(ascii(key.private_key_to_pem_pkcs8()?))
}

fn ascii(pem: Vec<u8>) -> String {
    String::from_utf8(pem).expect("PEM is ASCII by definition")
}
