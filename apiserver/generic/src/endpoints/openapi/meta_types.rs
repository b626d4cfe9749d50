//! The schemas of the types that all APIs share, under their canonical names.
//!
//! The names are upstream's, so that clients know the types; the descriptions are our own. Left out: what
//! only discovery answers with.

use serde_json::{Map, Value, json};

/// The prefix of the names.
pub(super) const PREFIX: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// A reference to a shared type.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{PREFIX}{name}") })
}

/// All shared schemas by name.
pub(super) fn schemas(group: &str, version: &str) -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |name: &str, schema: Value| all.insert(format!("{PREFIX}{name}"), schema);
    add("ObjectMeta", object_meta());
    add("OwnerReference", owner_reference());
    add("ManagedFieldsEntry", managed_fields_entry());
    add(
        "FieldsV1",
        json!({"type": "object", "description": "A set of fields, in the form that field managers keep."}),
    );
    add(
        "Time",
        json!({"type": "string", "format": "date-time", "description": "A time in RFC 3339 with seconds."}),
    );
    add("ListMeta", list_meta());
    add("Condition", condition());
    add("Status", status());
    add("StatusDetails", status_details());
    add("StatusCause", status_cause());
    add("DeleteOptions", delete_options(group, version));
    add("Preconditions", preconditions());
    add(
        "Patch",
        json!({"type": "object", "description": "A change of an object, in the form its media type names."}),
    );
    add("WatchEvent", watch_event(group, version));
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

