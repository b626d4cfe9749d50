//! Rules of `spec.targets`.

use std::collections::BTreeMap;

use super::{check_name, check_unique, names};
use crate::validation::FieldError;
use crate::work::v1alpha1::{LabelSelectorRequirement, SelectorOperator, TargetTerm};

/// Bounds the rows a term set is materialised from.
const TERMS_MAX: usize = 32;
const AGENT_NAMES_MAX: usize = 256;
const REQUIREMENTS_MAX: usize = 64;

pub(super) fn check_targets(targets: &[TargetTerm], errors: &mut Vec<FieldError>) {
    if targets.len() > TERMS_MAX {
        errors.push(FieldError::too_many("spec.targets", targets.len(), TERMS_MAX));
    }
    for (index, term) in targets.iter().enumerate() {
        check_term(&format!("spec.targets[{index}]"), term, errors);
    }
}

fn check_term(path: &str, term: &TargetTerm, errors: &mut Vec<FieldError>) {
    if *term == TargetTerm::default() {
        let message = "a term must say something; leave targets out to match every agent";
        errors.push(FieldError::required(path, message));
    }
    let field = format!("{path}.agentNames");
    check_unique(&field, &term.agent_names, errors);
    check_count(&field, term.agent_names.len(), AGENT_NAMES_MAX, errors);
    for (index, name) in term.agent_names.iter().enumerate() {
        check_name(&format!("{field}[{index}]"), name, names::dns_subdomain, errors);
    }
    check_keys(&format!("{path}.matchLabels"), &term.match_labels, errors);
    for (key, value) in &term.match_labels {
        check_name(
            &format!("{path}.matchLabels[{key}]"),
            value,
            names::label_value,
            errors,
        );
    }
    check_keys(
        &format!("{path}.matchAnnotations"),
        &term.match_annotations,
        errors,
    );
    let field = format!("{path}.matchExpressions");
    check_count(&field, term.match_expressions.len(), REQUIREMENTS_MAX, errors);
    for (index, requirement) in term.match_expressions.iter().enumerate() {
        check_requirement(&format!("{field}[{index}]"), requirement, errors);
    }
}

fn check_count(field: &str, count: usize, count_max: usize, errors: &mut Vec<FieldError>) {
    if count > count_max {
        errors.push(FieldError::too_many(field, count, count_max));
    }
}

fn check_keys(field: &str, entries: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    check_count(field, entries.len(), REQUIREMENTS_MAX, errors);
    for key in entries.keys() {
        check_name(field, key, names::qualified_name, errors);
    }
}

fn check_requirement(path: &str, requirement: &LabelSelectorRequirement, errors: &mut Vec<FieldError>) {
    check_name(
        &format!("{path}.key"),
        &requirement.key,
        names::qualified_name,
        errors,
    );
    let field = format!("{path}.values");
    match &requirement.operator {
        SelectorOperator::In | SelectorOperator::NotIn if requirement.values.is_empty() => {
            errors.push(FieldError::required(
                &field,
                "must be specified when operator is In or NotIn",
            ));
        }
        SelectorOperator::Exists | SelectorOperator::DoesNotExist if !requirement.values.is_empty() => {
            errors.push(FieldError::forbidden(
                &field,
                "may not be specified when operator is Exists or DoesNotExist",
            ));
        }
        SelectorOperator::Unsupported(word) => {
            let field = format!("{path}.operator");
            errors.push(FieldError::not_supported(
                field,
                word.as_str(),
                SelectorOperator::SUPPORTED,
            ));
        }
        SelectorOperator::In
        | SelectorOperator::NotIn
        | SelectorOperator::Exists
        | SelectorOperator::DoesNotExist => {}
    }
    for (index, value) in requirement.values.iter().enumerate() {
        check_name(&format!("{field}[{index}]"), value, names::label_value, errors);
    }
}
