//! The schemas of metadata: of objects, of lists, of owners and managers, and of conditions.

use serde_json::{Value, json};

use super::{Property, boolean, integer, list, object, reference, string, texts, with_type_fields};

pub(super) fn object_meta() -> Value {
    let properties = [from_clients(), from_the_server()].concat();
    object(
        "What every stored object has: its name, its versions, its labels and its owners.",
        &[],
        &properties,
    )
}

fn from_clients() -> Vec<Property<'static>> {
    let mut owners = list(&reference("OwnerReference"), "map");
    owners["x-kubernetes-list-map-keys"] = json!(["uid"]);
    owners["x-kubernetes-patch-strategy"] = "merge".into();
    owners["x-kubernetes-patch-merge-key"] = "uid".into();
    let mut finalizers = list(&string(), "set");
    finalizers["x-kubernetes-patch-strategy"] = "merge".into();
    vec![
        (
            "annotations",
            texts(),
            "Values for tools and people, by key; not selectable.",
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
        ("labels", texts(), "Values by which objects are selected, by key."),
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
        ("selfLink", string(), "No longer set."),
    ]
}

fn from_the_server() -> Vec<Property<'static>> {
    let managers = list(&reference("ManagedFieldsEntry"), "atomic");
    vec![
        (
            "creationTimestamp",
            reference("Time"),
            "When the object was created.",
        ),
        (
            "deletionGracePeriodSeconds",
            integer("int64"),
            "How many seconds the object is given to end.",
        ),
        (
            "deletionTimestamp",
            reference("Time"),
            "When the deletion was asked for.",
        ),
        (
            "generation",
            integer("int64"),
            "Grows with every change of the desired state.",
        ),
        ("managedFields", managers, "Which manager set which fields."),
        (
            "resourceVersion",
            string(),
            "The version, which changes with every write. Opaque to clients.",
        ),
        (
            "uid",
            string(),
            "Tells the object from others of its name, earlier and later.",
        ),
    ]
}

pub(super) fn owner_reference() -> Value {
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

pub(super) fn managed_fields_entry() -> Value {
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

pub(super) fn list_meta() -> Value {
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

pub(super) fn condition() -> Value {
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
