//! HTTP: decoding requests, calling the registry, writing responses. The only layer that knows status
//! codes and media types.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints`.

mod compression;
mod decode;
mod delete_options;
mod discovery;
mod handlers;
mod human_duration;
mod metadata;
mod negotiation;
mod openapi;
mod options;
mod response;
mod selectors;
mod static_document;
pub mod status_error;
pub mod status_mapping;
mod table;

pub use status_error::StatusError;
pub use status_mapping::RequestScope;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::registry::{RequestContext, RestStorage};
use crate::request_info::RequestInfo;

use discovery::Discovery;
use openapi::OpenApi;

/// When to come back to a server that is being prepared; upstream's number.
const PREPARING_RETRY_SECONDS: i32 = 5;

/// The body of every response: whole, or streamed by a watch.
pub type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

/// A response of the server.
pub type Response = http::Response<ResponseBody>;

/// A body that is at hand as a whole.
pub fn full_body(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into()).boxed_unsync()
}

/// A request that has passed authentication and authorization.
#[derive(Debug)]
pub struct ApiRequest<B> {
    /// What is asked.
    pub info: RequestInfo,
    /// Who asks; handlers set the options of the query on a copy.
    pub context: RequestContext,
    /// Method, URI and headers; the headers of identity are gone.
    pub parts: Parts,
    /// The body, not yet read.
    pub body: B,
    /// Cancelled when the server drains: long-running responses end then.
    pub shutdown: tokio_util::sync::CancellationToken,
}

/// An API group and its versions.
pub struct ApiGroup {
    /// The name, such as `shop.example.com`.
    pub name: String,
    /// The versions, the preferred one first.
    pub versions: Vec<ApiVersion>,
}

/// A version of a group and its resources.
pub struct ApiVersion {
    /// The name, such as `v1alpha1`.
    pub name: String,
    /// The resources.
    pub resources: Vec<Arc<dyn RestStorage>>,
}

/// A resource or subresource that is served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServedResource {
    /// The plural resource.
    pub resource: String,
    /// The subresource; empty = the resource itself.
    pub subresource: String,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
}

impl ServedResource {
    /// The fields in the order in which they are compared.
    pub(crate) fn as_tuple(&self) -> (&str, &str, &str, &str) {
        (&self.resource, &self.subresource, &self.group, &self.version)
    }
}

/// Answers every request about resources, and the documents that describe them.
pub struct Endpoints {
    groups: Vec<ApiGroup>,
    admission: Arc<dyn Admission>,
    discovery: Discovery,
    openapi: OpenApi,
    prepared: Option<CancellationToken>,
}

impl Endpoints {
    /// Serves these groups. Discovery and OpenAPI are written once, here. `version` is the server's own,
    /// such as `v0.1.0`, and stands in the OpenAPI documents.
    #[must_use]
    pub fn new(groups: Vec<ApiGroup>, admission: Arc<dyn Admission>, version: &str) -> Self {
        Self {
            discovery: Discovery::of(&groups),
            openapi: OpenApi::of(&groups, version),
            groups,
            admission,
            prepared: None,
        }
    }

    /// Answers requests for resources with 503 until `prepared` is cancelled, for one because the schema
    /// is being brought up to date. Discovery and OpenAPI are served meanwhile: resources that are not
    /// there yet are never taken for resources that do not exist.
    #[must_use]
    pub fn after(mut self, prepared: CancellationToken) -> Self {
        self.prepared = Some(prepared);
        self
    }

    /// All resources with their subresources.
    #[must_use]
    pub fn served(&self) -> Vec<ServedResource> {
        let versions = self
            .groups
            .iter()
            .flat_map(|group| group.versions.iter().map(move |version| (group, version)));
        versions
            .flat_map(|(group, version)| {
                version
                    .resources
                    .iter()
                    .map(move |storage| (group, version, storage))
            })
            .flat_map(|(group, version, storage)| {
                let named = move |subresource: &str| ServedResource {
                    resource: storage.info().names.plural.to_owned(),
                    subresource: subresource.to_owned(),
                    group: group.name.clone(),
                    version: version.name.clone(),
                };
                discovery::subresource_names(storage.as_ref())
                    .into_iter()
                    .chain([""])
                    .map(named)
            })
            .collect()
    }

    /// Answers a request; errors are answers too.
    pub async fn handle<B>(&self, request: ApiRequest<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: fmt::Display,
    {
        let compressed = compression::is_accepted(&request.parts.headers);
        let prepared = self.prepared.as_ref().is_none_or(CancellationToken::is_cancelled);
        let answer = if request.info.is_resource_request && !prepared {
            let message = "the database is being prepared: try again later";
            Err(StatusError::unavailable(message, PREPARING_RETRY_SECONDS))
        } else if request.info.is_resource_request {
            handlers::resource(self, request).await
        } else {
            self.describe(&request.parts, &request.info.path)
        };
        let response = answer.unwrap_or_else(StatusError::into_response);
        match compressed {
            true => compression::compress(response).await,
            false => response,
        }
    }

    /// The documents that need no storage.
    fn describe(&self, parts: &Parts, path: &str) -> Result<Response, StatusError> {
        let path = path.trim_end_matches('/');
        let document = match path {
            "" => Some(self.discovery.index()),
            "/apis" => Some(self.discovery.groups(&parts.headers)),
            _ => self.discovery.document(path),
        };
        let document = match document.or_else(|| self.openapi.document(path)) {
            Some(document) => document,
            None => return Err(not_found_path(path)),
        };
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(method_not_allowed(
                &parts.method.as_str().to_ascii_lowercase(),
                &RequestScope::default(),
            ));
        }
        document.respond(parts)
    }

    /// The resource of a request.
    fn find(&self, info: &RequestInfo) -> Option<&Arc<dyn RestStorage>> {
        let group = self.groups.iter().find(|group| group.name == info.group)?;
        let version = group
            .versions
            .iter()
            .find(|version| version.name == info.version)?;
        version
            .resources
            .iter()
            .find(|storage| storage.info().names.plural == info.resource)
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<&str> = self.groups.iter().map(|group| group.name.as_str()).collect();
        f.debug_struct("Endpoints")
            .field("groups", &groups)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ApiGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiGroup")
            .field("name", &self.name)
            .field("versions", &self.versions)
            .finish()
    }
}

impl fmt::Debug for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resources: Vec<_> = self
            .resources
            .iter()
            .map(|storage| storage.info().names.plural)
            .collect();
        f.debug_struct("ApiVersion")
            .field("name", &self.name)
            .field("resources", &resources)
            .finish()
    }
}

/// Nothing is served at the path.
fn not_found_path(path: &str) -> StatusError {
    let message = format!("the server could not find the requested resource: nothing is served at {path:?}");
    StatusError::new(StatusCode::NOT_FOUND, "NotFound", message)
}

/// The resource or document does not know the verb.
fn method_not_allowed(verb: &str, scope: &RequestScope) -> StatusError {
    let message = format!(
        "{verb:?} is not supported on resources of kind {:?}",
        scope.qualified()
    );
    StatusError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).about(
        &scope.group,
        &scope.resource,
        "",
    )
}
