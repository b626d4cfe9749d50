//! The shape of the documents, on a small resource.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{v2, v3};
use crate::endpoints::ApiVersion;
use crate::object::Object;
use crate::registry::{
    Decoded, DeleteRequest, Deleted, KindSchema, ObjectChange, Part, RegistryError, RequestContext,
    ResourceInfo, ResourceNames, RestStorage, RestSubresource, Scope, TableColumn, Verb,
};
use crate::storage::{Freshness, Key, ListOptions, ListPage, Stored, WatchOptions, WatchStream};

/// A resource that is only described.
struct Described {
    info: ResourceInfo,
    subresources: Vec<Arc<dyn RestSubresource>>,
}

struct Token;

fn unused() -> RegistryError {
    RegistryError::Internal("only described".to_owned())
}

#[async_trait]
impl RestSubresource for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn kind(&self) -> &'static str {
        "WidgetToken"
    }

    fn verb(&self) -> Verb {
        Verb::Create
    }

    fn schema(&self) -> Option<KindSchema> {
        Some(json!({"type": "object", "properties": {"expiry": {"type": "integer", "format": "uint8"}}}))
    }

    fn decode(&self, _body: Value) -> Result<Decoded, serde_json::Error> {
        Err(serde::de::Error::custom("only described"))
    }

    fn refused_in_terminating_namespace(&self) -> bool {
        true
    }

    async fn answer(&self, _: &RequestContext, _: &Key, _: Option<Object>) -> Result<Value, RegistryError> {
        Err(unused())
    }
}

#[async_trait]
impl RestStorage for Described {
    fn info(&self) -> &ResourceInfo {
        &self.info
    }

    fn schema(&self) -> KindSchema {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Widget",
            "type": "object",
            "properties": {
                "metadata": {"type": "object", "default": {}, "x-kubernetes-ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
                "spec": {"description": "Wanted\nby people.", "$ref": "#/$defs/Spec", "default": {"size": 1}},
                "status": {"anyOf": [{"$ref": "#/$defs/Status"}, {"type": "null"}]},
            },
            "$defs": {
                "Spec": {"type": "object", "properties": {
                    "size": {"type": ["integer", "null"], "format": "int64", "default": 1},
                    "default": {"type": "string", "enum": ["a", null]},
                    "colour": {"oneOf": [{"const": "red", "type": "string"}, {"const": "blue", "type": "string"}]},
                    "any": true,
                }},
                "Status": {"type": "object"},
            },
        })
    }

    fn subresources(&self) -> &[Arc<dyn RestSubresource>] {
        &self.subresources
    }

    fn columns(&self) -> &'static [TableColumn] {
        &[]
    }

    fn cells(&self, _: &Stored) -> Result<Vec<Value>, RegistryError> {
        Err(unused())
    }

    fn decode(&self, _: Value) -> Result<Decoded, serde_json::Error> {
        Err(serde::de::Error::custom("only described"))
    }

    async fn get(&self, _: &Key, _: Freshness) -> Result<Arc<Stored>, RegistryError> {
        Err(unused())
    }

    async fn list(&self, _: &ListOptions) -> Result<ListPage, RegistryError> {
        Err(unused())
    }

    async fn watch(&self, _: WatchOptions) -> Result<WatchStream, RegistryError> {
        Err(unused())
    }

    async fn create(&self, _: &RequestContext, _: &str, _: Object) -> Result<Object, RegistryError> {
        Err(unused())
    }

    async fn update(
        &self,
        _: &RequestContext,
        _: &Key,
        _: Part,
        _: &dyn ObjectChange,
    ) -> Result<Object, RegistryError> {
        Err(unused())
    }

    async fn delete(&self, _: &RequestContext, _: &Key, _: &DeleteRequest) -> Result<Deleted, RegistryError> {
        Err(unused())
    }

    async fn delete_collection(
        &self,
        _: &RequestContext,
        _: &ListOptions,
        _: &DeleteRequest,
    ) -> Result<Vec<Object>, RegistryError> {
        Err(unused())
    }
}

fn version() -> ApiVersion {
    let info = ResourceInfo {
        group: "example.test",
        version: "v1",
        storage_version: "v1",
        kind: "Widget",
        names: ResourceNames {
            plural: "widgets",
            singular: "widget",
            short_names: &[],
            categories: &[],
            scope: Scope::Namespaced,
        },
        verbs: &Verb::ALL,
        has_status: true,
        fields: Vec::new(),
    };
    let subresources: Vec<Arc<dyn RestSubresource>> = vec![Arc::new(Token)];
    ApiVersion {
        name: "v1".to_owned(),
        resources: vec![Arc::new(Described { info, subresources })],
    }
}

