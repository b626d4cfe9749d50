//! Rules of object metadata that hold for every resource.
//!
//! Upstream concept: `k8s.io/apimachinery/pkg/api/validation` (`ValidateObjectMeta`) and
//! `util/validation`.

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::field::{FieldError, FieldErrorType};
use super::names::Scope;

const SUBDOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// All annotations of an object together; upstream's bound.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
     '-' or '.', and must start and end with an alphanumeric character";
const NAME_PART_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
     and end with an alphanumeric character, and be no more than 63 characters";

/// The invalid fields of an object's metadata.
#[must_use]
pub fn validate(meta: &ObjectMeta, scope: Scope) -> Vec<FieldError> {
    let mut errors: Vec<_> = validate_name(meta).into_iter().collect();
    errors.extend(validate_namespace(meta, scope));
    errors.extend(validate_labels(meta));
    errors.extend(validate_annotations(meta));
    errors.extend(validate_owners(meta));
    errors.extend(validate_finalizers(meta));
    errors
}

/// Adds what a strategy refuses. Its rules for a name may be the library's own: what is refused already is
/// not told twice.
pub fn extend(errors: &mut Vec<FieldError>, more: Vec<FieldError>) {
    let known = errors.len();
    for error in more {
        let told = errors[..known]
            .iter()
            .any(|other| other.field == error.field && other.error_type == error.error_type);
        if !told {
            errors.push(error);
        }
    }
}

/// The fields of a deletion that `wanted` would set or change: only a delete does that. What is left out
/// stays as it is, as does every other field that the server set.
#[must_use]
pub fn validate_immutable(wanted: &ObjectMeta, current: &ObjectMeta) -> Vec<FieldError> {
    let changed = |field: &str, value: String| FieldError::invalid(field, value, "field is immutable");
    let deleted = wanted.deletion_timestamp.as_ref();
    let grace = wanted.deletion_grace_period_seconds;
    let mut errors = Vec::new();
    if let Some(time) = deleted.filter(|_| current.deletion_timestamp.is_none()) {
        errors.push(changed(
            "metadata.deletionTimestamp",
            format!("{:?}", time.0.to_string()),
        ));
    }
    if let Some(seconds) = grace.filter(|_| grace != current.deletion_grace_period_seconds) {
        errors.push(changed(
            "metadata.deletionGracePeriodSeconds",
            seconds.to_string(),
        ));
    }
    errors
}

/// Drops owner references that are given twice and returns the uids of those owners.
pub fn merge_owners(meta: &mut ObjectMeta) -> Vec<String> {
    let given = meta.owner_references.take().unwrap_or_default();
    // A body has room for tens of thousands: they are not compared each with each.
    let mut seen = HashSet::new();
    let first: Vec<bool> = given.iter().map(|owner| seen.insert(parts(owner))).collect();
    let (mut merged, mut repeated) = (Vec::new(), Vec::new());
    for (owner, first) in given.into_iter().zip(first) {
        if first {
            merged.push(owner);
        } else {
            repeated.push(owner.uid);
        }
    }
    meta.owner_references = Some(merged).filter(|owners| !owners.is_empty());
    repeated
}

/// All that is said of an owner.
fn parts(owner: &OwnerReference) -> ([&str; 4], [Option<bool>; 2]) {
    let OwnerReference {
        api_version,
        block_owner_deletion,
        controller,
        kind,
        name,
        uid,
    } = owner;
    (
        [api_version, kind, name, uid],
        [*block_owner_deletion, *controller],
    )
}

/// The fields that an update may not change so.
#[must_use]
pub fn validate_update(new: &ObjectMeta, old: &ObjectMeta) -> Vec<FieldError> {
    if old.deletion_timestamp.is_none() {
        return Vec::new();
    }
    let before: HashSet<&String> = old.finalizers.iter().flatten().collect();
    let added: Vec<_> = new
        .finalizers
        .iter()
        .flatten()
        .filter(|one| !before.contains(one))
        .cloned()
        .collect();
    if added.is_empty() {
        return Vec::new();
    }
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
    );
    vec![FieldError::forbidden("metadata.finalizers", detail)]
}

fn validate_name(meta: &ObjectMeta) -> Option<FieldError> {
    let name = meta.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Some(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    }
    (!is_subdomain(name)).then(|| FieldError::invalid("metadata.name", format!("{name:?}"), SUBDOMAIN_RULE))
}

fn validate_namespace(meta: &ObjectMeta, scope: Scope) -> Option<FieldError> {
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    match scope {
        Scope::Cluster if !namespace.is_empty() => Some(FieldError::forbidden(
            "metadata.namespace",
            "not allowed on this type",
        )),
        Scope::Namespaced if !is_dns_label(namespace) => Some(FieldError::invalid(
            "metadata.namespace",
            format!("{namespace:?}"),
            "must be a DNS label",
        )),
        Scope::Cluster | Scope::Namespaced => None,
    }
}

fn validate_labels(meta: &ObjectMeta) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in meta.labels.iter().flatten() {
        if !is_qualified_name(key) {
            errors.push(FieldError::invalid(
                "metadata.labels",
                format!("{key:?}"),
                NAME_PART_RULE,
            ));
        }
        if !is_label_value(value) {
            let rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                        '.', and must start and end with an alphanumeric character, and be no more than 63 characters";
            errors.push(FieldError::invalid("metadata.labels", format!("{value:?}"), rule));
        }
    }
    errors
}

