//! The schemas of the types that all APIs share.
//!
//! They are upstream's to the letter: the aggregator merges the documents of all servers, and one that differs from
//! the cluster's own it would keep beside it, as `ObjectMeta_v2`, for everybody to see. Names, texts and shapes come
//! with the types of `k8s-openapi`, those of the oldest supported Kubernetes; what is not said there is added here.
//! Left out: what only discovery answers with.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    Condition, DeleteOptions, ListMeta, ObjectMeta, Patch, Status, WatchEvent,
};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The prefix of the names.
const PREFIX: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// A reference to a shared type.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{PREFIX}{name}") })
}

/// All shared schemas by name. The group and version are those whose bodies they are used in.
pub(super) fn schemas(group: &str, version: &str) -> Map<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    generator.subschema_for::<ObjectMeta>();
    generator.subschema_for::<ListMeta>();
    generator.subschema_for::<Condition>();
    generator.subschema_for::<Status>();
    generator.subschema_for::<DeleteOptions>();
    generator.subschema_for::<Patch>();
    generator.subschema_for::<WatchEvent<RawExtension>>();
    let mut all = generator.take_definitions(true);
    add_list_types(&mut all);
    add_kinds(&mut all, group, version);
    correct(&mut all);
    all
}

/// How lists and structures are merged.
fn add_list_types(all: &mut Map<String, Value>) {
    let atomic = json!({"x-kubernetes-list-type": "atomic"});
    let finalizers = json!({"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"});
    let owners = json!({
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["uid"],
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "uid",
    });
    for (name, property, marks) in [
        ("ObjectMeta", "finalizers", &finalizers),
        ("ObjectMeta", "managedFields", &atomic),
        ("ObjectMeta", "ownerReferences", &owners),
        ("StatusDetails", "causes", &atomic),
        ("DeleteOptions", "dryRun", &atomic),
    ] {
        extend(&mut schema(all, name)["properties"][property], marks);
    }
    schema(all, "OwnerReference")["x-kubernetes-map-type"] = "atomic".into();
}

/// The kinds that bodies may name.
fn add_kinds(all: &mut Map<String, Value>, group: &str, version: &str) {
    for (name, groups) in [
        ("Status", &[("", "v1")][..]),
        (
            "DeleteOptions",
            &[("", "v1"), ("meta.k8s.io", "v1"), (group, version)],
        ),
        ("WatchEvent", &[("", "v1"), (group, version)]),
    ] {
        let kind =
            |(group, version): &(&str, &str)| json!({"group": group, "version": version, "kind": name});
        schema(all, name)["x-kubernetes-group-version-kind"] = groups.iter().map(kind).collect();
    }
}

/// Where the Rust types differ from the schemas they were made from: a field is required or not, another order.
fn correct(all: &mut Map<String, Value>) {
    if let Some(status) = schema(all, "Status").as_object_mut() {
        status.remove("required");
    }
    schema(all, "Condition")["required"] =
        json!(["type", "status", "lastTransitionTime", "reason", "message"]);
    schema(all, "WatchEvent")["required"] = json!(["type", "object"]);
}

fn schema<'s>(all: &'s mut Map<String, Value>, name: &str) -> &'s mut Value {
    all.entry(format!("{PREFIX}{name}")).or_insert_with(|| json!({}))
}

fn extend(schema: &mut Value, marks: &Value) {
    if let (Some(schema), Some(marks)) = (schema.as_object_mut(), marks.as_object()) {
        schema.extend(marks.clone());
    }
}
