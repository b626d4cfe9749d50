//! The forms names take in Kubernetes, after `k8s.io/apimachinery/pkg/util/validation`.
//!
//! Each rule returns the sentence that tells a user what a valid name looks like.

const SUBDOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A DNS subdomain of RFC 1123: lower-case labels with dots between them.
pub(super) fn dns_subdomain(name: &str) -> Result<(), String> {
    let valid = name.len() <= SUBDOMAIN_BYTES_MAX && name.split('.').all(is_lower_case_label);
    let rule = "must be a lowercase RFC 1123 subdomain: at most 253 lower-case letters, digits, '-' or '.', \
                starting and ending with a letter or digit";
    check(valid, rule)
}

/// A DNS label of RFC 1123: what a namespace is called.
pub(super) fn dns_label(name: &str) -> Result<(), String> {
    let valid = name.len() <= LABEL_BYTES_MAX && is_lower_case_label(name);
    let rule = "must be a lowercase RFC 1123 label: at most 63 lower-case letters, digits or '-', starting and \
                ending with a letter or digit";
    check(valid, rule)
}

/// A name that can stand in a path; what some kinds, such as roles, allow.
pub(super) fn path_segment(name: &str) -> Result<(), String> {
    let valid = !name.is_empty()
        && name.len() <= SUBDOMAIN_BYTES_MAX
        && name != "."
        && name != ".."
        && !name.contains(['/', '%']);
    check(
        valid,
        "must be a name of at most 253 bytes other than '.' and '..', without '/' and '%'",
    )
}

/// A label or annotation key: an optional DNS subdomain and a slash, then a name.
pub(super) fn qualified_name(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let valid =
        !name.is_empty() && is_label_text(name) && prefix.is_none_or(|prefix| dns_subdomain(prefix).is_ok());
    let rule = "must be a name of at most 63 letters, digits, '-', '_' or '.', starting and ending with a letter \
                or digit, with an optional DNS subdomain and '/' before it";
    check(valid, rule)
}

/// A label value, which may be empty.
pub(super) fn label_value(value: &str) -> Result<(), String> {
    let rule = "must be empty or at most 63 letters, digits, '-', '_' or '.', starting and ending with a letter or \
                digit";
    check(is_label_text(value), rule)
}

fn check(valid: bool, rule: &str) -> Result<(), String> {
    if valid { Ok(()) } else { Err(rule.to_owned()) }
}

fn is_lower_case_label(label: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

fn is_label_text(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    let bounded = |c: &u8| c.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    text.len() <= LABEL_BYTES_MAX
        && text.bytes().all(inner)
        && bytes.first().is_none_or(bounded)
        && bytes.last().is_none_or(bounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subdomains_are_lower_case_and_bounded() {
        for name in ["a", "build-my-app-abc123", "a.b.c", "0"] {
            assert!(dns_subdomain(name).is_ok(), "{name}");
        }
        for name in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a b", &"a".repeat(254)] {
            assert!(dns_subdomain(name).is_err(), "{name}");
        }
        assert!(dns_label(&"a".repeat(63)).is_ok() && dns_label(&"a".repeat(64)).is_err());
        assert!(dns_label("a.b").is_err());
    }

    #[test]
    fn keys_may_have_a_prefix() {
        for key in ["a", "example.com/Arch", "A_b.c", "work.brokkr.io/completed-at"] {
            assert!(qualified_name(key).is_ok(), "{key}");
        }
        for key in ["", "/a", "a/", "Example.com/a", "a/b/c", "-a", &"a".repeat(64)] {
            assert!(qualified_name(key).is_err(), "{key}");
        }
    }

    #[test]
    fn values_may_be_empty() {
        for value in ["", "amd64", "A.b_c-1"] {
            assert!(label_value(value).is_ok(), "{value}");
        }
        for value in ["-a", "a b", "a/b", &"a".repeat(64)] {
            assert!(label_value(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_path_segment_cannot_climb() {
        assert!(path_segment("system:node").is_ok());
        for name in ["", ".", "..", "a/b", "a%2f"] {
            assert!(path_segment(name).is_err(), "{name}");
        }
    }
}
