//! Mints the certificates of an aggregated API server, for development and for tests.
//!
//! Four kinds come from here, after the words of kube-apiserver's own flags: a CA, a serving
//! certificate, a front-proxy client certificate (what the aggregator shows to us) and client
//! certificates (CN = user, O = groups). All are ECDSA P-256, signed with SHA-256.
//!
//! Two layers: [`CertificateAuthority`] works in memory, with PEM in and out; the functions named
//! after files ([`CertificateAuthority::load_or_create`], [`IssuedCertificate::write`],
//! [`rotate_authority`]) keep `<stem>.crt` and `<stem>.key` in a directory.
//!
//! Rotation: a leaf is renewed by issuing it again from the same CA, which is never overwritten by
//! accident. A CA is replaced in steps, so that old and new are trusted at once in between, and the
//! steps can be turned around; see [`rotate_authority`] and [`roll_back`].
//!
//! For a cluster, [`cluster_manifests`] writes the Secret of the server and the patch of its APIService;
//! [`inspect`] says what ends when, and what does not fit together.
//!
//! Left out: certificate requests made elsewhere, revocation lists, and talking to a cluster: what is
//! written is applied with kubectl. Who has cert-manager uses that. This is the only crate that links openssl.

mod authority;
mod error;
mod files;
mod inspection;
mod issued;
mod manifests;
mod request;
mod x509;

pub use authority::CertificateAuthority;
pub use error::Error;
pub use files::{authority_bundle, base64_bundle, finish_rotation, roll_back, rotate_authority};
pub use inspection::{CertificateReport, Problem, inspect};
pub use issued::IssuedCertificate;
pub use manifests::{ClusterManifests, ManifestRequest, cluster_manifests};
pub use request::{AlternativeName, ClientRequest, ServingRequest, Validity};

/// File stem of the CA that signs serving certificates; its certificate is the APIService's `caBundle`.
pub const SERVING_CA: &str = "ca";

/// File stem of the server's own certificate and key, as in a Secret of type kubernetes.io/tls.
pub const SERVING_CERTIFICATE: &str = "tls";

/// File stem of the CA that signs client certificates (kube-apiserver's `--client-ca-file`).
pub const CLIENT_CA: &str = "client-ca";

/// File stem of the CA that signs the aggregator's own client certificate
/// (kube-apiserver's `--requestheader-client-ca-file`).
pub const FRONT_PROXY_CA: &str = "front-proxy-ca";
