//! The query and path parameters of the operations.

use serde_json::{Value, json};

fn query(name: &str, parameter_type: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": parameter_type, "uniqueItems": true},
    })
}

fn path(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": description,
        "schema": {"type": "string", "uniqueItems": true},
    })
}

/// Those of a path: `pretty`, and the parts of the path that vary.
pub(super) fn of_path(namespaced: bool, named: bool) -> Vec<Value> {
    let mut parameters = Vec::new();
    if named {
        parameters.push(path("name", "The name of the object."));
    }
    if namespaced {
        parameters.push(path("namespace", "The namespace of the objects."));
    }
    parameters.push(query("pretty", "string", "Indents the answer when true."));
    parameters
}

/// Those of list, watch and deletecollection.
pub(super) fn list() -> Vec<Value> {
    vec![
        query(
            "allowWatchBookmarks",
            "boolean",
            "Whether a watch may carry BOOKMARK events.",
        ),
        query("continue", "string", "The token of the page before."),
        query(
            "fieldSelector",
            "string",
            "Which fields objects must have, such as metadata.name=a.",
        ),
        query(
            "labelSelector",
            "string",
            "Which labels objects must have, such as a=b,c in (d,e).",
        ),
        query("limit", "integer", "How many objects a page has at most."),
        query(
            "resourceVersion",
            "string",
            "The version asked for; empty is the newest, 0 is any.",
        ),
        query(
            "resourceVersionMatch",
            "string",
            "How it is meant: Exact or NotOlderThan.",
        ),
        query(
            "sendInitialEvents",
            "boolean",
            "Whether a watch begins with the present objects.",
        ),
        query(
            "timeoutSeconds",
            "integer",
            "After how many seconds a watch ends.",
        ),
        query("watch", "boolean", "Whether changes are sent instead of a list."),
    ]
}

/// That of reading one object.
pub(super) fn get() -> Vec<Value> {
    vec![query(
        "resourceVersion",
        "string",
        "The oldest version that will do; empty is the newest.",
    )]
}

/// Those of create, update and patch.
pub(super) fn write() -> Vec<Value> {
    vec![
        query("dryRun", "string", "With All, nothing is stored."),
        query("fieldManager", "string", "Who writes, at most 128 characters."),
        query(
            "fieldValidation",
            "string",
            "What happens with unknown and duplicate fields: Ignore, Warn or Strict.",
        ),
    ]
}

/// Those of a patch.
pub(super) fn patch() -> Vec<Value> {
    let mut parameters = write();
    parameters.push(query("force", "boolean", "For apply patches only."));
    parameters
}

/// Those of a delete.
pub(super) fn delete() -> Vec<Value> {
    vec![
        query("dryRun", "string", "With All, nothing is deleted."),
        query(
            "gracePeriodSeconds",
            "integer",
            "How many seconds the object is given to end.",
        ),
        query(
            "ignoreStoreReadErrorWithClusterBreakingPotential",
            "boolean",
            "Not supported: objects that cannot be read are not deleted.",
        ),
        query("orphanDependents", "boolean", "Older form of propagationPolicy."),
        query(
            "propagationPolicy",
            "string",
            "What happens to dependents: Orphan, Background or Foreground.",
        ),
    ]
}

/// Those of deletecollection: what is selected, and how it is deleted.
pub(super) fn delete_collection() -> Vec<Value> {
    let watch_only = ["allowWatchBookmarks", "watch"];
    let mut parameters = list();
    parameters.retain(|parameter| !watch_only.iter().any(|name| parameter["name"] == *name));
    parameters.extend(delete());
    parameters
}
