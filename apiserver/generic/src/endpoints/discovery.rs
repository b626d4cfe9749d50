//! What is served, for clients that want to find out.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/discovery` and its `aggregated` form. Everything is
//! written when the server is built: discovery answers without a database and always the same bytes.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Value, json};

use super::negotiation::json_clauses;
use super::static_document::StaticDocument;
use super::{ApiGroup, ApiVersion};
use crate::registry::{ResourceInfo, RestStorage, RestSubresource, Scope, Verb};

const AGGREGATED_V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// All discovery documents.
#[derive(Debug)]
pub(crate) struct Discovery {
    index: StaticDocument,
    groups: StaticDocument,
    aggregated_v2: StaticDocument,
    aggregated_v2beta1: StaticDocument,
    /// `/apis/<group>` and `/apis/<group>/<version>`.
    by_path: BTreeMap<String, StaticDocument>,
}

impl Discovery {
    /// Describes these groups.
    pub(crate) fn of(groups: &[ApiGroup]) -> Self {
        let mut by_path = BTreeMap::new();
        for group in groups {
            let mut document = group_entry(group);
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            by_path.insert(format!("/apis/{}", group.name), StaticDocument::plain(&document));
            for version in &group.versions {
                let document = StaticDocument::plain(&resource_list(&group.name, version));
                by_path.insert(format!("/apis/{}/{}", group.name, version.name), document);
            }
        }
        let list = json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": groups.iter().map(group_entry).collect::<Vec<_>>(),
        });
        Self {
            index: StaticDocument::plain(&index(by_path.keys())),
            groups: StaticDocument::plain(&list),
            aggregated_v2: aggregated(groups, "v2", AGGREGATED_V2),
            aggregated_v2beta1: aggregated(groups, "v2beta1", AGGREGATED_V2BETA1),
            by_path,
        }
    }

    /// The paths served.
    pub(crate) const fn index(&self) -> &StaticDocument {
        &self.index
    }

    /// The groups: in the aggregated form if the client wants it more than the plain one. Whoever accepts
    /// neither gets the plain form too, because an error here makes the aggregator call the group stale.
    pub(crate) fn groups(&self, headers: &HeaderMap) -> &StaticDocument {
        let wanted = json_clauses(headers).into_iter().find_map(|clause| {
            match (
                clause.parameter("as"),
                clause.parameter("g"),
                clause.parameter("v"),
            ) {
                ("", _, _) => Some(&self.groups),
                ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Some(&self.aggregated_v2),
                ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => Some(&self.aggregated_v2beta1),
                _ => None,
            }
        });
        wanted.unwrap_or(&self.groups)
    }

    /// A group or a version.
    pub(crate) fn document(&self, path: &str) -> Option<&StaticDocument> {
        self.by_path.get(path)
    }
}

fn index<'p>(paths: impl Iterator<Item = &'p String>) -> Value {
    let fixed = [
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    let mut paths: Vec<&str> = paths.map(String::as_str).chain(fixed).collect();
    paths.sort_unstable();
    json!({ "paths": paths })
}

fn group_entry(group: &ApiGroup) -> Value {
    let version = |version: &ApiVersion| {
        json!({
            "groupVersion": format!("{}/{}", group.name, version.name),
            "version": version.name,
        })
    };
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    json!({
        "name": group.name,
        "preferredVersion": versions.first(),
        "versions": versions,
    })
}

fn resource_list(group: &str, version: &ApiVersion) -> Value {
    let resources: Vec<Value> = version
        .resources
        .iter()
        .flat_map(|storage| entries(storage.as_ref()))
        .collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{group}/{}", version.name),
        "resources": resources,
    })
}

/// The entry of a resource, then those of its subresources.
fn entries(storage: &dyn RestStorage) -> Vec<Value> {
    let info = storage.info();
    let names = &info.names;
    let mut entry = json!({
        "name": names.plural,
        "singularName": names.singular,
        "namespaced": names.scope == Scope::Namespaced,
        "kind": info.kind,
        "verbs": verbs(info.verbs),
        "storageVersionHash": storage_version_hash(info),
    });
    add_names(&mut entry, info);
    let subresource = |part: &Subresource| {
        json!({
            "name": format!("{}/{}", names.plural, part.name),
            "singularName": "",
            "namespaced": names.scope == Scope::Namespaced,
            "kind": part.kind,
            "verbs": part.verbs,
        })
    };
    let subresources = subresources(storage);
    std::iter::once(entry)
        .chain(subresources.iter().map(subresource))
        .collect()
}

