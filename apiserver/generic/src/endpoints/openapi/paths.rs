//! The paths of a resource and the operations on them. Clients find a kind by the form of the paths.

use serde_json::{Map, Value, json};

use super::operations::{Body, Operation};
use super::{meta_types, names, parameters};
use crate::endpoints::ApiVersion;
use crate::registry::{RestStorage, RestSubresource, Scope, Verb};

/// The paths of a version.
pub(super) fn of(group: &str, version: &ApiVersion) -> Map<String, Value> {
    let mut paths = Map::new();
    for storage in &version.resources {
        let paths_of = Paths {
            group,
            version: &version.name,
            storage: storage.as_ref(),
        };
        paths_of.add_to(&mut paths);
    }
    paths
}

struct Paths<'r> {
    group: &'r str,
    version: &'r str,
    storage: &'r dyn RestStorage,
}

impl Paths<'_> {
    fn add_to(&self, paths: &mut Map<String, Value>) {
        let info = self.storage.info();
        let root = format!("/apis/{}/{}", self.group, self.version);
        let collection = if self.namespaced() {
            paths.insert(format!("{root}/{}", info.names.plural), self.across_namespaces());
            format!("{root}/namespaces/{{namespace}}/{}", info.names.plural)
        } else {
            format!("{root}/{}", info.names.plural)
        };
        let item = format!("{collection}/{{name}}");
        paths.insert(collection, self.collection());
        if info.has_status {
            paths.insert(format!("{item}/status"), self.status());
        }
        for subresource in self.storage.subresources() {
            let path = format!("{item}/{}", subresource.name());
            paths.insert(path, self.subresource(subresource.as_ref()));
        }
        paths.insert(item, self.item());
    }

    fn namespaced(&self) -> bool {
        self.storage.info().names.scope == Scope::Namespaced
    }

    fn kind(&self) -> &'static str {
        self.storage.info().kind
    }

    fn reference(&self, kind: &str) -> Value {
        let name = names::definition(self.group, self.version, kind);
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// `NamespacedDeployment` with what the operation adds before and after it.
    fn subject(&self, before: &str, after: &str) -> String {
        let scope = if self.namespaced() { "Namespaced" } else { "" };
        format!("{before}{scope}{}{after}", self.kind())
    }

    /// A path item of the operations whose verbs are served.
    fn path_item(&self, named: bool, namespaced: bool, operations: Vec<(&str, Operation<'_>)>) -> Value {
        let mut item = json!({ "parameters": parameters::of_path(namespaced, named) });
        for (method, operation) in operations {
            item[method] = operation.write(self.group, self.version);
        }
        item
    }

    /// Keeps the operations whose verb the resource serves.
    fn served<'o>(&self, operations: Vec<(Verb, &'o str, Operation<'o>)>) -> Vec<(&'o str, Operation<'o>)> {
        let verbs = self.storage.info().verbs;
        operations
            .into_iter()
            .filter(|(verb, ..)| verbs.contains(verb))
            .map(|(_, method, operation)| (method, operation))
            .collect()
    }

    fn list(&self, subject: String) -> Operation<'_> {
        Operation {
            verb: "list",
            action: "list",
            subject,
            kind: self.kind(),
            description: format!("list or watch objects of kind {}", self.kind()),
            parameters: parameters::list(),
            body: Body::None,
            codes: &[200],
            answer: self.reference(&format!("{}List", self.kind())),
        }
    }

    fn across_namespaces(&self) -> Value {
        let list = self.list(format!("{}ForAllNamespaces", self.kind()));
        self.path_item(false, false, self.served(vec![(Verb::List, "get", list)]))
    }

    fn collection(&self) -> Value {
        let create = Operation {
            verb: "create",
            action: "post",
            subject: self.subject("", ""),
            kind: self.kind(),
            description: format!("create a {}", self.kind()),
            parameters: parameters::write(),
            body: Body::Object(self.reference(self.kind())),
            codes: &[200, 201, 202],
            answer: self.reference(self.kind()),
        };
        let delete = Operation {
            verb: "delete",
            action: "deletecollection",
            subject: self.subject("Collection", ""),
            kind: self.kind(),
            description: format!("delete a collection of {}", self.kind()),
            parameters: parameters::delete_collection(),
            body: Body::DeleteOptions,
            codes: &[200],
            answer: meta_types::reference("Status"),
        };
        let operations = vec![
            (Verb::List, "get", self.list(self.subject("", ""))),
            (Verb::Create, "post", create),
            (Verb::DeleteCollection, "delete", delete),
        ];
        self.path_item(false, self.namespaced(), self.served(operations))
    }

    fn item(&self) -> Value {
        let delete = Operation {
            verb: "delete",
            action: "delete",
            subject: self.subject("", ""),
            kind: self.kind(),
            description: format!("delete a {}", self.kind()),
            parameters: parameters::delete(),
            body: Body::DeleteOptions,
            codes: &[200, 202],
            answer: meta_types::reference("Status"),
        };
        let mut operations = self.read_and_write("");
        operations.push((Verb::Delete, "delete", delete));
        self.path_item(true, self.namespaced(), self.served(operations))
    }

    fn status(&self) -> Value {
        let operations = self.read_and_write("Status");
        let operations = operations
            .into_iter()
            .map(|(_, method, operation)| (method, operation))
            .collect();
        self.path_item(true, self.namespaced(), operations)
    }

    /// Get, put and patch of the object or of a part of it.
    fn read_and_write(&self, part: &str) -> Vec<(Verb, &'static str, Operation<'_>)> {
        let what = match part {
            "" => self.kind().to_owned(),
            part => format!("{} of {}", part.to_lowercase(), self.kind()),
        };
        let operation = |verb, action, description, parameters, body, codes| Operation {
            verb,
            action,
            subject: self.subject("", part),
            kind: self.kind(),
            description,
            parameters,
            body,
            codes,
            answer: self.reference(self.kind()),
        };
        let read = format!("read the {what}");
        let replace = format!("replace the {what}");
        let patch = format!("change the {what} in part");
        let body = Body::Object(self.reference(self.kind()));
        vec![
            (
                Verb::Get,
                "get",
                operation("read", "get", read, parameters::get(), Body::None, &[200]),
            ),
            (
                Verb::Update,
                "put",
                operation("replace", "put", replace, parameters::write(), body, &[200, 201]),
            ),
            (
                Verb::Patch,
                "patch",
                operation(
                    "patch",
                    "patch",
                    patch,
                    parameters::patch(),
                    Body::Patch,
                    &[200, 201],
                ),
            ),
        ]
    }

    fn subresource(&self, subresource: &dyn RestSubresource) -> Value {
        let (name, kind) = (subresource.name(), subresource.kind());
        let create = subresource.verb() == Verb::Create;
        let (verb, action, method) = if create {
            ("create", "post", "post")
        } else {
            ("read", "get", "get")
        };
        let operation = Operation {
            verb,
            action,
            subject: self.subject("", &names::camel(name)),
            kind,
            description: format!("{verb} {name} of a {}", self.kind()),
            parameters: if create { parameters::write() } else { Vec::new() },
            body: if create {
                Body::Object(self.reference(kind))
            } else {
                Body::None
            },
            codes: if create { &[200, 201, 202] } else { &[200] },
            answer: self.reference(kind),
        };
        self.path_item(true, self.namespaced(), vec![(method, operation)])
    }
}
