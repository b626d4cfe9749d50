//! The resources of the tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use generic_apiserver::object::Object;
use generic_apiserver::registry::{
    FieldError, NamedCreater, NamedGetter, RegistryError, RequestContext, ResourceNames, Scope, Strategy,
    TableColumn, error::Cause,
};
use generic_apiserver::storage::{Companions, GroupResource, Key, Residence, ResourceTable};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) const GROUP: &str = "test.example.com";

pub(crate) const SCHEMA: &str = "
    create table widgets (namespace text, name text, uid uuid unique, resource_version bigint, object text,
        unique (namespace, name));
    create table racks (namespace text, name text, uid uuid unique, resource_version bigint, object text,
        unique (namespace, name));";

/// Of names generated from this base it is always the same one that is drawn.
pub(crate) const UNLUCKY: &str = "unlucky-";

/// How often.
pub(crate) static UNLUCKY_DRAWS: AtomicUsize = AtomicUsize::new(0);

fn object_meta(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"})
}

/// A kind of the group with metadata, spec and status.
macro_rules! kind {
    ($kind:ident, $plural:literal, $scope:ident, $spec:ty, $status:ty) => {
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub(crate) struct $kind {
            api_version: String,
            kind: String,
            #[serde(default)]
            #[schemars(schema_with = "object_meta")]
            pub(crate) metadata: ObjectMeta,
            #[serde(default)]
            pub(crate) spec: $spec,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(crate) status: Option<$status>,
        }

        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = "test.example.com/v1";
            const GROUP: &'static str = GROUP;
            const KIND: &'static str = stringify!($kind);
            const VERSION: &'static str = "v1";
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = k8s_openapi::$scope;
        }

        impl k8s_openapi::Metadata for $kind {
            type Ty = ObjectMeta;

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WidgetSpec {
    /// How large it is, 0 to 100.
    #[serde(default)]
    pub(crate) size: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) color: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub(crate) parts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<i64>,
    /// Large or small, nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WidgetStatus {
    #[serde(default)]
    pub(crate) phase: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ClaimSpec {
    #[serde(default)]
    holder: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ClaimStatus {
    fence: i64,
}

kind!(
    Widget,
    "widgets",
    NamespaceResourceScope,
    WidgetSpec,
    WidgetStatus
);
kind!(Rack, "racks", ClusterResourceScope, WidgetSpec, WidgetStatus);
kind!(WidgetClaim, "claim", SubResourceScope, ClaimSpec, ClaimStatus);

fn phase_of(object: &Object) -> BTreeMap<&'static str, String> {
    let phase = object
        .body
        .get("status")
        .and_then(|status| status["phase"].as_str());
    let color = object.body.get("spec").and_then(|spec| spec["color"].as_str());
    let fields = [("status.phase", phase), ("spec.color", color)];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_owned())))
        .collect()
}

fn no_columns(_: &Object) -> Map<String, Value> {
    Map::new()
}

pub(crate) fn table(resource: &'static str) -> ResourceTable {
    ResourceTable {
        resource: GroupResource {
            group: GROUP,
            resource,
        },
        table: resource,
        residence: Residence::Cached,
        columns: &[],
        creation_columns: &[],
        companions: Companions::NONE,
        columns_of: no_columns,
        fields: &["spec.color", "status.phase"],
        fields_of: phase_of,
        field_columns: &[],
    }
}

const COLUMNS: &[TableColumn] = &[
    TableColumn {
        name: "Size",
        column_type: "integer",
        format: "",
        description: "How large it is.",
        priority: 0,
    },
    TableColumn {
        name: "Color",
        column_type: "string",
        format: "",
        description: "Its color.",
        priority: 1,
    },
];

