//! Which certificate is shown: that of the flags, else one in the folder of `--cert-dir`, minted if need be.
//!
//! Upstream: `k8s.io/apiserver/pkg/server/options.SecureServingOptions.MaybeDefaultWithSelfSignedCerts`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use brokkr_certs::{AlternativeName, CertificateAuthority, ServingRequest, Validity};
use generic_apiserver::server::ServingCertificate;

use crate::Options;

/// Upstream's name of the pair.
const PAIR: &str = "apiserver";

/// The certificate to show.
///
/// # Errors
/// When one must be minted and cannot be written.
pub(crate) fn serving_certificate(options: &Options) -> anyhow::Result<ServingCertificate> {
    let given = options
        .tls_cert_file
        .clone()
        .zip(options.tls_private_key_file.clone());
    let (certificate, private_key) = match given {
        Some(given) => given,
        None => in_folder(&options.cert_dir, options).context("--cert-dir")?,
    };
    Ok(ServingCertificate::Files {
        certificate,
        private_key,
    })
}

/// The pair that is there already, or a new one below an authority whose certificate is `ca.crt` beside it.
fn in_folder(folder: &Path, options: &Options) -> anyhow::Result<(PathBuf, PathBuf)> {
    let pair = (
        folder.join(format!("{PAIR}.crt")),
        folder.join(format!("{PAIR}.key")),
    );
    if !(pair.0.exists() && pair.1.exists()) {
        let name = "wardle-serving-ca";
        let authority =
            CertificateAuthority::load_or_create(folder, "ca", name, Validity::authority_default())?;
        let mut request = ServingRequest::new("api", "wardle");
        if !options.bind_address.is_unspecified() {
            request
                .extra_names
                .push(AlternativeName::Ip(options.bind_address));
        }
        authority.issue_serving(&request)?.write(folder, PAIR)?;
        tracing::info!("minted the serving certificate {}", pair.0.display());
    }
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use generic_apiserver::server::ServingOptions;

    use super::*;

    fn shown(flags: &[&str]) -> ServingCertificate {
        let needed = ["wardle", "--database-url=postgresql:///wardle"];
        serving_certificate(&Options::parse_from([&needed, flags].concat())).unwrap()
    }

    fn files(flags: &[&str]) -> (PathBuf, PathBuf) {
        match shown(flags) {
            ServingCertificate::Files {
                certificate,
                private_key,
            } => (certificate, private_key),
            ServingCertificate::Pem { .. } => panic!("files are shown"),
        }
    }

    #[test]
    fn given_files_are_shown_and_nothing_is_minted() {
        let flags = [
            "--tls-cert-file=a",
            "--tls-private-key-file=b",
            "--cert-dir=/nowhere",
        ];
        assert_eq!(files(&flags), (PathBuf::from("a"), PathBuf::from("b")));
    }

    #[test]
    fn pair_is_minted_once_and_used_again() {
        let folder = std::env::temp_dir().join(format!("wardle-{}-certificates", std::process::id()));
        let flag = format!("--cert-dir={}", folder.display());
        let pair = files(&[&flag]);
        assert_eq!(pair, (folder.join("apiserver.crt"), folder.join("apiserver.key")));
        let minted = std::fs::read_to_string(&pair.0).unwrap();
        assert!(minted.starts_with("-----BEGIN CERTIFICATE-----"), "{minted}");
        assert!(folder.join("ca.crt").exists());
        ServingOptions::new(shown(&[&flag]))
            .complete()
            .expect("it can be served");
        assert_eq!(std::fs::read_to_string(&pair.0).unwrap(), minted);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
