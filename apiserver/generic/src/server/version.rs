//! `/version`.
//!
//! Upstream concept: `k8s.io/apimachinery/pkg/version.Info`. The names of the fields are fixed by clients,
//! the one of the compiler's version included.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use crate::endpoints::{Response, full_body};

/// What the server says of its own build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// Major version, such as `0`.
    pub major: String,
    /// Minor version, such as `1`.
    pub minor: String,
    /// The version as semver with a leading `v`.
    pub git_version: String,
    /// The commit; empty = unknown.
    pub git_commit: String,
    /// `clean` or `dirty`; empty = unknown.
    pub git_tree_state: String,
    /// When it was built, RFC 3339; empty = unknown.
    pub build_date: String,
    /// The version of the compiler; clients know the field by this name.
    pub go_version: String,
    /// The compiler.
    pub compiler: String,
    /// Operating system and architecture.
    pub platform: String,
}

impl VersionInfo {
    /// The version of a crate, such as `env!("CARGO_PKG_VERSION")`, with all that is unknown empty.
    #[must_use]
    pub fn of_crate(version: &str) -> Self {
        let mut numbers = version.split('.');
        let mut next = || numbers.next().unwrap_or_default().to_owned();
        Self {
            major: next(),
            minor: next(),
            git_version: format!("v{version}"),
            git_commit: String::new(),
            git_tree_state: String::new(),
            build_date: String::new(),
            go_version: String::new(),
            compiler: "rustc".to_owned(),
            platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }

    /// The answer, if the path is `/version`.
    pub(super) fn answer(&self, path: &str) -> Option<Response> {
        if path != "/version" {
            return None;
        }
        // Strings only: writing them cannot fail.
        let body = serde_json::to_vec_pretty(self).unwrap_or_default();
        let mut response = Response::new(full_body(body));
        *response.status_mut() = StatusCode::OK;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(response)
    }
}
