//! The schemas of the types that all APIs share, under their canonical names.
//!
//! The names are upstream's, so that clients know the types; the descriptions are our own. Left out: what
//! only discovery answers with.

mod answers;
mod metadata;

use serde_json::{Map, Value, json};

/// The prefix of the names.
pub(super) const PREFIX: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// A property: its name, its schema without description, its description.
type Property<'p> = (&'p str, Value, &'p str);

/// A reference to a shared type.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{PREFIX}{name}") })
}

/// All shared schemas by name.
pub(super) fn schemas(group: &str, version: &str) -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |name: &str, schema: Value| all.insert(format!("{PREFIX}{name}"), schema);
    add("ObjectMeta", metadata::object_meta());
    add("OwnerReference", metadata::owner_reference());
    add("ManagedFieldsEntry", metadata::managed_fields_entry());
    add(
        "FieldsV1",
        json!({"type": "object", "description": "A set of fields, in the form that field managers keep."}),
    );
    add(
        "Time",
        json!({"type": "string", "format": "date-time", "description": "A time in RFC 3339 with seconds."}),
    );
    add("ListMeta", metadata::list_meta());
    add("Condition", metadata::condition());
    add("Status", answers::status());
    add("StatusDetails", answers::status_details());
    add("StatusCause", answers::status_cause());
    add("DeleteOptions", answers::delete_options(group, version));
    add("Preconditions", answers::preconditions());
    add(
        "Patch",
        json!({"type": "object", "description": "A change of an object, in the form its media type names."}),
    );
    add("WatchEvent", answers::watch_event(group, version));
    all.insert(
        RAW_EXTENSION.to_owned(),
        json!({"type": "object", "description": "An object of any kind."}),
    );
    all
}

fn kind_list(groups: &[(&str, &str)], kind: &str) -> Value {
    let entry = |&(group, version): &(&str, &str)| json!({"group": group, "version": version, "kind": kind});
    groups.iter().map(entry).collect()
}

/// An object schema.
fn object(description: &str, required: &[&str], properties: &[Property<'_>]) -> Value {
    let described = |(name, schema, text): &Property<'_>| {
        let mut schema = match schema.get("$ref") {
            Some(_) => json!({ "allOf": [schema] }),
            None => schema.clone(),
        };
        schema["description"] = (*text).into();
        ((*name).to_owned(), schema)
    };
    let properties: Map<String, Value> = properties.iter().map(described).collect();
    let mut schema = json!({"type": "object", "description": description, "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn string() -> Value {
    json!({"type": "string"})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn integer(format: &str) -> Value {
    json!({"type": "integer", "format": format})
}

fn texts() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn list(items: &Value, list_type: &str) -> Value {
    json!({"type": "array", "items": items, "x-kubernetes-list-type": list_type})
}

fn type_fields() -> [Property<'static>; 2] {
    [
        (
            "apiVersion",
            string(),
            "Group and version of this form of the object.",
        ),
        ("kind", string(), "What the object is, in CamelCase."),
    ]
}

fn with_type_fields<'p>(properties: &[Property<'p>]) -> Vec<Property<'p>> {
    type_fields()
        .into_iter()
        .chain(properties.iter().cloned())
        .collect()
}