/// The strategy of both resources.
macro_rules! strategy {
    ($strategy:ident, $kind:ident, $names:expr) => {
        pub(crate) struct $strategy;

        #[async_trait]
        impl Strategy for $strategy {
            type Kind = $kind;

            fn names(&self) -> ResourceNames {
                $names
            }

            fn table(&self) -> ResourceTable {
                table($names.plural)
            }

            fn default(&self, object: &mut $kind) {
                object.spec.color.get_or_insert_with(|| "grey".to_owned());
            }

            fn prepare_for_create(&self, _: &RequestContext, object: &mut $kind) {
                object.status = None;
                if object.metadata.generate_name.as_deref() == Some(UNLUCKY) {
                    UNLUCKY_DRAWS.fetch_add(1, Ordering::SeqCst);
                    object.metadata.name = Some(format!("{UNLUCKY}again"));
                }
            }

            fn validate(&self, object: &$kind) -> Vec<FieldError> {
                let size = object.spec.size;
                let error = || FieldError::invalid("spec.size", size, "must be between 0 and 100");
                (!(0..=100).contains(&size))
                    .then(error)
                    .into_iter()
                    .collect()
            }

            fn prepare_for_update(&self, _: &RequestContext, new: &mut $kind, old: &$kind) {
                new.status.clone_from(&old.status);
            }

            fn prepare_for_status_update(&self, _: &RequestContext, new: &mut $kind, old: &$kind) {
                new.spec.clone_from(&old.spec);
                let version = new.metadata.resource_version.take();
                new.metadata.clone_from(&old.metadata);
                new.metadata.resource_version = version;
            }

            fn validate_update(&self, new: &$kind, _: &$kind) -> Vec<FieldError> {
                self.validate(new)
            }

            fn columns(&self) -> &'static [TableColumn] {
                COLUMNS
            }

            fn cells(&self, object: &$kind) -> Vec<Value> {
                vec![json!(object.spec.size), json!(object.spec.color)]
            }
        }
    };
}

strategy!(
    Widgets,
    Widget,
    ResourceNames {
        plural: "widgets",
        singular: "widget",
        short_names: &["wd"],
        categories: &["things"],
        scope: Scope::Namespaced,
    }
);
strategy!(
    Racks,
    Rack,
    ResourceNames {
        plural: "racks",
        singular: "rack",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
    }
);

/// `widgets/claim`: the holder `nobody` loses.
pub(crate) struct Claim;

#[async_trait]
impl NamedCreater for Claim {
    type Kind = WidgetClaim;

    fn name(&self) -> &'static str {
        "claim"
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: WidgetClaim,
    ) -> Result<WidgetClaim, RegistryError> {
        if body.spec.holder == "nobody" {
            return Err(RegistryError::Conflict {
                message: format!("widget {:?} is held by somebody until noon", parent.name),
                causes: vec![Cause {
                    reason: "Held".to_owned(),
                    message: "somebody".to_owned(),
                    field: String::new(),
                }],
            });
        }
        body.metadata.name = Some(parent.name.clone());
        body.status = Some(ClaimStatus {
            fence: if ctx.dry_run { 0 } else { 7 },
        });
        Ok(body)
    }
}

/// `widgets/release`: answered in a terminating namespace too.
pub(crate) struct Release;

#[async_trait]
impl NamedCreater for Release {
    type Kind = WidgetClaim;

    fn name(&self) -> &'static str {
        "release"
    }

    fn refused_in_terminating_namespace(&self) -> bool {
        false
    }

    async fn create(
        &self,
        _: &RequestContext,
        _: &Key,
        body: WidgetClaim,
    ) -> Result<WidgetClaim, RegistryError> {
        Ok(body)
    }
}

/// `widgets/siblings`: a list.
pub(crate) struct Siblings;

#[async_trait]
impl NamedGetter for Siblings {
    fn name(&self) -> &'static str {
        "siblings"
    }

    fn kind(&self) -> &'static str {
        "WidgetList"
    }

    async fn get(&self, _: &RequestContext, _: &Key) -> Result<Value, RegistryError> {
        Ok(json!({"kind": "WidgetList", "apiVersion": "test.example.com/v1", "metadata": {}, "items": []}))
    }
}