/// Short names and categories are left out when there are none.
fn add_names(entry: &mut Value, info: &ResourceInfo) {
    if !info.names.short_names.is_empty() {
        entry["shortNames"] = json!(info.names.short_names);
    }
    if !info.names.categories.is_empty() {
        entry["categories"] = json!(info.names.categories);
    }
}

/// A subresource as discovery shows it.
struct Subresource {
    name: &'static str,
    kind: &'static str,
    verbs: Vec<&'static str>,
}

/// The subresources by name, `/status` included.
fn subresources(storage: &dyn RestStorage) -> Vec<Subresource> {
    let info = storage.info();
    let status = info.has_status.then(|| Subresource {
        name: "status",
        kind: info.kind,
        verbs: verbs(&[Verb::Get, Verb::Patch, Verb::Update]),
    });
    let own = |subresource: &dyn RestSubresource| Subresource {
        name: subresource.name(),
        kind: subresource.kind(),
        verbs: verbs(&[subresource.verb()]),
    };
    let mut all: Vec<Subresource> = storage
        .subresources()
        .iter()
        .map(|s| own(s.as_ref()))
        .chain(status)
        .collect();
    all.sort_unstable_by_key(|subresource| subresource.name);
    all
}

/// The names of the subresources, `status` included.
pub(super) fn subresource_names(storage: &dyn RestStorage) -> Vec<&'static str> {
    let subresources = subresources(storage).into_iter();
    subresources.map(|subresource| subresource.name).collect()
}

fn verbs(verbs: &[Verb]) -> Vec<&'static str> {
    let mut verbs: Vec<_> = verbs.iter().map(|verb| verb.as_str()).collect();
    verbs.sort_unstable();
    verbs
}

/// Changes when objects are stored as another kind; made as upstream makes it.
fn storage_version_hash(info: &ResourceInfo) -> String {
    let stored_as = format!("{}/{}/{}", info.group, info.storage_version, info.kind);
    let digest = ring::digest::digest(&ring::digest::SHA256, stored_as.as_bytes());
    STANDARD.encode(&digest.as_ref()[..8])
}

fn aggregated(groups: &[ApiGroup], version: &str, content_type: &'static str) -> StaticDocument {
    let document = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": groups.iter().map(aggregated_group).collect::<Vec<_>>(),
    });
    StaticDocument::cached(&document).with_content_type(content_type)
}

fn aggregated_group(group: &ApiGroup) -> Value {
    let version = |version: &ApiVersion| {
        let resources: Vec<Value> = version
            .resources
            .iter()
            .map(|s| aggregated_resource(s.as_ref()))
            .collect();
        json!({"version": version.name, "freshness": "Current", "resources": resources})
    };
    json!({
        "metadata": {"name": group.name, "creationTimestamp": null},
        "versions": group.versions.iter().map(version).collect::<Vec<_>>(),
    })
}

fn aggregated_resource(storage: &dyn RestStorage) -> Value {
    let info = storage.info();
    let kind = |kind: &str| json!({"group": info.group, "version": info.version, "kind": kind});
    let mut entry = json!({
        "resource": info.names.plural,
        "responseKind": kind(info.kind),
        "scope": match info.names.scope {
            Scope::Namespaced => "Namespaced",
            Scope::Cluster => "Cluster",
        },
        "singularResource": info.names.singular,
        "verbs": verbs(info.verbs),
    });
    add_names(&mut entry, info);
    let subresource =
        |s: Subresource| json!({"subresource": s.name, "responseKind": kind(s.kind), "verbs": s.verbs});
    let subresources: Vec<Value> = subresources(storage).into_iter().map(subresource).collect();
    if !subresources.is_empty() {
        entry["subresources"] = Value::Array(subresources);
    }
    entry
}
