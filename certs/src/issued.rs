//! A certificate that was just issued, with its key, as text that may be kept or written.

use std::fmt;
use std::path::Path;

use crate::Error;
use crate::files::{self, PairPaths};

/// A leaf certificate and its private key in PEM. `Debug` never prints the key.
#[derive(Clone)]
pub struct IssuedCertificate {
    pub(crate) certificate_pem: String,
    pub(crate) private_key_pem: String,
    pub(crate) not_after: String,
}

impl IssuedCertificate {
    /// The leaf alone, in PEM: our CAs sign without intermediates, and a root is not sent.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS #8 in PEM, unencrypted.
    pub fn private_key_pem(&self) -> &str {
        &self.private_key_pem
    }

    /// The last moment of validity, for a person to read.
    pub fn not_after(&self) -> &str {
        &self.not_after
    }

    /// Writes `<dir>/<stem>.key` (mode 0600), then `<dir>/<stem>.crt`, each in one step, over what was
    /// there. For the moment between the two steps the pair does not match: a server that reloads
    /// must compare certificate and key, and read again when they differ.
    ///
    /// # Errors
    /// [`Error::File`], naming the file.
    pub fn write(&self, dir: &Path, stem: &str) -> Result<(), Error> {
        files::replace_pair(
            &PairPaths::new(dir, stem),
            &self.certificate_pem,
            &self.private_key_pem,
        )
    }
}

impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IssuedCertificate")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
