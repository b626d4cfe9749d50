//! One operation of a path: its name, its action, its body and its answers.

use serde_json::{Map, Value, json};

use super::{meta_types, names};

/// What a client sends.
pub(super) enum Body {
    /// Nothing.
    None,
    /// An object.
    Object(Value),
    /// Perhaps DeleteOptions.
    DeleteOptions,
    /// A patch.
    Patch,
}

/// An operation before it is written.
pub(super) struct Operation<'o> {
    /// The first word of the operation's id, such as `read`.
    pub(super) verb: &'o str,
    /// `x-kubernetes-action`.
    pub(super) action: &'o str,
    /// What follows group and version in the id, such as `NamespacedDeploymentStatus`.
    pub(super) subject: String,
    /// The kind it is about.
    pub(super) kind: &'o str,
    /// What it does, in a sentence.
    pub(super) description: String,
    /// Its query parameters.
    pub(super) parameters: Vec<Value>,
    /// What is sent.
    pub(super) body: Body,
    /// The codes of success.
    pub(super) codes: &'o [u16],
    /// The schema of the answer.
    pub(super) answer: Value,
}

impl Operation<'_> {
    /// The operation of this group and version.
    pub(super) fn write(self, group: &str, version: &str) -> Value {
        let id = format!(
            "{}{}{}{}",
            self.verb,
            names::camel(group),
            names::camel(version),
            self.subject
        );
        let mut operation = json!({
            "description": self.description,
            "operationId": id,
            "tags": [names::tag(group, version)],
            "responses": responses(self.codes, &self.answer, self.action == "list"),
            "x-kubernetes-action": self.action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": self.kind},
        });
        if !self.parameters.is_empty() {
            operation["parameters"] = Value::Array(self.parameters);
        }
        if let Some(body) = request_body(&self.body) {
            operation["requestBody"] = body;
        }
        operation
    }
}

fn request_body(body: &Body) -> Option<Value> {
    let (schema, media_types, required) = match body {
        Body::None => return None,
        Body::Object(schema) => (schema.clone(), ["application/json", "application/yaml"], true),
        Body::DeleteOptions => (
            meta_types::reference("DeleteOptions"),
            ["application/json", "application/yaml"],
            false,
        ),
        Body::Patch => (
            meta_types::reference("Patch"),
            ["application/json-patch+json", "application/merge-patch+json"],
            true,
        ),
    };
    let content: Map<String, Value> = media_types
        .iter()
        .map(|&media_type| (media_type.to_owned(), json!({ "schema": schema })))
        .collect();
    let mut body = json!({ "content": content });
    if required {
        body["required"] = true.into();
    }
    Some(body)
}

fn responses(codes: &[u16], answer: &Value, watched: bool) -> Value {
    let mut content = json!({"application/json": {"schema": answer}});
    if watched {
        content["application/json;stream=watch"] = json!({"schema": answer});
    }
    let mut responses = Map::new();
    for code in codes {
        let description = match code {
            201 => "Created",
            202 => "Accepted",
            _ => "OK",
        };
        responses.insert(
            code.to_string(),
            json!({"description": description, "content": content}),
        );
    }
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    Value::Object(responses)
}
