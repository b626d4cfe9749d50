//! Label and field selectors, parsed and matched.
//!
//! Upstream concept: `k8s.io/apimachinery/pkg/labels` and `fields`. Which fields a resource can select
//! is the resource's to say; this module only compares.

use super::types::Stored;

/// Labels and fields that an object must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Requirements on labels; all must hold.
    pub labels: Vec<LabelRequirement>,
    /// Requirements on fields; all must hold.
    pub fields: Vec<FieldRequirement>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelOperator {
    /// The value is one of the values (`=`, `==`, `in`).
    In,
    /// The value is none of the values, or the label is absent (`!=`, `notin`).
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is an integer above the value (`>`).
    GreaterThan,
    /// The value is an integer below the value (`<`).
    LessThan,
}

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// With what; one integer for the orderings, none for presence.
    pub values: Vec<String>,
}

/// A requirement on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's path, such as `status.phase`.
    pub field: String,
    /// Whether it must be equal (`=`, `==`) or unequal (`!=`).
    pub equal: bool,
    /// The value compared with.
    pub value: String,
}

impl Selection {
    /// Whether it selects everything.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object has the labels and fields.
    #[must_use]
    pub fn matches(&self, object: &Stored) -> bool {
        self.labels.iter().all(|r| r.matches(object)) && self.fields.iter().all(|r| r.matches(object))
    }
}

impl LabelRequirement {
    fn matches(&self, object: &Stored) -> bool {
        let value = object
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(&self.key));
        match self.operator {
            LabelOperator::In => value.is_some_and(|v| self.values.contains(v)),
            LabelOperator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
            LabelOperator::GreaterThan => self.compares(value, |a, b| a > b),
            LabelOperator::LessThan => self.compares(value, |a, b| a < b),
        }
    }

    fn compares(&self, value: Option<&String>, ordering: impl Fn(i64, i64) -> bool) -> bool {
        let bound = self.values.first().and_then(|v| v.parse().ok());
        let value = value.and_then(|v| v.parse().ok());
        bound
            .zip(value)
            .is_some_and(|(bound, value)| ordering(value, bound))
    }
}

impl FieldRequirement {
    fn matches(&self, object: &Stored) -> bool {
        let value: &str = match self.field.as_str() {
            "metadata.name" => &object.key.name,
            "metadata.namespace" => &object.key.namespace,
            field => object.fields.get(field).map_or("", String::as_str),
        };
        (value == self.value) == self.equal
    }
}
