//! The sample API over TLS, with everything as in production but who is asked about namespaces and
//! permissions: two versions of one kind, a set mutation behind a subresource, and an admission rule of
//! its own. Test names begin with the conformance item they show.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admission;
mod bump;
#[path = "../../../../apiserver/generic/tests/request_path/client.rs"]
#[expect(dead_code, reason = "what else it can serves the library's own tests")]
mod client;
mod documents;
mod metrics;
mod server;
#[path = "../../../../apiserver/generic/tests/request_path/serving.rs"]
mod serving;
mod subresources;
mod versions;
mod watch;
