//! OpenAPI documents of everything served, generated from the schemas of the types.
//!
//! kubectl validates, explains and applies by them, and the aggregator merges them into the cluster's own.
//! Upstream concept: `k8s.io/kube-openapi` and `apiserver/pkg/endpoints/openapi`. Left out: protobuf
//! encodings, the deprecated `watch` paths, and the paths of discovery and version. Upstream's servers have
//! documents of these under `apis` and `version`; the aggregator, which merges the roots of all servers by path, may
//! then show one of them in place of the cluster's own.

mod meta_types;
mod names;
mod operations;
mod parameters;
mod paths;
mod schemas;
#[cfg(test)]
mod tests;
mod v2;
mod v3;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ApiGroup;
use super::static_document::StaticDocument;

/// All OpenAPI documents, written when the server is built.
#[derive(Debug)]
pub(crate) struct OpenApi {
    /// By path, without a slash at the end.
    by_path: BTreeMap<String, StaticDocument>,
}

impl OpenApi {
    /// Describes these groups; `version` is the server's.
    pub(crate) fn of(groups: &[ApiGroup], version: &str) -> Self {
        let mut by_path = BTreeMap::new();
        let mut index = Map::new();
        let mut all = Vec::new();
        for group in groups {
            for group_version in &group.versions {
                let document = v3::document(&group.name, group_version, version);
                let path = format!("apis/{}/{}", group.name, group_version.name);
                let written = StaticDocument::cached(&document);
                let url = format!("/openapi/v3/{path}?hash={}", written.hash());
                by_path.insert(format!("/openapi/v3/{path}"), written);
                index.insert(path, json!({ "serverRelativeURL": url }));
                all.push(document);
            }
        }
        let index = json!({ "paths": Value::Object(index) });
        by_path.insert("/openapi/v3".to_owned(), StaticDocument::cached(&index));
        by_path.insert(
            "/openapi/v2".to_owned(),
            StaticDocument::cached(&v2::document(&all, version)),
        );
        Self { by_path }
    }

    /// The document at a path.
    pub(crate) fn document(&self, path: &str) -> Option<&StaticDocument> {
        self.by_path.get(path)
    }
}
