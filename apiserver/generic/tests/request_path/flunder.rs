//! Flunders: a namespaced kind with a status, every verb and two subresources.

use std::collections::BTreeMap;

use generic_apiserver::object::Object;
use generic_apiserver::registry::{
    DeleteOptions, Deletion, FieldError, RegistryError, RequestContext, ResourceNames, Scope, Strategy,
    TableColumn,
};
use generic_apiserver::storage::{ColumnSpec, Companions, GroupResource, Residence, ResourceTable};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) const GROUP: &str = "test.example.com";
pub(crate) const API_VERSION: &str = "test.example.com/v1";
pub(crate) const FLUNDERS: GroupResource = GroupResource {
    group: GROUP,
    resource: "flunders",
};
/// Holds a flunder whose label `deferred` is set when it is deleted.
pub(crate) const DEFERRED: &str = "test.example.com/deferred";

/// Implements what k8s-openapi wants of a kind of the test group.
macro_rules! kind {
    ($kind:ident, $scope:ident, $segment:literal) => {
        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = $crate::flunder::API_VERSION;
            const GROUP: &'static str = $crate::flunder::GROUP;
            const KIND: &'static str = stringify!($kind);
            const VERSION: &'static str = "v1";
            const URL_PATH_SEGMENT: &'static str = $segment;
            type Scope = k8s_openapi::$scope;
        }

        impl k8s_openapi::Metadata for $kind {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use kind;

pub(crate) fn object_meta(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"})
}

/// Flunder is a thing with a color.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Flunder {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    #[serde(default)]
    #[schemars(schema_with = "object_meta")]
    pub(crate) metadata: ObjectMeta,
    /// What is wanted of it.
    #[serde(default)]
    pub(crate) spec: FlunderSpec,
    /// What has become of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<FlunderStatus>,
}

/// What is wanted of a flunder.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FlunderSpec {
    /// Its color; white by default.
    #[serde(default)]
    pub(crate) color: String,
    /// At most 100.
    #[serde(default)]
    pub(crate) size: i64,
    /// Any words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// Its parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<FlunderPart>,
}

/// One part of a flunder.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FlunderPart {
    /// How it is called.
    pub(crate) name: String,
}

/// What has become of a flunder.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FlunderStatus {
    /// Pending at first.
    #[serde(default)]
    pub(crate) phase: String,
    /// How often it was polished.
    #[serde(default)]
    pub(crate) polished: i64,
}

kind!(Flunder, NamespaceResourceScope, "flunders");

pub(crate) fn table() -> ResourceTable {
    ResourceTable {
        resource: FLUNDERS,
        table: "flunders",
        residence: Residence::Cached,
        columns: const { &[ColumnSpec::new("color", "text")] },
        creation_columns: &[],
        companions: Companions::NONE,
        columns_of,
        fields: &["spec.color"],
        fields_of,
        field_columns: &[],
    }
}

fn color(object: &Object) -> String {
    let color = object.body.get("spec").and_then(|spec| spec["color"].as_str());
    color.unwrap_or_default().to_owned()
}

fn columns_of(object: &Object) -> Map<String, Value> {
    Map::from_iter([("color".to_owned(), color(object).into())])
}

fn fields_of(object: &Object) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("spec.color", color(object))])
}

pub(crate) struct FlunderStrategy;

impl Strategy for FlunderStrategy {
    type Kind = Flunder;

    fn names(&self) -> ResourceNames {
        ResourceNames {
            plural: "flunders",
            singular: "flunder",
            short_names: &["fl"],
            categories: &["samples"],
            scope: Scope::Namespaced,
        }
    }

    fn table(&self) -> ResourceTable {
        table()
    }

    fn default(&self, flunder: &mut Flunder) {
        if flunder.spec.color.is_empty() {
            "white".clone_into(&mut flunder.spec.color);
        }
    }

    fn prepare_for_create(&self, _ctx: &RequestContext, flunder: &mut Flunder) {
        flunder.status = Some(FlunderStatus {
            phase: "Pending".to_owned(),
            polished: 0,
        });
    }

    fn validate(&self, flunder: &Flunder) -> Vec<FieldError> {
        let size = flunder.spec.size;
        let too_large = (size > 100).then(|| FieldError::invalid("spec.size", size, "must be at most 100"));
        let black = (flunder.spec.color == "black")
            .then(|| FieldError::invalid("spec.color", "\"black\"", "is no color"));
        too_large.into_iter().chain(black).collect()
    }

    fn prepare_for_update(&self, _ctx: &RequestContext, new: &mut Flunder, old: &Flunder) {
        new.status.clone_from(&old.status);
    }

    fn prepare_for_status_update(&self, _ctx: &RequestContext, new: &mut Flunder, old: &Flunder) {
        let status = new.status.take();
        *new = old.clone();
        new.status = status;
    }

    fn validate_update(&self, new: &Flunder, _old: &Flunder) -> Vec<FieldError> {
        self.validate(new)
    }

    fn delete(
        &self,
        _ctx: &RequestContext,
        current: &Flunder,
        _options: &DeleteOptions,
    ) -> Result<Deletion<Flunder>, RegistryError> {
        let labels = current.metadata.labels.as_ref();
        let deferred = labels.is_some_and(|labels| labels.contains_key("deferred"));
        if !deferred || current.metadata.deletion_timestamp.is_some() {
            return Ok(Deletion::Immediate);
        }
        let mut held = current.clone();
        held.metadata
            .finalizers
            .get_or_insert_default()
            .push(DEFERRED.to_owned());
        Ok(Deletion::Deferred(Box::new(held)))
    }

    fn constraint_error(&self, constraint: &str, flunder: &Flunder) -> RegistryError {
        RegistryError::Conflict {
            message: format!("{constraint}: {} is taken", flunder.spec.color),
            causes: Vec::new(),
        }
    }

    fn warnings_on_create(&self, flunder: &Flunder) -> Vec<String> {
        let beige = flunder.spec.color == "beige";
        beige
            .then(|| "beige is a dull color".to_owned())
            .into_iter()
            .collect()
    }

    fn columns(&self) -> &'static [TableColumn] {
        &[
            TableColumn {
                name: "Color",
                column_type: "string",
                format: "",
                description: "Its color.",
                priority: 0,
            },
            TableColumn {
                name: "Size",
                column_type: "integer",
                format: "",
                description: "Its size.",
                priority: 1,
            },
        ]
    }

    fn cells(&self, flunder: &Flunder) -> Vec<Value> {
        vec![flunder.spec.color.clone().into(), flunder.spec.size.into()]
    }
}
