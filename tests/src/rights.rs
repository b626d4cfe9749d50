//! What manifests grant, and what accounts have asked for by the audit log of kube-apiserver.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// Group, resource with its subresource, and verb.
pub type Right = (String, String, String);

/// A right of these names.
#[must_use]
pub fn right(group: &str, resource: &str, verb: &str) -> Right {
    (group.to_owned(), resource.to_owned(), verb.to_owned())
}

/// What a role of some manifests grants.
///
/// # Panics
/// When there is no such role, or it grants nothing.
#[must_use]
pub fn granted(manifests: &str, role: &str) -> BTreeSet<Right> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifests).expect("YAML");
    let is_it = |object: &&Value| {
        let kind = object["kind"].as_str().unwrap_or_default();
        kind.ends_with("Role") && object["metadata"]["name"] == role
    };
    let found = objects.iter().find(is_it).expect("the role");
    let list = |rule: &Value, field: &str| -> Vec<String> {
        let items = rule[field].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in found["rules"].as_array().expect("rules") {
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                let verbs = list(rule, "verbs");
                rights.extend(verbs.iter().map(|verb| right(&group, &resource, verb)));
            }
        }
    }
    assert!(!rights.is_empty(), "{role} grants nothing");
    rights
}

/// The requests in an audit log that a question holds for.
#[must_use]
pub fn requests(audit_log: &Path, is_meant: impl Fn(&Value) -> bool) -> Vec<Value> {
    let log = std::fs::read_to_string(audit_log).unwrap_or_default();
    // The last line may be half written.
    let records = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    records.filter(is_meant).collect()
}

/// The account whose rights a request needs: the one that was acted as, if another was.
#[must_use]
pub fn account(request: &Value) -> &str {
    let acted_as = request["impersonatedUser"]["username"].as_str();
    acted_as
        .or(request["user"]["username"].as_str())
        .unwrap_or_default()
}

/// The rights that requests for resources need.
#[must_use]
pub fn asked(requests: &[Value]) -> BTreeSet<Right> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |request: &Value| {
        let object = &request["objectRef"];
        let resource = match object["subresource"].as_str() {
            Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        (text(&object["apiGroup"]), resource, text(&request["verb"]))
    };
    let resources = requests.iter().filter(|request| request["objectRef"].is_object());
    resources.map(of).collect()
}

/// The requests that were refused for want of a right.
#[must_use]
pub fn refused(requests: &[Value]) -> Vec<&Value> {
    let is_refused = |request: &&Value| request["responseStatus"]["code"] == 403;
    requests.iter().filter(is_refused).collect()
}
