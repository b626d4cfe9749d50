//! Who is asking.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/authentication`. The identity is plain data and knows
//! nothing of how it was proved.

use std::collections::BTreeMap;

/// An authenticated identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
        self.groups.iter().any(|group| group == "system:masters")
    }
}
