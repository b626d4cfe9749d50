//! Bounds the requests in work at once.
//!
//! Upstream concept: `server/filters.WithMaxInFlightLimit`. Left out: priority and fairness, which
//! kube-apiserver already applied to what it proxies.

use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use telemetry::{MetricsRegistry, Reading, Readings};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refusal;
use crate::authentication::UserInfo;
use crate::authorization::is_always_allowed_path;
use crate::request_info::RequestInfo;

/// Two bounds, so that a flood of reads leaves room for writes and the other way round.
#[derive(Debug)]
pub(crate) struct MaxInFlight {
    reads: Arc<Semaphore>,
    mutations: Arc<Semaphore>,
}

impl MaxInFlight {
    /// Bounds of both kinds, at least 1 each.
    pub(crate) fn new(reads_max: usize, mutations_max: usize) -> Self {
        Self {
            reads: Arc::new(Semaphore::new(reads_max)),
            mutations: Arc::new(Semaphore::new(mutations_max)),
        }
    }

    /// Tells how many places of each kind are taken; `self` was made with these bounds.
    pub(crate) fn register(&self, registry: &mut MetricsRegistry, reads_max: usize, mutations_max: usize) {
        let kinds = [
            ("readOnly", Arc::clone(&self.reads), reads_max),
            ("mutating", Arc::clone(&self.mutations), mutations_max),
        ];
        let read = move || {
            let taken = |(kind, places, max): &(&'static str, Arc<Semaphore>, usize)| Reading {
                labels: vec![("request_kind", (*kind).to_owned())],
                value: max.saturating_sub(places.available_permits()) as f64,
            };
            kinds.iter().map(taken).collect()
        };
        registry.register(
            "apiserver_current_inflight_requests",
            &["request_kind"],
            "Requests in work that count against the bound of their kind, readOnly or mutating",
            Readings::gauge(read),
        );
    }

    /// A place, to be held until the answer is sent; None for who needs none: long-running requests, which
    /// would use up the places, the probes, and superusers, who must get through to mend things. Else 429.
    pub(crate) fn admit(
        &self,
        info: &RequestInfo,
        user: &UserInfo,
    ) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        if info.is_long_running() || is_always_allowed_path(&info.path) {
            return Ok(None);
        }
        let reads = matches!(info.verb.as_str(), "get" | "head" | "list" | "watch");
        let places = if reads { &self.reads } else { &self.mutations };
        match Arc::clone(places).try_acquire_owned() {
            Ok(place) => Ok(Some(place)),
            Err(_) if user.is_master() => Ok(None),
            Err(_) => Err(too_many_requests()),
        }
    }
}

fn too_many_requests() -> Refusal {
    let text = "Too many requests, please try again later.\n".to_owned();
    Refusal::plain(StatusCode::TOO_MANY_REQUESTS, text)
        .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
}
