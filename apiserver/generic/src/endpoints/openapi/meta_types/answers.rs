//! The schemas of what calls are answered with besides objects, and of the options of a delete.

use serde_json::{Value, json};

use super::{RAW_EXTENSION, boolean, integer, kind_list, list, object, reference, string, with_type_fields};

pub(super) fn status() -> Value {
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

pub(super) fn status_details() -> Value {
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

pub(super) fn status_cause() -> Value {
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

pub(super) fn delete_options(group: &str, version: &str) -> Value {
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

pub(super) fn preconditions() -> Value {
    object(
        "What must hold before an object is deleted.",
        &[],
        &[
            ("resourceVersion", string(), "The version it must have."),
            ("uid", string(), "The uid it must have."),
        ],
    )
}

pub(super) fn watch_event(group: &str, version: &str) -> Value {
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
