//! What a request asks, read from its method, path and query.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/request.RequestInfo`. It is made once, early; all
//! later steps read it instead of the URL.

/// The parsed request line. Empty strings mean "not given".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource; if not, only `path` and `verb` (the lower-case method) count.
    pub is_resource_request: bool,
    /// The whole path.
    pub path: String,
    /// The verb as RBAC knows it: `get`, `list`, `watch`, `create`, `deletecollection`, ...
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace.
    pub namespace: String,
    /// The plural resource.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The object's name; of a list or watch, the one its field selector demands.
    pub name: String,
}

impl RequestInfo {
    /// Whether the request may run for hours: a watch, or a followed `log`.
    #[must_use]
    pub fn is_long_running(&self) -> bool {
        self.is_resource_request
            && (self.verb == "watch" || (self.subresource == "log" && self.verb == "get"))
    }
}
