//! Fischers: a cluster-scoped kind that is never changed, only made, read and deleted.

use std::collections::BTreeMap;

use generic_apiserver::registry::{
    FieldError, RequestContext, ResourceNames, Scope, Strategy, TableColumn, Verb,
};
use generic_apiserver::storage::{Companions, GroupResource, Residence, ResourceTable};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::flunder::{GROUP, kind, object_meta};

/// Fischer catches flunders.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fischer {
    api_version: String,
    kind: String,
    #[serde(default)]
    #[schemars(schema_with = "object_meta")]
    metadata: ObjectMeta,
    /// What it may not catch.
    #[serde(default)]
    disallowed_flunders: Vec<String>,
}

kind!(Fischer, ClusterResourceScope, "fischers");

pub(crate) fn table() -> ResourceTable {
    ResourceTable {
        resource: GroupResource {
            group: GROUP,
            resource: "fischers",
        },
        table: "fischers",
        residence: Residence::Cached,
        columns: &[],
        creation_columns: &[],
        companions: Companions::NONE,
        columns_of: |_| Map::new(),
        fields: &[],
        fields_of: |_| BTreeMap::new(),
        field_columns: &[],
    }
}

pub(crate) struct FischerStrategy;

impl Strategy for FischerStrategy {
    type Kind = Fischer;

    fn names(&self) -> ResourceNames {
        ResourceNames {
            plural: "fischers",
            singular: "fischer",
            short_names: &[],
            categories: &[],
            scope: Scope::Cluster,
        }
    }

    fn table(&self) -> ResourceTable {
        table()
    }

    fn verbs(&self) -> &'static [Verb] {
        &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Watch]
    }

    fn has_status(&self) -> bool {
        false
    }

    fn prepare_for_create(&self, _ctx: &RequestContext, _fischer: &mut Fischer) {}

    fn validate(&self, _fischer: &Fischer) -> Vec<FieldError> {
        Vec::new()
    }

    fn prepare_for_update(&self, _ctx: &RequestContext, _new: &mut Fischer, _old: &Fischer) {}

    fn validate_update(&self, _new: &Fischer, _old: &Fischer) -> Vec<FieldError> {
        Vec::new()
    }

    fn columns(&self) -> &'static [TableColumn] {
        &[]
    }

    fn cells(&self, _fischer: &Fischer) -> Vec<Value> {
        Vec::new()
    }
}
