//! Identity by the headers of the front proxy, kube-apiserver's aggregation layer.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authentication/request/headerrequest` behind an x509 verifier.
//! The headers are believed only over a certificate that chains to the request-header CA and has an
//! allowed name. This is the door that a forged `X-Remote-User` must not open.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::{
    Authentication, AuthenticationError, Authenticator, PeerCertificates, RequestHeaderConfig,
    SharedAuthenticationConfig, UserInfo,
};
use crate::mutant;

/// Believes the identity headers of a proxy that proves to be the front proxy.
#[derive(Clone, Debug)]
pub struct RequestHeader {
    config: SharedAuthenticationConfig,
}

impl RequestHeader {
    /// Uses CA, allowed names and header names of this configuration, as they are at each request.
    #[must_use]
    pub const fn new(config: SharedAuthenticationConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Authenticator for RequestHeader {
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerCertificates>,
    ) -> Result<Option<Authentication>, AuthenticationError> {
        let config = self.config.load();
        let (Some(peer), Some(config)) = (peer, &config.request_header) else {
            return Ok(None);
        };
        if !mutant!("c022-front-proxy-not-verified") {
            peer.verify(&config.roots)?;
        }
        if !mutant!("c022-any-name-believed") {
            require_allowed_name(config, peer)?;
        }
        let user = read_user(config, headers)?;
        Ok(user.map(|user| Authentication {
            user,
            front_proxy: true,
        }))
    }

    fn strip(&self, headers: &mut HeaderMap) {
        let config = self.config.load();
        let Some(config) = &config.request_header else {
            return;
        };
        let listed = [
            &config.username_headers,
            &config.uid_headers,
            &config.group_headers,
        ];
        for name in listed.into_iter().flatten() {
            headers.remove(name);
        }
        for prefix in &config.extra_header_prefixes {
            strip_prefixed(headers, prefix);
        }
    }
}

/// Removes all headers whose name starts with the lower-case `prefix`.
pub(crate) fn strip_prefixed(headers: &mut HeaderMap, prefix: &str) {
    let matching: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(prefix))
        .cloned()
        .collect();
    for name in matching {
        headers.remove(name);
    }
}

fn require_allowed_name(
    config: &RequestHeaderConfig,
    peer: &PeerCertificates,
) -> Result<(), AuthenticationError> {
    if config.allowed_names.is_empty() {
        return Ok(());
    }
    let common_name = &peer.subject()?.common_name;
    if config.allowed_names.contains(common_name) {
        return Ok(());
    }
    Err(AuthenticationError::NameNotAllowed(common_name.clone()))
}

/// The user the headers name; None without a user name.
fn read_user(
    config: &RequestHeaderConfig,
    headers: &HeaderMap,
) -> Result<Option<UserInfo>, AuthenticationError> {
    let Some(name) = first_value(headers, &config.username_headers)? else {
        return Ok(None);
    };
    let mut groups = Vec::new();
    for header in &config.group_headers {
        for value in headers.get_all(header) {
            let group = text(header, value)?;
            if !group.is_empty() {
                groups.push(group.to_owned());
            }
        }
    }
    Ok(Some(UserInfo {
        name,
        uid: first_value(headers, &config.uid_headers)?,
        groups,
        extra: read_extra(&config.extra_header_prefixes, headers)?,
    }))
}

/// The first value of the first listed header that is there and not empty.
fn first_value(headers: &HeaderMap, names: &[HeaderName]) -> Result<Option<String>, AuthenticationError> {
    for name in names {
        let Some(value) = headers.get(name) else {
            continue;
        };
        let value = text(name, value)?;
        if !value.is_empty() {
            return Ok(Some(value.to_owned()));
        }
    }
    Ok(None)
}

fn read_extra(
    prefixes: &[String],
    headers: &HeaderMap,
) -> Result<BTreeMap<String, Vec<String>>, AuthenticationError> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for prefix in prefixes {
        // The http crate keeps header names in lower case, as the keys are wanted.
        for (name, value) in headers {
            if let Some(key) = name.as_str().strip_prefix(prefix.as_str()) {
                let value = text(name, value)?.to_owned();
                extra.entry(decode_key(key)).or_default().push(value);
            }
        }
    }
    Ok(extra)
}

/// Percent-decodes a key. One that is malformed is taken as it is, so that no attribute gets lost.
fn decode_key(key: &str) -> String {
    let well_formed = key.bytes().enumerate().all(|(at, byte)| {
        let digit = |offset: usize| key.as_bytes().get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        byte != b'%' || (digit(1) && digit(2))
    });
    let decoded = percent_decode_str(key).decode_utf8();
    match decoded {
        Ok(decoded) if well_formed => decoded.into_owned(),
        _ => key.to_owned(),
    }
}

/// A header that is not UTF-8 refuses the request: half an identity is none.
fn text<'v>(name: &HeaderName, value: &'v HeaderValue) -> Result<&'v str, AuthenticationError> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| AuthenticationError::Header(name.to_string()))
}