fn document() -> Value {
    v3::document("example.test", &version(), "v0.0.0")
}

/// All targets of references in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                found.insert(target.clone());
            }
            fields.values().for_each(|child| references(child, found));
        }
        Value::Array(items) => items.iter().for_each(|child| references(child, found)),
        _ => {}
    }
}

#[test]
fn every_reference_has_a_target() {
    let version_3 = document();
    let mut found = BTreeSet::new();
    references(&version_3, &mut found);
    assert!(found.len() > 10);
    for target in found {
        let name = target.strip_prefix("#/components/schemas/").unwrap();
        assert!(version_3["components"]["schemas"][name].is_object(), "{target}");
    }
    let version_2 = v2::document(&[version_3], "v0.0.0");
    let mut found = BTreeSet::new();
    references(&version_2, &mut found);
    for target in found {
        let name = target.strip_prefix("#/definitions/").unwrap();
        assert!(version_2["definitions"][name].is_object(), "{target}");
    }
}

#[test]
fn schemas_are_openapi_3() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let widget = &schemas["test.example.v1.Widget"];
    assert_eq!(widget["title"], Value::Null);
    assert_eq!(
        widget["properties"]["spec"],
        json!({
            "description": "Wanted by people.",
            "default": {},
            "allOf": [{"$ref": "#/components/schemas/test.example.v1.Spec"}],
        })
    );
    assert_eq!(
        widget["properties"]["status"],
        json!({"$ref": "#/components/schemas/test.example.v1.Status"})
    );
    let spec = &schemas["test.example.v1.Spec"]["properties"];
    assert_eq!(
        spec["size"],
        json!({"type": "integer", "format": "int64", "default": 1})
    );
    assert_eq!(spec["default"], json!({"type": "string", "enum": ["a"]}));
    assert_eq!(spec["colour"], json!({"type": "string", "enum": ["red", "blue"]}));
    assert_eq!(spec["any"], json!({}));
    let token = &schemas["test.example.v1.WidgetToken"];
    assert_eq!(token["properties"]["expiry"], json!({"type": "integer"}));
}

#[test]
fn version_2_has_neither_defaults_nor_choices() {
    let document = v2::document(&[document()], "v0.0.0");
    let definitions = &document["definitions"];
    assert_eq!(
        definitions["test.example.v1.Widget"]["properties"]["spec"],
        json!({"description": "Wanted by people.", "$ref": "#/definitions/test.example.v1.Spec"})
    );
    let spec = &definitions["test.example.v1.Spec"]["properties"];
    assert_eq!(spec["size"], json!({"type": "integer", "format": "int64"}));
    assert_eq!(spec["default"]["type"], "string", "a property of that name stays");
    let patch = &document["paths"]["/apis/example.test/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(
        patch["consumes"],
        json!(["application/json-patch+json", "application/merge-patch+json"])
    );
    let named = |name: &str| {
        patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["name"] == name)
            .cloned()
    };
    assert_eq!(named("fieldValidation").unwrap()["type"], "string");
    assert_eq!(
        named("body").unwrap()["schema"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
    );
}

#[test]
fn operations_are_named_as_upstream_names_them() {
    let document = document();
    let root = "/apis/example.test/v1";
    let id =
        |path: &str, method: &str| document["paths"][format!("{root}{path}")][method]["operationId"].clone();
    assert_eq!(id("/widgets", "get"), "listExampleTestV1WidgetForAllNamespaces");
    let collection = "/namespaces/{namespace}/widgets";
    assert_eq!(id(collection, "get"), "listExampleTestV1NamespacedWidget");
    assert_eq!(
        id(collection, "delete"),
        "deleteExampleTestV1CollectionNamespacedWidget"
    );
    let item = format!("{collection}/{{name}}");
    assert_eq!(id(&item, "put"), "replaceExampleTestV1NamespacedWidget");
    assert_eq!(
        id(&format!("{item}/status"), "patch"),
        "patchExampleTestV1NamespacedWidgetStatus"
    );
    assert_eq!(
        id(&format!("{item}/token"), "post"),
        "createExampleTestV1NamespacedWidgetToken"
    );
    let token = &document["paths"][format!("{root}{item}/token")]["post"];
    assert_eq!(token["tags"], json!(["exampleTest_v1"]));
    assert_eq!(token["x-kubernetes-group-version-kind"]["kind"], "WidgetToken");
}
