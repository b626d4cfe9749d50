//! Orders as a user meets them, on a real PostgreSQL: what may be created, changed and deleted, and what
//! is written with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod clock;
mod create;
mod end;
mod events;
mod fixture;
mod idempotency;
mod log;
mod migrations;
mod update;
