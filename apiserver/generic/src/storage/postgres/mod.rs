//! Everything that speaks SQL: connections, the statements of a resource's table, the writer, the
//! change log and the nudges between replicas.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/storage/etcd3`.

pub(crate) mod change_log;
mod connection;
pub(crate) mod epoch;
pub(crate) mod nudge;
pub(crate) mod prune;
mod resources;
pub(crate) mod writer;

pub(crate) use change_log::object;
pub(crate) use connection::{connect, pool, read, unreachable};
pub(crate) use resources::{Resource, Resources, statement};
