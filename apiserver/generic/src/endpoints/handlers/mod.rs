//! One verb, one file: from a request about a resource to its answer.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/handlers` and the routes of its installer.

mod create;
mod delete;
mod delete_collection;
mod get;
mod list;
mod names;
mod patch;
mod subresource;
mod update;
mod watch;

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::decode::{self, Expected};
use super::options::WriteOptions;
use super::status_mapping::RequestScope;
use super::{ApiRequest, Endpoints, Response, StatusError, method_not_allowed, not_found_path};
use crate::admission::{Admission, CreateAttributes};
use crate::object::Object;
use crate::registry::{
    Decoded, Part, RegistryError, RequestContext, ResourceInfo, RestStorage, RestSubresource, Scope, Verb,
};
use crate::request_info::RequestInfo;
use crate::storage::{GroupResource, Key};

/// One request about a resource, its body read.
pub(crate) struct Call<'r> {
    /// The resource.
    pub(crate) storage: Arc<dyn RestStorage>,
    /// What is asked.
    pub(crate) info: &'r RequestInfo,
    /// Who asks, with the options of the query.
    pub(crate) ctx: RequestContext,
    /// Query and headers.
    pub(crate) parts: &'r Parts,
    /// The body; empty for verbs without one.
    pub(crate) body: Bytes,
    /// Rules around creates.
    pub(crate) admission: &'r dyn Admission,
    /// What errors are about.
    pub(crate) scope: RequestScope,
    /// Cancelled when watches must end.
    pub(crate) shutdown: CancellationToken,
}

impl Call<'_> {
    /// Names, kind and verbs of the resource.
    pub(crate) fn resource(&self) -> &ResourceInfo {
        self.storage.info()
    }

    /// Group and version.
    pub(crate) fn api_version(&self) -> String {
        format!("{}/{}", self.info.group, self.info.version)
    }

    /// The object of the path.
    fn key(&self) -> Key {
        Key {
            namespace: self.info.namespace.clone(),
            name: self.info.name.clone(),
        }
    }

    /// The namespace of a collection; `None` = all of them.
    fn namespace(&self) -> Option<String> {
        (!self.info.namespace.is_empty()).then(|| self.info.namespace.clone())
    }

    /// An error of the registry about the object of the path.
    pub(crate) fn refused(&self, error: RegistryError) -> StatusError {
        StatusError::from_registry(error, &self.scope)
    }

    /// Asks the rules around a create; the name is that of the object, or of a subresource's parent.
    async fn admit(
        &self,
        object: &Object,
        refused_in_terminating_namespace: bool,
    ) -> Result<(), StatusError> {
        let resource = self.resource();
        let attributes = CreateAttributes {
            resource: GroupResource {
                group: resource.group,
                resource: resource.names.plural,
            },
            subresource: &self.info.subresource,
            namespace: &self.info.namespace,
            name: &self.scope.name,
            object,
            refused_in_terminating_namespace,
        };
        let admitted = self.admission.admit_create(attributes).await;
        admitted.map_err(|error| self.refused(error))
    }

    /// Puts the options of a write where strategies see them.
    fn set_options(&mut self, options: &WriteOptions) {
        self.ctx.dry_run = options.dry_run;
        self.ctx.field_manager.clone_from(&options.field_manager);
    }

    /// Reads a body of this kind.
    fn expected<'d>(
        &self,
        kind: &'d str,
        decode: &'d (dyn Fn(Value) -> Result<Decoded, serde_json::Error> + Sync),
    ) -> Expected<'d> {
        Expected {
            api_version: self.api_version(),
            kind,
            decode,
        }
    }
}

/// What a path and a method ask of a resource.
enum Route<'r> {
    Create,
    Get,
    List,
    Watch,
    Update(Part),
    Patch(Part),
    Delete,
    DeleteCollection,
    Subresource(&'r dyn RestSubresource),
}

