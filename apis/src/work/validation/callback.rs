//! Rules of `spec.callback`.
//!
//! Which addresses may be called is the server's configuration; here only the form is checked.

use super::{check_name, names};
use crate::validation::FieldError;
use crate::work::v1alpha1::Callback;

const URL_BYTES_MAX: usize = 2048;

pub(super) fn check_callback(callback: &Callback, errors: &mut Vec<FieldError>) {
    check_url(&callback.url, errors);
    let Some(secret) = &callback.secret_ref else {
        return;
    };
    if secret.name.is_empty() {
        errors.push(FieldError::required(
            "spec.callback.secretRef.name",
            "must name a Secret of the namespace",
        ));
    } else {
        check_name(
            "spec.callback.secretRef.name",
            &secret.name,
            names::dns_subdomain,
            errors,
        );
    }
}

fn check_url(url: &str, errors: &mut Vec<FieldError>) {
    let field = "spec.callback.url";
    if url.is_empty() {
        errors.push(FieldError::required(
            field,
            "must be the address the outcome is posted to",
        ));
        return;
    }
    if url.len() > URL_BYTES_MAX {
        errors.push(FieldError::too_long(field, url.len(), URL_BYTES_MAX));
        return;
    }
    let Some(rest) = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
    else {
        errors.push(FieldError::invalid(
            field,
            url,
            "must start with https:// or http://",
        ));
        return;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') {
        errors.push(FieldError::invalid(field, url, "must name a host"));
    } else if authority.contains('@') {
        // The value is not repeated: it holds a password.
        errors.push(FieldError::forbidden(
            field,
            "must not contain a user name or password; use secretRef",
        ));
    } else if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        errors.push(FieldError::invalid(
            field,
            url,
            "must not contain spaces or control characters",
        ));
    }
}
