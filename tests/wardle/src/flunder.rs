//! Flunders: namespaced, with references to other flunders or to fischers.

use std::collections::BTreeMap;

use generic_apiserver::object::Object;
use generic_apiserver::registry::{FieldError, RequestContext, ResourceNames, Scope, Strategy, TableColumn};
use generic_apiserver::storage::{ColumnSpec, Companions, GroupResource, Residence, ResourceTable};
use serde_json::{Map, Value};

use crate::GROUP;
use crate::v1beta1::{FISCHER_REFERENCE, FLUNDER_REFERENCE, Flunder, FlunderSpec};

/// Flunders of every version.
pub(crate) const FLUNDERS: GroupResource = GroupResource {
    group: GROUP,
    resource: "flunders",
};

/// Where flunders are stored.
pub(crate) fn table() -> ResourceTable {
    ResourceTable {
        resource: FLUNDERS,
        table: "wardle.flunders",
        residence: Residence::Cached,
        columns: const { &[ColumnSpec::new("labels", "text[]")] },
        creation_columns: &[],
        companions: Companions::NONE,
        columns_of,
        fields: &[],
        fields_of: |_| BTreeMap::new(),
        field_columns: &[],
    }
}

fn columns_of(flunder: &Object) -> Map<String, Value> {
    let labels = flunder.metadata.labels.iter().flatten();
    let labels: Value = labels.map(|(key, value)| format!("{key}={value}")).collect();
    Map::from_iter([("labels".to_owned(), labels)])
}

/// What is particular to flunders.
#[derive(Clone, Copy, Debug)]
pub struct FlunderStrategy;

impl Strategy for FlunderStrategy {
    type Kind = Flunder;

    fn names(&self) -> ResourceNames {
        ResourceNames {
            plural: "flunders",
            singular: "flunder",
            short_names: &[],
            categories: &[],
            scope: Scope::Namespaced,
        }
    }

    fn table(&self) -> ResourceTable {
        table()
    }

    fn has_status(&self) -> bool {
        false
    }

    fn prepare_for_create(&self, _ctx: &RequestContext, _flunder: &mut Flunder) {}

    fn validate(&self, flunder: &Flunder) -> Vec<FieldError> {
        validate_spec(&flunder.spec)
    }

    fn prepare_for_update(&self, _ctx: &RequestContext, _new: &mut Flunder, _old: &Flunder) {}

    fn validate_update(&self, new: &Flunder, _old: &Flunder) -> Vec<FieldError> {
        validate_spec(&new.spec)
    }

    fn columns(&self) -> &'static [TableColumn] {
        &[]
    }

    fn cells(&self, _flunder: &Flunder) -> Vec<Value> {
        Vec::new()
    }
}

/// The reference is the one that the type names.
fn validate_spec(spec: &FlunderSpec) -> Vec<FieldError> {
    let invalid = |field: &str, value: &str, why: &str| {
        FieldError::invalid(format!("spec.{field}"), format!("{value:?}"), why)
    };
    let (flunder, fischer) = (spec.flunder_reference.as_str(), spec.fischer_reference.as_str());
    let reference_type = spec.reference_type.as_str();
    let reference = match (flunder, fischer, reference_type) {
        ("", "", FISCHER_REFERENCE) => {
            Some(("fischerReference", "cannot be empty if referenceType is Fischer"))
        }
        ("", "", FLUNDER_REFERENCE) => {
            Some(("flunderReference", "cannot be empty if referenceType is Flunder"))
        }
        ("", "", _) | (_, "", FLUNDER_REFERENCE) | ("", _, FISCHER_REFERENCE) => None,
        (_, "", _) => Some((
            "flunderReference",
            "cannot be set if referenceType is not Flunder",
        )),
        ("", _, _) => Some((
            "fischerReference",
            "cannot be set if referenceType is not Fischer",
        )),
        _ => Some((
            "fischerReference",
            "cannot be set with flunderReference at the same time",
        )),
    };
    let reference = reference.map(|(field, why)| match field {
        "flunderReference" => invalid(field, flunder, why),
        _ => invalid(field, fischer, why),
    });
    let known = ["", FLUNDER_REFERENCE, FISCHER_REFERENCE].contains(&reference_type);
    let unknown = (!known).then(|| invalid("referenceType", reference_type, "must be Flunder or Fischer"));
    reference.into_iter().chain(unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(flunder: &str, fischer: &str, reference_type: &str) -> Vec<String> {
        let spec = FlunderSpec {
            flunder_reference: flunder.to_owned(),
            fischer_reference: fischer.to_owned(),
            reference_type: reference_type.to_owned(),
        };
        validate_spec(&spec)
            .into_iter()
            .map(|error| error.field)
            .collect()
    }

    #[test]
    fn reference_is_the_one_that_the_type_names() {
        for (flunder, fischer, reference_type) in [("", "", ""), ("a", "", "Flunder"), ("", "a", "Fischer")] {
            assert!(fields(flunder, fischer, reference_type).is_empty());
        }
        assert_eq!(fields("a", "b", "Flunder"), ["spec.fischerReference"]);
        assert_eq!(fields("a", "", ""), ["spec.flunderReference"]);
        assert_eq!(fields("a", "", "Fischer"), ["spec.flunderReference"]);
        assert_eq!(fields("", "a", "Flunder"), ["spec.fischerReference"]);
        assert_eq!(fields("", "", "Flunder"), ["spec.flunderReference"]);
        assert_eq!(fields("", "", "Fischer"), ["spec.fischerReference"]);
        assert_eq!(fields("", "", "Other"), ["spec.referenceType"]);
        assert_eq!(
            fields("a", "", "Other"),
            ["spec.flunderReference", "spec.referenceType"]
        );
    }
}
