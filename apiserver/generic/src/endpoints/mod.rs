//! HTTP: decoding requests, calling the registry, writing responses. The only layer that knows status
//! codes and media types.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints`.

pub mod status_error;

pub use status_error::StatusError;

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use crate::registry::RequestContext;
use crate::request_info::RequestInfo;

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
    pub parts: http::request::Parts,
    /// The body, not yet read.
    pub body: B,
    /// Cancelled when the server drains: long-running responses end then.
    pub shutdown: tokio_util::sync::CancellationToken,
}