/// Answers a request about a resource.
pub(crate) async fn resource<B>(
    endpoints: &Endpoints,
    request: ApiRequest<B>,
) -> Result<Response, StatusError>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Display,
{
    let ApiRequest {
        info,
        context,
        parts,
        body,
        shutdown,
    } = request;
    check_text(&info)?;
    let storage = endpoints
        .find(&info)
        .filter(|storage| is_place(&info, storage.info()));
    let storage = Arc::clone(storage.ok_or_else(|| not_found_path(&info.path))?);
    let resource = Arc::clone(&storage);
    let route = route(&info, resource.as_ref())?;
    let body = match route {
        Route::Get | Route::List | Route::Watch => Bytes::new(),
        _ => decode::read_body(&parts.headers, body).await?,
    };
    let scope = scope(&info, storage.info());
    let mut call = Call {
        storage,
        info: &info,
        ctx: context,
        parts: &parts,
        body,
        admission: endpoints.admission.as_ref(),
        scope,
        shutdown,
    };
    match route {
        Route::Create => create::create(&mut call).await,
        Route::Get => get::get(&call).await,
        Route::List => list::list(&call).await,
        Route::Watch => watch::watch(&call).await,
        Route::Update(part) => update::update(&mut call, part).await,
        Route::Patch(part) => patch::patch(&mut call, part).await,
        Route::Delete => delete::delete(&mut call).await,
        Route::DeleteCollection => delete_collection::delete_collection(&mut call).await,
        Route::Subresource(subresource) => subresource::answer(&mut call, subresource).await,
    }
}

/// No object is called so, and the database could not even be asked.
fn check_text(info: &RequestInfo) -> Result<(), StatusError> {
    if info.path.contains('\0') {
        let message = "the path holds the character U+0000, which no name of an object does";
        return Err(StatusError::bad_request(message));
    }
    Ok(())
}

fn scope(info: &RequestInfo, resource: &ResourceInfo) -> RequestScope {
    RequestScope {
        group: info.group.clone(),
        resource: info.resource.clone(),
        kind: resource.kind.to_owned(),
        name: info.name.clone(),
    }
}

/// Whether the path is one where this resource can be: in a namespace or not, and not too deep.
fn is_place(info: &RequestInfo, resource: &ResourceInfo) -> bool {
    let segments = info.path.trim_matches('/').split('/').count();
    let before = if info.namespace.is_empty() { 3 } else { 5 };
    let legacy_watch = usize::from(info.path.trim_start_matches('/').split('/').nth(3) == Some("watch"));
    let after = segments.saturating_sub(before + legacy_watch);
    let in_place = match resource.names.scope {
        // Across all namespaces there are collections only.
        Scope::Namespaced => !info.namespace.is_empty() || after == 1,
        Scope::Cluster => info.namespace.is_empty(),
    };
    in_place && (1..=3).contains(&after)
}

/// The route of a request, or why there is none.
fn route<'r>(info: &RequestInfo, storage: &'r dyn RestStorage) -> Result<Route<'r>, StatusError> {
    let resource = storage.info();
    let refuse = || method_not_allowed(&info.verb, &scope(info, resource));
    let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.as_str() == info.verb) else {
        return Err(refuse());
    };
    let route = match info.subresource.as_str() {
        "" => own_route(verb, info, resource),
        "status" if resource.has_status => status_route(verb),
        name => {
            let found = storage
                .subresources()
                .iter()
                .find(|subresource| subresource.name() == name);
            let subresource = found.ok_or_else(|| not_found_path(&info.path))?;
            (subresource.verb() == verb).then(|| Route::Subresource(subresource.as_ref()))
        }
    };
    route.ok_or_else(refuse)
}

fn own_route(verb: Verb, info: &RequestInfo, resource: &ResourceInfo) -> Option<Route<'static>> {
    // A list or watch carries the name its field selector demands; only the path makes an item of others.
    let item = !info.name.is_empty();
    let across_namespaces = resource.names.scope == Scope::Namespaced && info.namespace.is_empty();
    let route = match verb {
        Verb::Create if !item && !across_namespaces => Route::Create,
        Verb::DeleteCollection if !across_namespaces => Route::DeleteCollection,
        Verb::Get => Route::Get,
        Verb::List => Route::List,
        Verb::Watch => Route::Watch,
        Verb::Update if item => Route::Update(Part::Main),
        Verb::Patch if item => Route::Patch(Part::Main),
        Verb::Delete => Route::Delete,
        Verb::Create | Verb::DeleteCollection | Verb::Update | Verb::Patch => return None,
    };
    resource.verbs.contains(&verb).then_some(route)
}

const fn status_route(verb: Verb) -> Option<Route<'static>> {
    match verb {
        Verb::Get => Some(Route::Get),
        Verb::Update => Some(Route::Update(Part::Status)),
        Verb::Patch => Some(Route::Patch(Part::Status)),
        Verb::Create | Verb::Delete | Verb::DeleteCollection | Verb::List | Verb::Watch => None,
    }
}
