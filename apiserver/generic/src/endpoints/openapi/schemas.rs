//! The schemas of the kinds: from JSON Schema, as the types are described, to OpenAPI 3.0 as Kubernetes
//! uses it.
//!
//! JSON Schema says "or null" of optional fields; Kubernetes takes null for absent and does not say so.

use serde_json::{Map, Value, json};

use super::{meta_types, names};
use crate::endpoints::ApiVersion;

/// Where JSON Schema keeps the schemas that a schema refers to.
const LOCAL: &str = "#/$defs/";

/// The marker of a type that is described in [`meta_types`].
const SHARED: &str = "x-kubernetes-ref";

/// Turns schemas of one group and version.
struct Schemas<'g> {
    group: &'g str,
    version: &'g str,
    all: Map<String, Value>,
}

/// All schemas of a version by definition name.
pub(super) fn of(group: &str, version: &ApiVersion) -> Map<String, Value> {
    let mut schemas = Schemas {
        group,
        version: &version.name,
        all: meta_types::schemas(group, &version.name),
    };
    for storage in &version.resources {
        let kind = storage.info().kind;
        schemas.add_kind(kind, storage.schema());
        schemas.add_list(kind);
        for subresource in storage.subresources() {
            if let Some(schema) = subresource.schema() {
                schemas.add_kind(subresource.kind(), schema);
            }
        }
    }
    schemas.all
}

impl Schemas<'_> {
    fn name(&self, kind: &str) -> String {
        names::definition(self.group, self.version, kind)
    }

    fn reference(&self, kind: &str) -> Value {
        json!({ "$ref": format!("#/components/schemas/{}", self.name(kind)) })
    }

    fn kinds(&self, kind: &str) -> Value {
        json!([{"group": self.group, "version": self.version, "kind": kind}])
    }

    /// A kind and what it refers to.
    fn add_kind(&mut self, kind: &str, mut schema: Value) {
        let definitions = schema.as_object_mut().and_then(|fields| fields.remove("$defs"));
        if let Some(Value::Object(definitions)) = definitions {
            for (name, definition) in definitions {
                let name_of = self.name(&name);
                if !self.all.contains_key(&name_of) {
                    let converted = self.convert(definition);
                    self.all.insert(name_of, converted);
                }
            }
        }
        let mut converted = self.convert(schema);
        converted["x-kubernetes-group-version-kind"] = self.kinds(kind);
        self.all.insert(self.name(kind), converted);
    }

    fn add_list(&mut self, kind: &str) {
        let list_kind = format!("{kind}List");
        let schema = json!({
            "type": "object",
            "description": format!("A list of objects of kind {kind}."),
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": "Group and version of this form of the list."},
                "kind": {"type": "string", "description": "What the list is, in CamelCase."},
                "metadata": {"allOf": [meta_types::reference("ListMeta")], "description": "Standard list metadata.", "default": {}},
                "items": {"type": "array", "items": {"allOf": [self.reference(kind)], "default": {}}, "description": "The objects."},
            },
            "x-kubernetes-group-version-kind": self.kinds(&list_kind),
        });
        self.all.insert(self.name(&list_kind), schema);
    }

    fn convert(&self, schema: Value) -> Value {
        let Value::Object(mut fields) = schema else {
            // `true`: anything.
            return json!({});
        };
        for unused in ["$schema", "title", "examples"] {
            fields.remove(unused);
        }
        unwrap_lines(&mut fields);
        without_null(&mut fields);
        constant_to_enum(&mut fields);
        fields.retain(|name, value| name != "format" || is_known_format(value));
        self.convert_children(&mut fields);
        self.convert_reference(fields)
    }

    fn convert_children(&self, fields: &mut Map<String, Value>) {
        if let Some(Value::Object(properties)) = fields.get_mut("properties") {
            for property in properties.values_mut() {
                *property = self.convert(property.take());
            }
        }
        for name in ["items", "additionalProperties", "not"] {
            if let Some(child) = fields.get_mut(name).filter(|child| child.is_object()) {
                *child = self.convert(child.take());
            }
        }
        for name in ["allOf", "anyOf", "oneOf"] {
            if let Some(Value::Array(children)) = fields.get_mut(name) {
                for child in children {
                    *child = self.convert(child.take());
                }
            }
        }
    }

    /// A reference stands alone in OpenAPI 3.0: what stands beside it goes around it.
    fn convert_reference(&self, mut fields: Map<String, Value>) -> Value {
        let shared = fields.remove(SHARED).inspect(|_| {
            fields.remove("type");
        });
        let target = match (shared, fields.remove("$ref")) {
            (Some(Value::String(name)), _) => name,
            (_, Some(Value::String(local))) => match local.strip_prefix(LOCAL) {
                Some(name) => self.name(name),
                None => local.trim_start_matches("#/components/schemas/").to_owned(),
            },
            _ => return Value::Object(fields),
        };
        let reference = json!({ "$ref": format!("#/components/schemas/{target}") });
        if fields.is_empty() {
            return reference;
        }
        // An empty object is what Kubernetes writes for any default of a whole object.
        if fields.contains_key("default") {
            fields.insert("default".to_owned(), json!({}));
        }
        fields.insert("allOf".to_owned(), json!([reference]));
        Value::Object(fields)
    }
}

/// A comment in the source is broken into lines; a description is not, but for its paragraphs.
fn unwrap_lines(fields: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = fields.get_mut("description") {
        let paragraphs: Vec<String> = text
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "))
            .collect();
        *text = paragraphs.join("\n\n");
    }
}

/// Takes "or null" out of a schema.
fn without_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        } else {
            // Several types cannot be said in OpenAPI 3.0: any value is let through.
            fields.remove("type");
        }
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    for name in ["anyOf", "oneOf"] {
        let Some(Value::Array(choices)) = fields.get_mut(name) else {
            continue;
        };
        choices.retain(|choice| choice["type"] != "null");
        if choices.len() == 1
            && let Some(Value::Object(only)) = choices.pop()
        {
            fields.remove(name);
            for (key, value) in only {
                fields.entry(key).or_insert(value);
            }
        }
    }
}

/// `const`, alone or as choices, is an `enum` in OpenAPI 3.0.
fn constant_to_enum(fields: &mut Map<String, Value>) {
    if let Some(constant) = fields.remove("const") {
        fields.insert("enum".to_owned(), json!([constant]));
    }
    let Some(Value::Array(choices)) = fields.get("oneOf") else {
        return;
    };
    let constants: Vec<Value> = choices
        .iter()
        .filter_map(|choice| choice.get("const").cloned())
        .collect();
    if !choices.is_empty() && constants.len() == choices.len() && constants.iter().all(Value::is_string) {
        fields.remove("oneOf");
        fields.insert("type".to_owned(), "string".into());
        fields.insert("enum".to_owned(), Value::Array(constants));
    }
}

/// Formats of Rust's own integers mean nothing to others.
fn is_known_format(format: &Value) -> bool {
    matches!(
        format.as_str(),
        Some("int32" | "int64" | "float" | "double" | "byte" | "date" | "date-time" | "password")
    )
}
