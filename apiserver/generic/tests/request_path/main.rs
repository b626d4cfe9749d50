//! The whole path of a request, as in production: TLS, a client certificate, the filters, the endpoints,
//! admission by the namespaces of a kube-apiserver, and PostgreSQL, for each test a database of its own.
//!
//! What needs this is shown here: races, replicas, finalizers, admission, long watches, outages. The wire
//! form of every verb is shown in `tests/endpoints`. Test names begin with the conformance item they show.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "json!({}) reads better than &json!({})"
)]

mod admission;
mod client;
mod create;
mod delete;
mod delete_collection;
mod discovery;
mod fischer;
mod flunder;
mod get;
mod history;
#[path = "../serving/kube_apiserver.rs"]
#[expect(dead_code, reason = "the records of requests serve other tests")]
mod kube_apiserver;
mod list;
mod metadata;
mod metrics;
mod namespaces;
mod outage;
mod polish;
mod server;
mod serving;
mod size;
mod subresources;
mod transport;
mod update;
mod watch;
mod watch_list;
