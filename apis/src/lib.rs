//! Types, defaulting and validation of the API group `work.brokkr.io`.
//!
//! The server, the agent, the tests and any Rust client use this one crate. It is pure: it reads no clock, opens no
//! file and no socket, and starts no task, so every rule in it can be tested with values alone.
//!
//! What it leaves out: how objects are stored, who may write them, and what happens to a claim over time. Those are
//! the server's; the words they use (phases, conditions, reasons) are defined here.
//!
//! - [`work::v1alpha1`] holds one kind per file.
//! - [`work::defaults`] fills in what a user left out.
//! - [`work::validation`] lists what is wrong with an object, field by field.
//! - [`validation`] has the field errors themselves, in the words of upstream's `field.Error`.

pub mod string_enum;

pub mod schema;
pub mod type_meta;
pub mod validation;
pub mod work;

/// The API group served by the aggregated API server.
pub const GROUP: &str = "work.brokkr.io";
