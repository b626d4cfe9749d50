//! The serving half of the library over real sockets and real TLS: transport, identity, permission,
//! limits, health and drain. A recorded kube-apiserver answers reviews; an echo handler stands for the
//! resources. Test names begin with the conformance item they show.

mod access_review;
mod authorization;
mod certificate;
mod client;
mod cluster;
mod config_map;
mod drain;
mod echo;
mod forged;
mod front_proxy;
mod health;
mod identity;
mod kube_apiserver;
mod limits;
mod metrics;
mod pki;
mod request_log;
mod server;
mod token_review;
mod trace_context;
mod transport;
