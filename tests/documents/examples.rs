//! Objects in the guides and samples are what the code takes: each decodes into its kind without an unknown
//! field, and passes validation.
//!
//! Blocks fenced as `json` and `yaml` are read. A document of work.brokkr.io is checked as its kind, one that
//! begins with `workOrders` as the agent's configuration; others belong to other programs.

use std::fs;
use std::path::PathBuf;

use brokkr_agent::config::AgentConfig;
use brokkr_apis::validation::FieldError;
use brokkr_apis::work::v1alpha1::{AgentCompletion, AgentRenewal, WorkOrderCompletion, WorkOrderRenewal};
use brokkr_apis::work::validation as rules;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::links::pages;
use crate::repository::root;

/// Documents with the file each is in.
fn documents() -> Vec<(PathBuf, Value)> {
    let guides = pages()
        .into_iter()
        .filter(|page| page.starts_with(root().join("docs/guides")));
    let samples = fs::read_dir(root().join("docs/samples")).expect("a readable folder");
    let samples = samples
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let mut documents = Vec::new();
    for page in guides {
        let text = fs::read_to_string(&page).expect("a readable page");
        documents.extend(
            blocks(&text)
                .iter()
                .map(|block| (page.clone(), parsed(&page, block))),
        );
    }
    for sample in samples {
        let text = fs::read_to_string(&sample).expect("a readable sample");
        documents.extend(
            text.split("\n---\n")
                .map(|one| (sample.clone(), parsed(&sample, one))),
        );
    }
    documents
}

/// The documents in the blocks of a page that hold data.
fn blocks(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((["json", "yaml"].contains(&language), String::new())),
            (Some(_), Some((true, block))) => found.extend(block.split("\n---\n").map(str::to_owned)),
            (Some(_), Some((false, _))) | (None, None) => {}
            (None, Some((data, block))) => open = Some((data, format!("{block}{line}\n"))),
        }
    }
    found
}

fn parsed(file: &std::path::Path, text: &str) -> Value {
    // Placeholders of the samples are filled in by whoever applies them.
    let text = text.replace("${AGENT_NAME}", "east-1");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", file.display()))
}

/// What the kind does not take of a document.
fn problems(document: &Value) -> Option<Vec<String>> {
    if document.get("workOrders").is_some() {
        let config: Result<AgentConfig, _> = serde_json::from_value(document.clone());
        return Some(match config {
            Ok(config) => config.validate().err().iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        });
    }
    if document["apiVersion"] != "work.brokkr.io/v1alpha1" {
        return None;
    }
    Some(match document["kind"].as_str().unwrap_or_default() {
        "WorkOrder" => check(document, rules::validate_work_order),
        "Agent" => check(document, rules::validate_agent),
        "WorkOrderClaim" => check(document, rules::validate_work_order_claim),
        "WorkOrderRenewal" => check(document, |body: &WorkOrderRenewal| {
            rules::validate_renewal("spec", &body.spec)
        }),
        "WorkOrderCompletion" => check(document, |body: &WorkOrderCompletion| {
            rules::validate_completion("spec", &body.spec)
        }),
        "WorkOrderRelease" => check(document, rules::validate_release),
        "AgentClaim" => check(document, rules::validate_agent_claim),
        "AgentRenewal" => check(document, |body: &AgentRenewal| {
            let items = body.spec.items.iter();
            let of_items = items.flat_map(|item| rules::validate_renewal("item", &item.renewal()));
            rules::validate_agent_renewal(body)
                .into_iter()
                .chain(of_items)
                .collect()
        }),
        "AgentCompletion" => check(document, |body: &AgentCompletion| {
            let items = body.spec.items.iter();
            let of_items = items.flat_map(|item| rules::validate_completion("item", &item.completion()));
            rules::validate_agent_completion(body)
                .into_iter()
                .chain(of_items)
                .collect()
        }),
        other => vec![format!("kind {other:?} is not known here")],
    })
}

fn check<T: DeserializeOwned + Serialize>(
    document: &Value,
    rule: impl Fn(&T) -> Vec<FieldError>,
) -> Vec<String> {
    let typed: T = match serde_json::from_value(document.clone()) {
        Ok(typed) => typed,
        Err(error) => return vec![error.to_string()],
    };
    let kept = serde_json::to_value(&typed).expect("an object is JSON");
    let mut problems: Vec<_> = rule(&typed).iter().map(ToString::to_string).collect();
    unknown("", document, &kept, &mut problems);
    problems
}

/// Fields of the document that decoding has dropped.
fn unknown(path: &str, document: &Value, kept: &Value, problems: &mut Vec<String>) {
    match (document, kept) {
        (Value::Object(fields), Value::Object(_)) => {
            for (name, value) in fields {
                match kept.get(name) {
                    Some(kept) => unknown(&format!("{path}.{name}"), value, kept, problems),
                    None => problems.push(format!("{path}.{name} is not a field, or says nothing")),
                }
            }
        }
        (Value::Array(items), Value::Array(kept)) => {
            for (index, (item, kept)) in items.iter().zip(kept).enumerate() {
                unknown(&format!("{path}[{index}]"), item, kept, problems);
            }
        }
        _ => {}
    }
}

#[test]
fn objects_in_guides_and_samples_are_what_the_code_takes() {
    let mut checked = 0;
    for (file, document) in documents() {
        if let Some(problems) = problems(&document) {
            checked += 1;
            assert!(
                problems.is_empty(),
                "{}: {problems:?}\n{document:#}",
                file.display()
            );
        }
    }
    assert!(checked >= 10, "only {checked} documents were found");
}

#[test]
fn a_misspelt_field_and_a_value_out_of_range_are_found() {
    let claim = |spec: Value| serde_json::json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "AgentClaim", "spec": spec});
    let wrong = |spec| problems(&claim(spec)).expect("a document of ours");
    assert_eq!(
        wrong(serde_json::json!({"holder": "h", "max": 2})),
        Vec::<String>::new()
    );
    assert_eq!(wrong(serde_json::json!({"holder": "h", "maximum": 2})).len(), 1);
    assert_eq!(wrong(serde_json::json!({"holder": "h", "max": 101})).len(), 1);
    assert_eq!(blocks("a\n```json\n{}\n```\n```sh\nls\n```\n"), ["{}\n"]);
}
