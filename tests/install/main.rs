//! What an administrator of a hub does, on a real kube-apiserver with nothing of the product on it: the
//! shipped manifests are applied, the server runs as a process with its own account, and certificates
//! are rotated under load. No kubelet runs here: where one would report on pods, a test does.
//!
//! Needs the programs of this workspace beside it (`cargo build --workspace --bins`) and Go, which
//! builds the control plane.

mod account;
mod availability;
mod ending;
mod guide;
mod hub;
mod load;
mod local_up;
mod manifests;
mod mark;
mod outage;
mod plane;
mod rights;
mod rotation;
mod server;
mod site;
