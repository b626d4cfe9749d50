//! Which agents an order is meant for.
//!
//! Terms are pure data; the server materialises them into rows, and both sides match with the same function.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Agent;
use crate::schema::null_is_default;
use crate::string_enum::string_enum;

/// One way for an agent to match. Everything in the term must hold; a term that says nothing is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetTerm {
    /// The agent's name is one of these.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub agent_names: Vec<String>,
    /// The agent has all these labels.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub match_labels: BTreeMap<String, String>,
    /// The agent's labels fulfil all these requirements.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
    /// The agent has all these annotations.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub match_annotations: BTreeMap<String, String>,
}

/// A requirement on one label, as in upstream's LabelSelector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelectorRequirement {
    /// The label key.
    #[serde(default, deserialize_with = "null_is_default")]
    pub key: String,
    /// How the label relates to the values.
    pub operator: SelectorOperator,
    /// The values for In and NotIn; empty for Exists and DoesNotExist.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

string_enum! {
    /// How a label relates to the values of a requirement.
    open SelectorOperator {
        /// The label is there and has one of the values.
        In = "In",
        /// The label is absent or has none of the values.
        NotIn = "NotIn",
        /// The label is there.
        Exists = "Exists",
        /// The label is absent.
        DoesNotExist = "DoesNotExist",
    }
}

impl TargetTerm {
    /// Whether everything in the term holds for the agent. A term without any requirement matches every agent.
    pub fn matches(&self, agent: &Agent) -> bool {
        let empty = BTreeMap::new();
        let labels = agent.metadata.labels.as_ref().unwrap_or(&empty);
        let annotations = agent.metadata.annotations.as_ref().unwrap_or(&empty);
        let named = self.agent_names.is_empty()
            || agent
                .metadata
                .name
                .as_ref()
                .is_some_and(|name| self.agent_names.contains(name));
        named
            && contains_all(labels, &self.match_labels)
            && contains_all(annotations, &self.match_annotations)
            && self
                .match_expressions
                .iter()
                .all(|requirement| requirement.matches(labels))
    }

    /// Whether an order with these terms is meant for the agent: no terms at all, or any term that matches.
    pub fn any_matches(terms: &[Self], agent: &Agent) -> bool {
        terms.is_empty() || terms.iter().any(|term| term.matches(agent))
    }
}

impl LabelSelectorRequirement {
    /// Whether the labels fulfil the requirement; an unsupported operator matches nothing.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            SelectorOperator::In => value.is_some_and(|value| self.values.contains(value)),
            SelectorOperator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
            SelectorOperator::Unsupported(_) => false,
        }
    }
}

fn contains_all(present: &BTreeMap<String, String>, required: &BTreeMap<String, String>) -> bool {
    required
        .iter()
        .all(|(key, value)| present.get(key) == Some(value))
}
