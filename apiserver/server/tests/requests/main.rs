//! The server's resources as clients meet them: over TLS and HTTP, with everything that clients may get
//! wrong, and with a database that dies under them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(
    clippy::needless_pass_by_value,
    reason = "tables of requests are read more easily with bodies written in their place"
)]

mod client;
mod refusal;
mod server;

mod bodies;
mod changes;
mod claims;
mod crash;
mod full;
mod fuzz;
mod log_reads;
mod manifests;
mod orders;
mod outage;
mod protocol;
mod queries;
mod size;
mod syntax;
