//! The sample API of Kubernetes, `wardle.example.com`, on the library: proof that the library serves other
//! resources than those it was made for, unchanged.
//!
//! ```text
//! v1beta1    flunders                   the version stored
//! v1alpha1   flunders                   converted
//!            fischers, fischers/bump    a bump changes every flunder with a label: the set mutation
//! ```
//!
//! Kinds, defaults and validation are those of upstream's `k8s.io/sample-apiserver`, and so are the flags.
//! It differs on purpose: flunders are stored as v1beta1 instead of v1alpha1, because a version that can
//! say all the other can is the one to store; updates are validated as creates are; a reference type that
//! does not exist is refused in v1alpha1 too, where upstream drops it; and `fischers/bump` is ours.
//!
//! For tests alone: nothing bounds how many flunders one bump changes.

mod admission;
mod api;
mod bump;
mod fischer;
mod flunder;
mod install;
mod options;
mod request_header;
mod server;
mod serving_certificate;
pub mod v1alpha1;
pub mod v1beta1;

pub use admission::BanFlunder;
pub use flunder::FlunderStrategy;
pub use install::{api_group, migrator, storage};
pub use options::Options;
pub use server::run;

/// The API group.
pub const GROUP: &str = "wardle.example.com";

/// Upstream's number, which OpenAPI and `/version` show.
pub const VERSION: &str = "0.1.0";
