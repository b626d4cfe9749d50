//! A library for Kubernetes aggregated API servers, backed by PostgreSQL.
//!
//! It serves any set of resources given as types, a strategy, table columns and a storage mapping, and
//! knows nothing of what the resources mean. The modules follow the path of a request:
//!
//! ```text
//! request -> server -> request_info -> filters -> authentication -> authorization
//!                                                                     |
//!                                            endpoints (decode) <-----+
//!                                                |
//!                                            admission
//!                                                |
//!                                            registry (strategy, subresources)
//!                                                |
//!                                            storage (one writer, change log, watch cache)
//!                                                |
//!                                            endpoints (object | List | Table | Status) -> client
//! ```
//!
//! No module below `endpoints` knows HTTP. Upstream model: the Kubernetes module `k8s.io/apiserver`.

pub mod admission;
pub mod authentication;
pub mod authorization;
pub mod endpoints;
mod filters;
pub mod mutants;
pub mod object;
pub mod registry;
pub mod request_info;
pub mod server;
pub mod storage;
