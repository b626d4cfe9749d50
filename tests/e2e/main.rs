//! End to end: kubectl, kube-rs and client-go against a real kube-apiserver, the real Tekton and Shipwright
//! controllers, PostgreSQL, the server behind its APIService, and an agent with nothing but tokens.
//!
//! The sample API server of `tests/wardle` comes and goes on the same control plane.
//!
//! All tests share one installation. Tests that stop a program of it hold `disruption()` alone; all
//! others hold it together with each other.

mod access;
mod agents;
mod client_go;
mod faults;
mod garbage;
mod kube_rs;
mod kubectl;
mod main_job;
mod metrics;
mod namespaces;
mod outage;
mod outcomes;
mod quota;
mod rights;
mod sample_api;
mod sample_server;

use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static DISRUPTION: RwLock<()> = RwLock::const_new(());

/// Held by a test that needs everything running.
async fn undisturbed() -> RwLockReadGuard<'static, ()> {
    DISRUPTION.read().await
}

/// Held by a test that stops a program. It lets tests begin that need everything, however long they last:
/// queued in order, one that takes minutes would hold up all others behind the first that disrupts.
async fn disruption() -> RwLockWriteGuard<'static, ()> {
    loop {
        if let Ok(alone) = DISRUPTION.try_write() {
            return alone;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
