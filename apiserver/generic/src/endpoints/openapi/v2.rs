//! One OpenAPI 2.0 document of everything, made from the 3.0 documents.
//!
//! The aggregator merges it into the cluster's own. Version 2 knows no choices between schemas and, in
//! Kubernetes, no defaults; bodies are parameters, and parameters have no schema of their own.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The fields of a schema that version 2 does not have.
const UNKNOWN_FIELDS: [&str; 5] = ["default", "nullable", "anyOf", "oneOf", "not"];

/// Merges 3.0 documents into one of version 2.
pub(super) fn document(documents: &[Value], server_version: &str) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for document in documents {
        for (path, item) in fields(&document["paths"]) {
            paths.insert(path.clone(), path_item(item));
        }
        for (name, definition) in fields(&document["components"]["schemas"]) {
            merge(&mut definitions, name, schema(definition));
        }
    }
    keep_used(&paths, &mut definitions);
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes aggregated API server", "version": server_version},
        "paths": paths,
        "definitions": definitions,
    })
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Leaves out definitions that no path leads to: each could only be in the way when documents are merged.
fn keep_used(paths: &Map<String, Value>, definitions: &mut Map<String, Value>) {
    let mut used = BTreeSet::new();
    let mut found = Vec::new();
    paths.values().for_each(|item| references(item, &mut found));
    while let Some(name) = found.pop() {
        if let Some(definition) = definitions.get(&name)
            && used.insert(name)
        {
            references(definition, &mut found);
        }
    }
    definitions.retain(|name, _| used.contains(name));
}

/// Adds the names of the definitions that a value refers to.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            let target = all.get("$ref").and_then(Value::as_str);
            let name = target.and_then(|target| target.strip_prefix("#/definitions/"));
            found.extend(name.map(str::to_owned));
            all.values().for_each(|value| references(value, found));
        }
        Value::Array(all) => all.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// A type that several versions share is known under the kinds of all of them.
fn merge(definitions: &mut Map<String, Value>, name: &str, new: Value) {
    const KINDS: &str = "x-kubernetes-group-version-kind";
    let Some(present) = definitions.get_mut(name) else {
        definitions.insert(name.to_owned(), new);
        return;
    };
    if let (Some(present), Some(new)) = (present[KINDS].as_array_mut(), new[KINDS].as_array()) {
        for kind in new {
            if !present.contains(kind) {
                present.push(kind.clone());
            }
        }
    }
}

fn path_item(item: &Value) -> Value {
    let convert = |(name, value): (&String, &Value)| {
        let value = match name.as_str() {
            "parameters" => parameters(value),
            _ => operation(value),
        };
        (name.clone(), value)
    };
    fields(item).map(convert).collect::<Map<_, _>>().into()
}

fn operation(operation: &Value) -> Value {
    let mut converted = operation.clone();
    let mut all = match parameters(&operation["parameters"]) {
        Value::Array(all) => all,
        _ => Vec::new(),
    };
    let mut consumes = json!(["application/json", "application/yaml"]);
    if let Some(written) = converted.as_object_mut() {
        if let Some(body) = written.remove("requestBody") {
            consumes = fields(&body["content"])
                .map(|(media_type, _)| media_type.as_str())
                .collect();
            all.push(body_parameter(&body));
        }
        if !all.is_empty() {
            written.insert("parameters".to_owned(), Value::Array(all));
        }
    }
    converted["consumes"] = consumes;
    converted["produces"] = media_types(&operation["responses"]["200"]["content"]);
    converted["schemes"] = json!(["https"]);
    converted["responses"] = responses(&operation["responses"]);
    converted
}

fn media_types(content: &Value) -> Value {
    let types: Vec<&str> = fields(content)
        .map(|(media_type, _)| media_type.as_str())
        .collect();
    if types.is_empty() {
        json!(["application/json"])
    } else {
        json!(types)
    }
}

fn body_parameter(body: &Value) -> Value {
    let any = fields(&body["content"])
        .next()
        .map(|(_, content)| schema(&content["schema"]));
    let mut parameter = json!({"name": "body", "in": "body", "schema": any.unwrap_or_default()});
    if body["required"] == true {
        parameter["required"] = true.into();
    }
    parameter
}

/// Type and format stand beside the name of a parameter.
fn parameters(parameters: &Value) -> Value {
    let convert = |parameter: &Value| {
        let mut converted = parameter.as_object().cloned().unwrap_or_default();
        if let Some(Value::Object(schema)) = converted.remove("schema") {
            converted.extend(schema);
        }
        Value::Object(converted)
    };
    parameters
        .as_array()
        .map_or(Value::Null, |all| all.iter().map(convert).collect())
}

fn responses(responses: &Value) -> Value {
    let convert = |(code, response): (&String, &Value)| {
        let mut converted = json!({ "description": response["description"] });
        if let Some(content) = response["content"].get("application/json") {
            converted["schema"] = schema(&content["schema"]);
        }
        (code.clone(), converted)
    };
    fields(responses).map(convert).collect::<Map<_, _>>().into()
}

/// A schema of version 2: references may have neighbours, so `allOf` around a single one goes.
fn schema(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let kept = all
                .iter()
                .filter(|(name, _)| !UNKNOWN_FIELDS.contains(&name.as_str()));
            let mut converted: Map<String, Value> = kept
                .map(|(name, value)| (name.clone(), member(name, value)))
                .collect();
            if let Some(Value::Array(parts)) = converted.remove("allOf") {
                for (name, value) in parts.iter().flat_map(fields) {
                    converted.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
            Value::Object(converted)
        }
        other => other.clone(),
    }
}

/// A field of a schema; below `properties` the names are the client's, not those of the schema language.
fn member(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("properties", Value::Object(properties)) => properties
            .iter()
            .map(|(name, value)| (name.clone(), schema(value)))
            .collect::<Map<_, _>>()
            .into(),
        ("items" | "additionalProperties", _) => schema(value),
        ("allOf", Value::Array(parts)) => parts.iter().map(schema).collect(),
        ("$ref", Value::String(target)) => target.replace("#/components/schemas/", "#/definitions/").into(),
        _ => value.clone(),
    }
}
