//! The agent of Brokkr Work: claims orders from a hub and runs them in its own cluster.
//!
//! The path of an order: [`doorbell`] (or a poll) -> [`agent`] claims -> [`worker`]: [`apply`], [`handler`] runs it,
//! [`outcome`] says how it ended, [`report`] -> hub. [`renewal`] keeps what is held alive meanwhile; [`claim`] is the
//! table of it. [`hub`] and [`cluster`] are the two connections, both outbound.
//!
//! It owns no controller: it watches what it started, by name, and keeps nothing on disk. Whatever it must know after
//! a restart is on the hub (its claims) or in the cluster (runs with names that follow from order and attempt).

pub mod agent;
pub mod apply;
pub mod claim;
pub mod cluster;
pub mod config;
pub mod doorbell;
pub mod handler;
pub mod health;
pub mod hub;
pub mod logging;
pub mod metrics;
pub mod options;
pub mod outcome;
pub mod permissions;
pub mod progress;
pub mod renewal;
pub mod report;
pub mod status;
pub mod status_listener;
pub mod worker;