/// An object schema; each property is a name, a schema without description, and the description.
fn object(description: &str, required: &[&str], properties: &[(&str, Value, &str)]) -> Value {
    let described = |(name, schema, text): &(&str, Value, &str)| {
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

fn type_fields() -> [(&'static str, Value, &'static str); 2] {
    [
        (
            "apiVersion",
            string(),
            "Group and version of this form of the object.",
        ),
        ("kind", string(), "What the object is, in CamelCase."),
    ]
}

fn with_type_fields<'p>(properties: &[(&'p str, Value, &'p str)]) -> Vec<(&'p str, Value, &'p str)> {
    type_fields()
        .into_iter()
        .chain(properties.iter().cloned())
        .collect()
}

fn object_meta() -> Value {
    let mut owners = list(&reference("OwnerReference"), "map");
    owners["x-kubernetes-list-map-keys"] = json!(["uid"]);
    owners["x-kubernetes-patch-strategy"] = "merge".into();
    owners["x-kubernetes-patch-merge-key"] = "uid".into();
    let mut finalizers = list(&string(), "set");
    finalizers["x-kubernetes-patch-strategy"] = "merge".into();
    object(
        "What every stored object has: its name, its versions, its labels and its owners.",
        &[],
        &[
            (
                "annotations",
                texts(),
                "Values for tools and people, by key; not selectable.",
            ),
            (
                "creationTimestamp",
                reference("Time"),
                "When the object was created. Set by the server.",
            ),
            (
                "deletionGracePeriodSeconds",
                integer("int64"),
                "How many seconds the object is given to end. Set by the server.",
            ),
            (
                "deletionTimestamp",
                reference("Time"),
                "When the deletion was asked for. Set by the server.",
            ),
            (
                "finalizers",
                finalizers,
                "Who must agree before a deleted object goes.",
            ),
            (
                "generateName",
                string(),
                "What a name is made from when none is given.",
            ),
            (
                "generation",
                integer("int64"),
                "Grows with every change of the desired state. Set by the server.",
            ),
            ("labels", texts(), "Values by which objects are selected, by key."),
            (
                "managedFields",
                list(&reference("ManagedFieldsEntry"), "atomic"),
                "Which manager set which fields.",
            ),
            (
                "name",
                string(),
                "The name, unique within namespace and resource. Cannot be changed.",
            ),
            ("namespace", string(), "The namespace. Cannot be changed."),
            (
                "ownerReferences",
                owners,
                "The objects on which this one depends; when all are gone, it goes.",
            ),
            (
                "resourceVersion",
                string(),
                "The version, which changes with every write. Opaque to clients.",
            ),
            ("selfLink", string(), "No longer set."),
            (
                "uid",
                string(),
                "Tells the object from others of its name, earlier and later. Set by the server.",
            ),
        ],
    )
}

fn owner_reference() -> Value {
    let mut schema = object(
        "Another object, in the same namespace or in none, on which this one depends.",
        &["apiVersion", "kind", "name", "uid"],
        &with_type_fields(&[
            (
                "blockOwnerDeletion",
                boolean(),
                "Whether the owner, deleted in the foreground, waits for this object.",
            ),
            (
                "controller",
                boolean(),
                "Whether the owner is the one that manages this object.",
            ),
            ("name", string(), "The name of the owner."),
            ("uid", string(), "The uid of the owner."),
        ]),
    );
    schema["x-kubernetes-map-type"] = "atomic".into();
    schema
}

fn managed_fields_entry() -> Value {
    object(
        "The fields that one manager set by one kind of operation.",
        &[],
        &[
            (
                "apiVersion",
                string(),
                "The version in which the fields are written.",
            ),
            ("fieldsType", string(), "The form of the set of fields: FieldsV1."),
            ("fieldsV1", reference("FieldsV1"), "The fields."),
            ("manager", string(), "Who set them."),
            ("operation", string(), "How they were set: Apply or Update."),
            (
                "subresource",
                string(),
                "Through which subresource; empty for the object itself.",
            ),
            ("time", reference("Time"), "When the entry last changed."),
        ],
    )
}

fn list_meta() -> Value {
    object(
        "What every list has: the version it shows and where the next page begins.",
        &[],
        &[
            (
                "continue",
                string(),
                "The token of the next page; empty on the last one.",
            ),
            (
                "remainingItemCount",
                integer("int64"),
                "How many objects follow, when that is known.",
            ),
            (
                "resourceVersion",
                string(),
                "The version of the whole list, at which a watch can begin.",
            ),
            ("selfLink", string(), "No longer set."),
        ],
    )
}

fn condition() -> Value {
    object(
        "One aspect of the state of an object.",
        &["type", "status", "lastTransitionTime", "reason", "message"],
        &[
            (
                "lastTransitionTime",
                reference("Time"),
                "When the status last changed.",
            ),
            ("message", string(), "Details for people."),
            (
                "observedGeneration",
                integer("int64"),
                "The generation of the object that was looked at.",
            ),
            ("reason", string(), "Why, as one word in CamelCase."),
            ("status", string(), "True, False or Unknown."),
            ("type", string(), "Which aspect, in CamelCase."),
        ],
    )
}

fn status() -> Value {
    let mut schema = object(
        "The answer of a call that has no object to return.",
        &[],
        &with_type_fields(&[
            ("code", integer("int32"), "The HTTP status code."),
            (
                "details",
                reference("StatusDetails"),
                "What the answer is about, in parts that programs read.",
            ),
            ("message", string(), "The answer in a sentence."),
            (
                "metadata",
                reference("ListMeta"),
                "A token to continue a list that has expired.",
            ),
            (
                "reason",
                string(),
                "Why the call failed, as one word in CamelCase.",
            ),
            ("status", string(), "Success or Failure."),
        ]),
    );
    schema["x-kubernetes-group-version-kind"] = kind_list(&[("", "v1")], "Status");
    schema
}

fn status_details() -> Value {
    object(
        "What an answer is about.",
        &[],
        &[
            (
                "causes",
                list(&reference("StatusCause"), "atomic"),
                "Every single reason for a failure.",
            ),
            ("group", string(), "The API group."),
            ("kind", string(), "The kind or, by custom, the resource."),
            ("name", string(), "The name."),
            (
                "retryAfterSeconds",
                integer("int32"),
                "After how many seconds to try again.",
            ),
            ("uid", string(), "The uid of the object."),
        ],
    )
}

fn status_cause() -> Value {
    object(
        "One reason for a failure.",
        &[],
        &[
            ("field", string(), "The path of the field it is about."),
            ("message", string(), "The reason in a sentence."),
            ("reason", string(), "The reason as one word in CamelCase."),
        ],
    )
}

fn delete_options(group: &str, version: &str) -> Value {
    let mut schema = object(
        "How an object is deleted.",
        &[],
        &with_type_fields(&[
            (
                "dryRun",
                list(&string(), "atomic"),
                "With All, nothing is deleted.",
            ),
            (
                "gracePeriodSeconds",
                integer("int64"),
                "How many seconds the object is given to end.",
            ),
            (
                "ignoreStoreReadErrorWithClusterBreakingPotential",
                boolean(),
                "Not supported: objects that cannot be read are not deleted.",
            ),
            (
                "orphanDependents",
                boolean(),
                "Older form of propagationPolicy: Orphan or Background.",
            ),
            (
                "preconditions",
                reference("Preconditions"),
                "What must hold, or nothing is deleted.",
            ),
            (
                "propagationPolicy",
                string(),
                "What happens to dependents: Orphan, Background or Foreground.",
            ),
        ]),
    );
    let kinds = [("", "v1"), ("meta.k8s.io", "v1"), (group, version)];
    schema["x-kubernetes-group-version-kind"] = kind_list(&kinds, "DeleteOptions");
    schema
}

fn preconditions() -> Value {
    object(
        "What must hold before an object is deleted.",
        &[],
        &[
            ("resourceVersion", string(), "The version it must have."),
            ("uid", string(), "The uid it must have."),
        ],
    )
}

fn watch_event(group: &str, version: &str) -> Value {
    let raw = json!({ "$ref": format!("#/components/schemas/{RAW_EXTENSION}") });
    let mut schema = object(
        "One event of a watch.",
        &["type", "object"],
        &[
            (
                "object",
                raw,
                "The object after the change, or before it was deleted; a Status for ERROR.",
            ),
            ("type", string(), "ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."),
        ],
    );
    schema["x-kubernetes-group-version-kind"] = kind_list(&[("", "v1"), (group, version)], "WatchEvent");
    schema
}
