//! What a request asks, read from its method, path and query.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/request.RequestInfo`. It is made once, early; all
//! later steps read it instead of the URL. Left out: the `/api` prefix of the core group (an aggregated
//! server has no core group) and the legacy `proxy` verb.

mod query;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

pub use query::query_values;
pub(crate) use query::{FieldTerm, field_terms};

/// Subresources of a namespace itself; any other third segment below `namespaces` is a resource.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// The parsed request line. Empty strings mean "not given".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource; if not, only `path` and `verb` (the lower-case method) count.
    pub is_resource_request: bool,
    /// The whole path, percent-decoded.
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
    /// Whether the query asks to follow a stream (`follow=true`), as `kubectl logs -f` does.
    pub follow: bool,
}

/// A path that starts like one of a resource, but names none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to determine resource and namespace from the path {path:?}: name a resource after \"watch\"")]
pub struct RequestInfoError {
    /// The path.
    pub path: String,
}

impl RequestInfo {
    /// Reads the request line.
    ///
    /// # Errors
    /// When the path ends after the legacy `watch` prefix.
    pub fn parse(method: &Method, uri: &Uri) -> Result<Self, RequestInfoError> {
        let path = percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
        let segments: Vec<String> = path.trim_matches('/').split('/').map(str::to_owned).collect();
        let mut info = Self {
            path,
            verb: method.as_str().to_ascii_lowercase(),
            ..Self::default()
        };
        // Shorter than /apis/<group>/<version>/<resource>: discovery, health and so on.
        if segments.len() < 4 || segments[0] != "apis" {
            return Ok(info);
        }
        info.is_resource_request = true;
        info.group.clone_from(&segments[1]);
        info.version.clone_from(&segments[2]);

        let rest = info.take_verb(method, &segments[3..])?;
        info.take_object(rest);
        info.refine_verb(uri.query());
        Ok(info)
    }

    /// Whether the request may run for hours: a watch, or a followed `log`. Everything else has a
    /// deadline.
    #[must_use]
    pub fn is_long_running(&self) -> bool {
        self.is_resource_request
            && (self.verb == "watch" || (self.subresource == "log" && self.verb == "get" && self.follow))
    }

    /// The verb by method, or by the legacy path prefix `watch`; returns the segments after it.
    fn take_verb<'a>(
        &mut self,
        method: &Method,
        segments: &'a [String],
    ) -> Result<&'a [String], RequestInfoError> {
        if segments[0] == "watch" {
            if segments.len() < 2 {
                return Err(RequestInfoError {
                    path: self.path.clone(),
                });
            }
            "watch".clone_into(&mut self.verb);
            return Ok(&segments[1..]);
        }
        self.verb = match method.as_str() {
            "POST" => "create",
            "GET" | "HEAD" => "get",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "",
        }
        .to_owned();
        Ok(segments)
    }

    /// Namespace, resource, name and subresource.
    fn take_object(&mut self, mut segments: &[String]) {
        if segments[0] == "namespaces" && segments.len() > 1 {
            self.namespace.clone_from(&segments[1]);
            if segments.len() > 2 && !NAMESPACE_SUBRESOURCES.contains(&segments[2].as_str()) {
                segments = &segments[2..];
            }
        }
        let segment = |index: usize| segments.get(index).cloned().unwrap_or_default();
        self.resource = segment(0);
        self.name = segment(1);
        self.subresource = segment(2);
    }

    /// A get or delete without a name is about the collection.
    fn refine_verb(&mut self, query: Option<&str>) {
        self.follow = self.subresource == "log" && query::flag(query, "follow");
        if !self.name.is_empty() {
            return;
        }
        match self.verb.as_str() {
            "get" => {
                let verb = if query::flag(query, "watch") {
                    "watch"
                } else {
                    "list"
                };
                verb.clone_into(&mut self.verb);
                // RBAC with resourceNames then holds for informers on a single object.
                self.name = query::demanded_name(query)
                    .map(Cow::into_owned)
                    .unwrap_or_default();
            }
            "delete" => "deletecollection".clone_into(&mut self.verb),
            _ => {}
        }
    }
}
