//! What a cluster is given: the server's certificate as a Secret, and the CA as a patch of the APIService.
//!
//! Both are YAML for kubectl and kustomize. They are written only if kube-apiserver, given both, would
//! accept the server: a certificate that it refuses makes the whole group unavailable.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::pkey::PKey;
use openssl::x509::X509;

use crate::files::{self, PairPaths, authority_bundle, base64_bundle};
use crate::request::check_label;
use crate::{Error, SERVING_CA, SERVING_CERTIFICATE, x509};

/// Whom the manifests are for.
#[derive(Clone, Debug)]
pub struct ManifestRequest {
    /// The Service that the APIService points to.
    pub service: String,
    /// The namespace of that Service, where the Secret goes.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The APIService's name, `<version>.<group>`.
    pub api_service: String,
}

/// Two documents, each for a file of its own. `Debug` would print the key and is absent.
#[expect(missing_debug_implementations, reason = "the Secret holds the private key")]
pub struct ClusterManifests {
    /// A Secret of type kubernetes.io/tls with `tls.crt`, `tls.key` and, as cert-manager writes it,
    /// `ca.crt`.
    pub secret: String,
    /// The APIService with nothing but its `caBundle`: a patch for kustomize.
    pub ca_bundle: String,
}

/// Writes the manifests from `tls.crt`, `tls.key` and the CA in `dir`.
///
/// # Errors
/// [`Error::Missing`] if a file is not there, and whatever would make kube-apiserver refuse the server:
/// [`Error::KeyMismatch`], [`Error::LeafExpired`], [`Error::NotIssued`], [`Error::WrongName`].
pub fn cluster_manifests(dir: &Path, request: &ManifestRequest) -> Result<ClusterManifests, Error> {
    check_label("service", &request.service)?;
    check_label("namespace", &request.namespace)?;
    let bundle = authority_bundle(dir, SERVING_CA)?;
    let paths = PairPaths::new(dir, SERVING_CERTIFICATE);
    let certificate = made_by_serving(&paths.certificate)?;
    let key = made_by_serving(&paths.key)?;
    check(&paths, (&certificate, &key), &bundle, request)?;
    let metadata = format!("  name: {}\n  namespace: {}\n", request.secret, request.namespace);
    Ok(ClusterManifests {
        secret: format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n{metadata}type: kubernetes.io/tls\ndata:\n  \
             ca.crt: {}\n  tls.crt: {}\n  tls.key: {}\n",
            base64_bundle(&bundle),
            base64_bundle(&certificate),
            base64_bundle(&key),
        ),
        ca_bundle: format!(
            "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata:\n  name: {}\nspec:\n  \
             caBundle: {}\n",
            request.api_service,
            base64_bundle(&bundle),
        ),
    })
}

impl ClusterManifests {
    /// Writes `serving-certificate.yaml` (mode 0600) and `ca-bundle.yaml` into a directory, each in one
    /// step, over what was there; gives their paths.
    ///
    /// # Errors
    /// [`Error::File`], naming the file.
    pub fn write(&self, dir: &Path) -> Result<[PathBuf; 2], Error> {
        let secret = dir.join("serving-certificate.yaml");
        let ca_bundle = dir.join("ca-bundle.yaml");
        files::replace_file(&secret, &self.secret, files::KEY_MODE)?;
        files::replace_file(&ca_bundle, &self.ca_bundle, files::CERTIFICATE_MODE)?;
        Ok([secret, ca_bundle])
    }
}

fn made_by_serving(path: &Path) -> Result<String, Error> {
    if files::exists(path)? {
        return files::read_text(path);
    }
    Err(Error::Missing {
        path: path.to_owned(),
        remedy: "`serving` issues it",
    })
}

/// Whether kube-apiserver, trusting the bundle, would accept the pair for the Service.
fn check(
    paths: &PairPaths,
    (certificate, key): (&str, &str),
    bundle: &str,
    request: &ManifestRequest,
) -> Result<(), Error> {
    let pem = |what| move |source| Error::Pem { what, source };
    let leaf = X509::from_pem(certificate.as_bytes()).map_err(pem("certificate"))?;
    let key = PKey::private_key_from_pem(key.as_bytes()).map_err(pem("private key"))?;
    let path = paths.certificate.clone();
    if !leaf.public_key()?.public_eq(&key) {
        return Err(Error::KeyMismatch {
            subject: x509::common_name(&leaf),
        });
    }
    if leaf.not_after().compare(Asn1Time::days_from_now(0)?.as_ref())? != Ordering::Greater {
        let not_after = leaf.not_after().to_string();
        return Err(Error::LeafExpired { path, not_after });
    }
    let authorities = X509::stack_from_pem(bundle.as_bytes()).map_err(pem("certificate"))?;
    if !authorities.iter().any(|authority| x509::issued(authority, &leaf)) {
        let authority = PairPaths::new(path.parent().unwrap_or(Path::new(".")), SERVING_CA).certificate;
        return Err(Error::NotIssued { path, authority });
    }
    let host = format!("{}.{}.svc", request.service, request.namespace);
    let names = leaf.subject_alt_names();
    let held = names.iter().flatten().any(|name| name.dnsname() == Some(&host));
    held.then_some(()).ok_or(Error::WrongName { path, host })
}
