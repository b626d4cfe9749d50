//! Storage against a real PostgreSQL: the invariants stated in `storage/mod.rs`, and every promise of
//! list and watch. Two small resources stand for all: `notes`, which are cached, and `entries`, an
//! append-only log that is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "json!({}) reads better than &json!({})"
)]

mod barrier;
mod crash;
mod durability;
mod failure;
mod fixture;
mod forerunner;
mod history;
mod list;
mod log;
mod metrics;
mod order;
mod prepare;
mod replicas;
mod set;
mod slow;
mod watch;
mod write;
