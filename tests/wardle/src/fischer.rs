//! Fischers: cluster scoped; they forbid names of flunders.

use std::collections::BTreeMap;

use generic_apiserver::registry::{FieldError, RequestContext, ResourceNames, Scope, Strategy, TableColumn};
use generic_apiserver::storage::{Companions, GroupResource, Residence, ResourceTable};
use serde_json::{Map, Value};

use crate::GROUP;
use crate::v1alpha1::Fischer;

/// Fischers.
pub(crate) const FISCHERS: GroupResource = GroupResource {
    group: GROUP,
    resource: "fischers",
};

/// Where fischers are stored.
pub(crate) fn table() -> ResourceTable {
    ResourceTable {
        resource: FISCHERS,
        table: "wardle.fischers",
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

/// What is particular to fischers.
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
