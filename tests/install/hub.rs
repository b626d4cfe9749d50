//! The overlay of one hub: the sample of the documentation, with certificates, as the guide makes it.

use std::fs;
use std::path::{Path, PathBuf};

use brokkr_certs::{
    CertificateAuthority, ManifestRequest, SERVING_CA, ServingRequest, Validity, cluster_manifests,
};
use brokkr_tests::Kubectl;

use crate::plane::repository;

/// A hub's certificates and its overlay.
pub(crate) struct Hub {
    /// Where `brokkr-certs` keeps its files.
    pub(crate) certificates: PathBuf,
    /// The overlay.
    pub(crate) overlay: PathBuf,
}

impl Hub {
    /// Makes both below a directory.
    pub(crate) fn create(directory: &Path) -> Self {
        let hub = Self {
            certificates: directory.join("certificates"),
            overlay: directory.join("hub"),
        };
        fs::create_dir_all(&hub.overlay).expect("a directory");
        let base = up_from(&hub.overlay).join(repository().strip_prefix("/").expect("absolute"));
        let base = base.join("apiservice").display().to_string();
        let sample = repository().join("docs/samples/hub/kustomization.yaml");
        let text = fs::read_to_string(sample).expect("the sample");
        let text = text.replace("../../../apiservice", &base);
        fs::write(hub.overlay.join("kustomization.yaml"), text).expect("written");
        hub.issue();
        hub.write_manifests();
        hub
    }

    /// `brokkr-certs serving`
    pub(crate) fn issue(&self) {
        let authority = CertificateAuthority::load_or_create(
            &self.certificates,
            SERVING_CA,
            "hub-ca",
            Validity::authority_default(),
        );
        let request = ServingRequest::new("brokkr-apiserver", "brokkr-system");
        let issued = authority
            .expect("a CA")
            .issue_serving(&request)
            .expect("a certificate");
        issued.write(&self.certificates, "tls").expect("written");
    }

    /// `brokkr-certs manifests`
    pub(crate) fn write_manifests(&self) {
        let request = ManifestRequest {
            service: "brokkr-apiserver".to_owned(),
            namespace: "brokkr-system".to_owned(),
            secret: "brokkr-apiserver-serving".to_owned(),
            api_service: "v1alpha1.work.brokkr.io".to_owned(),
        };
        let manifests = cluster_manifests(&self.certificates, &request).expect("they fit together");
        manifests.write(&self.overlay).expect("written");
    }

    /// What the guide does before: the namespaces, and the Secret of the database.
    pub(crate) async fn prepare(&self, kubectl: &Kubectl) {
        let namespaces = repository().join("apiservice/namespace.yaml");
        kubectl
            .run(&format!("apply -f {}", namespaces.display()))
            .await
            .ok();
        let secret =
            "create secret generic brokkr-apiserver-database -n brokkr-system --from-literal url=unused";
        kubectl.run(secret).await.ok();
    }

    /// `kubectl apply -k`
    pub(crate) async fn apply(&self, kubectl: &Kubectl) -> String {
        kubectl
            .run(&format!("apply -k {}", self.overlay.display()))
            .await
            .ok()
    }
}

/// Adds patches, in YAML, to those of a kustomization.
pub(crate) fn add_patches(kustomization: &Path, patches: &[&str]) {
    let mut text = fs::read_to_string(kustomization).expect("a kustomization");
    for patch in patches {
        let indented = patch.trim().replace('\n', "\n      ");
        let added = format!("patches:\n  - patch: |-\n      {indented}\n");
        text = text.replacen("patches:\n", &added, 1);
    }
    fs::write(kustomization, text).expect("written");
}

/// The way from a directory to the root: kustomize takes no absolute paths.
fn up_from(directory: &Path) -> PathBuf {
    let directory = fs::canonicalize(directory).expect("it exists");
    directory.components().skip(1).map(|_| "..").collect()
}
