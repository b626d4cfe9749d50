//! What the certificates of a directory are, when they end, and what does not fit together.
//!
//! Looks at files and changes nothing. It judges what is in the directory, not what a cluster has of it.

use std::cmp::Ordering;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::pkey::PKey;
use openssl::x509::X509;

use crate::authority::may_sign;
use crate::{Error, files, x509};

/// One certificate of a directory.
#[derive(Clone, Debug)]
pub struct CertificateReport {
    /// The name of its file.
    pub file: String,
    /// Its common name.
    pub subject: String,
    /// The file of the CA in this directory that issued it; its own for a CA.
    pub issuer: Option<String>,
    /// Its last moment, for a person to read.
    pub not_after: String,
    /// Whole days until then; negative when it is over.
    pub days_left: i32,
    /// What needs attention.
    pub problems: Vec<Problem>,
}

/// What is wrong with a certificate or its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is over.
    Expired,
    /// It is over within the days that were asked for.
    ExpiresSoon,
    /// It is valid from a later moment on.
    NotYetValid,
    /// The key beside it belongs to another certificate.
    KeyMismatch,
    /// The key beside it can be read by others; its permission bits.
    KeyOpenToOthers(u32),
    /// The key beside it cannot be read, or is none.
    KeyUnreadable,
    /// No CA of the directory issued it.
    NoIssuer,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => formatter.write_str("expired"),
            Self::ExpiresSoon => formatter.write_str("expires soon"),
            Self::NotYetValid => formatter.write_str("not valid yet"),
            Self::KeyMismatch => formatter.write_str("its key is another certificate's"),
            Self::KeyOpenToOthers(mode) => write!(formatter, "its key is open to others (mode {mode:04o})"),
            Self::KeyUnreadable => formatter.write_str("its key cannot be read"),
            Self::NoIssuer => formatter.write_str("issued by no CA of this directory"),
        }
    }
}

/// Reports every `*.crt` of a directory, by name. Certificates that end within `soon_days` are marked.
///
/// # Errors
/// [`Error::File`] if the directory or a certificate cannot be read, [`Error::Pem`] if one is none.
pub fn inspect(dir: &Path, soon_days: u32) -> Result<Vec<CertificateReport>, Error> {
    let certificates = certificates(dir)?;
    let authorities: Vec<_> = certificates.iter().filter(|(_, it)| may_sign(it)).collect();
    let mut reports = Vec::new();
    for (path, certificate) in &certificates {
        let issuer = authorities
            .iter()
            .find(|(_, authority)| x509::issued(authority, certificate));
        let days_left = Asn1Time::days_from_now(0)?.diff(certificate.not_after())?.days;
        let mut problems = times(certificate, days_left, soon_days)?;
        problems.extend(issuer.is_none().then_some(Problem::NoIssuer));
        problems.extend(of_key(&path.with_extension("key"), certificate)?);
        reports.push(CertificateReport {
            file: file_name(path),
            subject: x509::common_name(certificate),
            issuer: issuer.map(|(path, _)| file_name(path)),
            not_after: certificate.not_after().to_string(),
            days_left,
            problems,
        });
    }
    Ok(reports)
}

fn certificates(dir: &Path) -> Result<Vec<(PathBuf, X509)>, Error> {
    let unreadable = |source| Error::file("read", dir, source);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        paths.extend((path.extension() == Some("crt".as_ref())).then_some(path));
    }
    paths.sort();
    let read = |path: PathBuf| {
        let certificate = X509::from_pem(&files::read(&path)?).map_err(|source| Error::Pem {
            what: "certificate",
            source,
        })?;
        Ok((path, certificate))
    };
    paths.into_iter().map(read).collect()
}

fn times(certificate: &X509, days_left: i32, soon_days: u32) -> Result<Vec<Problem>, Error> {
    let now = Asn1Time::days_from_now(0)?;
    let problem = if certificate.not_after().compare(&now)? != Ordering::Greater {
        Some(Problem::Expired)
    } else if certificate.not_before().compare(&now)? == Ordering::Greater {
        Some(Problem::NotYetValid)
    } else {
        (i64::from(days_left) < i64::from(soon_days)).then_some(Problem::ExpiresSoon)
    };
    Ok(problem.into_iter().collect())
}

/// A certificate without a key beside it is complete: what one only trusts.
fn of_key(path: &Path, certificate: &X509) -> Result<Vec<Problem>, Error> {
    if !files::exists(path)? {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    problems.extend(files::open_to_others(path)?.map(Problem::KeyOpenToOthers));
    let key = files::read(path)
        .ok()
        .and_then(|pem| PKey::private_key_from_pem(&pem).ok());
    match key {
        None => problems.push(Problem::KeyUnreadable),
        Some(key) if !certificate.public_key()?.public_eq(&key) => problems.push(Problem::KeyMismatch),
        Some(_) => {}
    }
    Ok(problems)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
