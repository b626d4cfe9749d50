//! Rules of `spec.manifests`.
//!
//! The agent's cluster has the last word on every object; these rules refuse early what can be told from the text
//! alone. Lists are looked into, because applying a list applies what is in it.

use serde_json::Value;

use super::{check_name, names};
use crate::schema::Object;
use crate::validation::FieldError;

/// How many objects an order may carry, those inside lists included.
pub const MANIFESTS_MAX: usize = 64;
/// How many bytes the manifests of an order may have, as JSON.
pub const MANIFESTS_BYTES_MAX: usize = 1 << 20;

/// Cluster-scoped kinds a user may plausibly send, by API group. Others are refused by the agent.
const CLUSTER_SCOPED: &[(&str, &[&str])] = &[
    ("", &["Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    (
        "certificates.k8s.io",
        &["CertificateSigningRequest", "ClusterTrustBundle"],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        &["FlowSchema", "PriorityLevelConfiguration"],
    ),
    ("networking.k8s.io", &["IngressClass", "IPAddress", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    (
        "rbac.authorization.k8s.io",
        &["ClusterRole", "ClusterRoleBinding"],
    ),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("shipwright.io", &["ClusterBuildStrategy"]),
    (
        "storage.k8s.io",
        &[
            "CSIDriver",
            "CSINode",
            "StorageClass",
            "VolumeAttachment",
            "VolumeAttributesClass",
        ],
    ),
    ("work.brokkr.io", &["Agent"]),
];

pub(super) fn check_manifests(manifests: &[Object], namespace: Option<&str>, errors: &mut Vec<FieldError>) {
    let mut walk = Walk {
        namespace,
        count: 0,
        errors,
    };
    for (index, manifest) in manifests.iter().enumerate() {
        walk.check_object(&format!("spec.manifests[{index}]"), manifest);
    }
    let count = walk.count;
    if count > MANIFESTS_MAX {
        errors.push(FieldError::too_many("spec.manifests", count, MANIFESTS_MAX));
    }
    // Serialising a decoded value cannot fail; what cannot be measured is not let through.
    let bytes = serde_json::to_vec(manifests).map_or(usize::MAX, |json| json.len());
    if bytes > MANIFESTS_BYTES_MAX {
        errors.push(FieldError::too_long("spec.manifests", bytes, MANIFESTS_BYTES_MAX));
    }
}

/// One pass over all objects, lists included.
struct Walk<'a> {
    namespace: Option<&'a str>,
    count: usize,
    errors: &'a mut Vec<FieldError>,
}

impl Walk<'_> {
    fn check_object(&mut self, path: &str, object: &Object) {
        let (Some(api_version), Some(kind)) = (
            self.required_text(path, object, "apiVersion"),
            self.required_text(path, object, "kind"),
        ) else {
            self.count += 1;
            return;
        };
        if is_secret(api_version, kind) {
            self.count += 1;
            let message =
                "Secrets are not accepted; create the Secret in the agent's cluster and refer to it by name";
            self.errors.push(FieldError::forbidden(path, message));
            return;
        }
        match object.get("items") {
            Some(Value::Array(items)) if kind.trim().to_ascii_lowercase().ends_with("list") => {
                self.check_items(path, items);
            }
            _ => {
                self.count += 1;
                self.check_scope(path, api_version, kind);
                self.check_metadata(path, object);
            }
        }
    }

    fn check_items(&mut self, path: &str, items: &[Value]) {
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}.items[{index}]");
            match item.as_object() {
                Some(object) => self.check_object(&path, object),
                None => self
                    .errors
                    .push(FieldError::invalid(path, item.clone(), "must be an object")),
            }
        }
    }

    fn check_scope(&mut self, path: &str, api_version: &str, kind: &str) {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if CLUSTER_SCOPED
            .iter()
            .any(|(owner, kinds)| *owner == group && kinds.contains(&kind))
        {
            let message =
                format!("{kind} is cluster-scoped; an order may only bring objects of its own namespace");
            self.errors.push(FieldError::forbidden(path, message));
        }
    }

    fn check_metadata(&mut self, path: &str, object: &Object) {
        let text = |field| {
            object
                .get("metadata")
                .and_then(|metadata| metadata.get(field))
                .and_then(Value::as_str)
        };
        match text("name") {
            None | Some("") => {
                let message =
                    "must be set: objects are applied by name, and generateName would make new ones";
                self.errors
                    .push(FieldError::required(format!("{path}.metadata.name"), message));
            }
            Some(name) => {
                check_name(
                    &format!("{path}.metadata.name"),
                    name,
                    names::path_segment,
                    self.errors,
                );
            }
        }
        let (found, own) = (
            text("namespace").filter(|found| !found.is_empty()),
            self.namespace,
        );
        if let (Some(found), Some(own)) = (found, own)
            && found != own
        {
            let message = format!("must be {own}, the namespace of the order, or left out");
            self.errors.push(FieldError::forbidden(
                format!("{path}.metadata.namespace"),
                message,
            ));
        }
    }

    fn required_text<'o>(&mut self, path: &str, object: &'o Object, field: &str) -> Option<&'o str> {
        let found = object
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        if found.is_none() {
            self.errors.push(FieldError::required(
                format!("{path}.{field}"),
                "must be set on every object",
            ));
        }
        found
    }
}

/// Whether an object is a core Secret, or a list of them, in whatever case it is written.
fn is_secret(api_version: &str, kind: &str) -> bool {
    let (api_version, kind) = (api_version.trim(), kind.trim());
    let is_core = !api_version.contains('/') || api_version.starts_with('/');
    is_core
        && ["Secret", "SecretList"]
            .iter()
            .any(|secret| kind.eq_ignore_ascii_case(secret))
}