fn validate_annotations(meta: &ObjectMeta) -> Vec<FieldError> {
    let annotations = || meta.annotations.iter().flatten();
    let mut errors: Vec<_> = annotations()
        .filter(|(key, _)| !is_qualified_name(&key.to_ascii_lowercase()))
        .map(|(key, _)| FieldError::invalid("metadata.annotations", format!("{key:?}"), NAME_PART_RULE))
        .collect();
    let bytes: usize = annotations().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > ANNOTATIONS_BYTES_MAX {
        let message =
            format!("Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes, they have {bytes}");
        errors.push(FieldError::new(
            "metadata.annotations",
            FieldErrorType::TooLong,
            message,
        ));
    }
    errors
}

fn validate_owners(meta: &ObjectMeta) -> Vec<FieldError> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let mut errors: Vec<_> = owners
        .iter()
        .enumerate()
        .flat_map(|(index, owner)| validate_owner(index, owner))
        .collect();
    if owners
        .iter()
        .filter(|owner| owner.controller == Some(true))
        .count()
        > 1
    {
        let detail = "Only one reference can have Controller set to true";
        errors.push(FieldError::invalid("metadata.ownerReferences", "[...]", detail));
    }
    errors
}

fn validate_owner(index: usize, owner: &OwnerReference) -> Vec<FieldError> {
    let parts = [
        ("apiVersion", &owner.api_version),
        ("kind", &owner.kind),
        ("name", &owner.name),
        ("uid", &owner.uid),
    ];
    let mut errors: Vec<_> = parts
        .into_iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(part, _)| format!("metadata.ownerReferences[{index}].{part}"))
        .map(|field| FieldError::invalid(field, "\"\"", "must not be empty"))
        .collect();
    if owner.api_version == "v1" && owner.kind == "Event" {
        let field = format!("metadata.ownerReferences[{index}]");
        errors.push(FieldError::invalid(
            field,
            "Event",
            "v1, Kind=Event is disallowed from being an owner",
        ));
    }
    errors
}

fn validate_finalizers(meta: &ObjectMeta) -> Vec<FieldError> {
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    let mut errors: Vec<_> = finalizers
        .iter()
        .enumerate()
        .filter(|(_, finalizer)| !is_finalizer(finalizer))
        .map(|(index, finalizer)| {
            FieldError::invalid(
                format!("metadata.finalizers[{index}]"),
                format!("{finalizer:?}"),
                NAME_PART_RULE,
            )
        })
        .collect();
    let holds = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if holds("orphan") && holds("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            format!("{finalizers:?}"),
            detail,
        ));
    }
    errors
}

/// A finalizer is a qualified name with its domain; the collector's own two have none.
fn is_finalizer(finalizer: &str) -> bool {
    matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes")
        || (finalizer.contains('/') && is_qualified_name(finalizer))
}

/// Whether the text is a DNS-1123 subdomain.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_MAX && text.split('.').all(is_dns_part)
}

/// Whether the text is a DNS-1123 label.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= LABEL_MAX && is_dns_part(text)
}

fn is_dns_part(text: &str) -> bool {
    bounded_by(
        text,
        |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
        b"-",
    )
}

/// Whether the text is a qualified name: an optional subdomain, a slash, a name part.
#[must_use]
pub fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = text
        .split_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(text: &str) -> bool {
    text.is_empty()
        || (text.len() <= LABEL_MAX && bounded_by(text, |byte| byte.is_ascii_alphanumeric(), b"-_."))
}

/// Whether the text starts and ends with `edge` bytes and holds only those and `inner` ones.
fn bounded_by(text: &str, edge: impl Fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let edges = bytes
        .first()
        .zip(bytes.last())
        .is_some_and(|(&first, &last)| edge(first) && edge(last));
    edges && bytes.iter().all(|&byte| edge(byte) || inner.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("n".to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn names_are_subdomains() {
        for good in ["a", "a-b.c1", &"a".repeat(253)] {
            assert!(validate(&named(good), Scope::Namespaced).is_empty(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", "a/b", ".", "a_b", &"a".repeat(254)] {
            assert_eq!(validate(&named(bad), Scope::Namespaced).len(), 1, "{bad}");
        }
    }

    #[test]
    fn only_one_owner_controls() {
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: "a".to_owned(),
            uid: "u".to_owned(),
            controller: Some(true),
            ..OwnerReference::default()
        };
        let mut meta = named("a");
        meta.owner_references = Some(vec![owner.clone()]);
        assert!(validate(&meta, Scope::Namespaced).is_empty());
        meta.owner_references = Some(vec![owner.clone(), owner]);
        assert_eq!(
            validate(&meta, Scope::Namespaced)[0].field,
            "metadata.ownerReferences"
        );
    }

    #[test]
    fn finalizers_are_qualified_and_not_added_while_deleting() {
        let mut meta = named("a");
        meta.finalizers = Some(vec!["plain".to_owned()]);
        assert_eq!(
            validate(&meta, Scope::Namespaced)[0].field,
            "metadata.finalizers[0]"
        );
        let mut old = named("a");
        old.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            jiff::Timestamp::UNIX_EPOCH,
        ));
        meta.finalizers = Some(vec!["example.com/new".to_owned()]);
        assert_eq!(
            validate_update(&meta, &old)[0].error_type,
            FieldErrorType::Forbidden
        );
    }

    #[test]
    fn labels_and_annotations_are_bounded() {
        let mut meta = named("a");
        meta.labels = Some([("a".to_owned(), "b c".to_owned())].into());
        meta.annotations = Some([("a".to_owned(), "x".repeat(ANNOTATIONS_BYTES_MAX))].into());
        let fields: Vec<_> = validate(&meta, Scope::Namespaced)
            .into_iter()
            .map(|error| error.field)
            .collect();
        assert_eq!(fields, ["metadata.labels", "metadata.annotations"]);
    }
}
