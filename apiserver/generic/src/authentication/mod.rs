//! Who is asking.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authentication`. The identity is plain data and knows
//! nothing of how it was proved. An [`Authenticator`] reads the headers of one request and the
//! certificates its connection presented; [`Union`] asks several in order.

pub mod anonymous;
pub mod client_cert;
pub mod config_map;
mod peer;
pub mod request_header;
pub mod token_review;
mod trusted_roots;
mod union;

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

pub use anonymous::Anonymous;
pub use client_cert::ClientCert;
pub use config_map::{AuthenticationConfig, RequestHeaderConfig, SharedAuthenticationConfig};
pub use peer::{PeerCertificates, Subject};
pub use request_header::RequestHeader;
pub use token_review::TokenReviewAuthenticator;
pub use trusted_roots::TrustedRoots;
pub use union::Union;

/// The group of every identity that was proved.
pub const AUTHENTICATED_GROUP: &str = "system:authenticated";

/// The group of requests without any credential.
pub const UNAUTHENTICATED_GROUP: &str = "system:unauthenticated";

/// The name of requests without any credential.
pub const ANONYMOUS_USER: &str = "system:anonymous";

/// The key of [`UserInfo::extra`] that identifies the credential used, such as `X509SHA256=...`.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// An authenticated identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserInfo {
    /// The user name, such as `system:serviceaccount:team-a:bot`.
    pub name: String,
    /// The unique id, when the authenticator knows one.
    pub uid: Option<String>,
    /// The groups, `system:authenticated` included.
    pub groups: Vec<String>,
    /// Further attributes, such as `authentication.kubernetes.io/pod-name`.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// Whether the user is in `system:masters`.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.is_member("system:masters")
    }

    /// Whether nobody proved anything.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS_USER || self.is_member(UNAUTHENTICATED_GROUP)
    }

    fn is_member(&self, group: &str) -> bool {
        self.groups.iter().any(|member| member == group)
    }
}

/// What an authenticator found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// Who asks.
    pub user: UserInfo,
    /// Whether kube-apiserver's aggregation layer vouched for the user.
    pub front_proxy: bool,
}

impl Authentication {
    /// An identity that the caller proved itself, not through the front proxy.
    #[must_use]
    pub const fn direct(user: UserInfo) -> Self {
        Self {
            user,
            front_proxy: false,
        }
    }
}

/// Reads who is asking from a request.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The identity, or None when the request carries nothing this authenticator reads.
    ///
    /// # Errors
    /// When it carries a credential that is not believed, or could not be checked. The next
    /// authenticator is asked all the same; if none succeeds, the request is refused with 401.
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerCertificates>,
    ) -> Result<Option<Authentication>, AuthenticationError>;

    /// Removes the headers this authenticator would read, so that nothing behind it sees a credential or
    /// an identity that was not believed.
    fn strip(&self, headers: &mut HeaderMap);
}

/// A credential was presented and is not believed. The text is for the log; clients learn only that they
/// are not authenticated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// The client's certificate cannot be read or does not chain to the CA.
    #[error("client certificate: {0}")]
    Certificate(String),
    /// The certificate chains to the front-proxy CA, but its name is not an allowed one.
    #[error("client certificate: common name {0:?} is not among requestheader-allowed-names")]
    NameNotAllowed(String),
    /// A header of identity is not UTF-8.
    #[error("header {0} is not UTF-8")]
    Header(String),
    /// kube-apiserver rejected the token.
    #[error("token: {0}")]
    Token(String),
    /// kube-apiserver could not be asked about the token.
    #[error("token could not be reviewed: {0}")]
    Unreachable(String),
    /// Something presented is no credential that any authenticator reads.
    #[error("no authenticator reads the credential in the Authorization header")]
    Unreadable,
    /// Several authenticators failed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Self>),
}
