//! Orders as a user meets them, on a real PostgreSQL: what may be created, changed and deleted, and what
//! is written with it.

mod create;
mod end;
mod fixture;
mod idempotency;
mod update;
