//! The endpoints over HTTP, with real storage below them: what a client of the API sees. Two small
//! resources stand for all: `widgets`, which live in namespaces and have a status and subresources, and
//! `racks`, which live in the cluster. Test names begin with the conformance item they show.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "json!({}) reads better than &json!({})"
)]

mod client;
mod consistency;
mod content;
mod create;
mod delete;
mod discovery;
mod expiry;
mod fields;
mod finalizers;
mod kinds;
mod list;
mod namespaces;
mod openapi;
mod patch;
mod server;
mod subresources;
mod table;
mod update;
mod watch;
mod watch_list;
mod watch_selected;
