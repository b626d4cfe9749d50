//! Counts requests and times them, with upstream's names, labels and buckets.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/metrics`. Unlike there, requests that were refused
//! before their handler are counted too. What a request belongs to is looked up once, by numbers; what it
//! then adds to are handles. Every label has few values, whatever clients ask for: see [`route`].
//!
//! Left out: self-requests and the queues of priority and fairness, which this server does not have.

mod families;
mod route;
mod series;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use http::request::Parts;
use prometheus_client::metrics::counter::Counter;
use telemetry::{MetricsRegistry, prometheus_client};

use self::families::Families;
use self::route::{Route, Routes};
pub(crate) use self::series::{Open, Series};
use crate::endpoints::ServedResource;
use crate::request_info::RequestInfo;

/// The metrics of the request path.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    routes: Routes,
    families: Families,
    /// What has been asked so far; its size is bounded by the sets that a [`Route`] is made of.
    series: RwLock<HashMap<Route, Arc<Series>>>,
    tls_handshake_errors: Counter,
}

impl RequestMetrics {
    /// The metrics of requests for these resources; others are counted together.
    pub(crate) fn register(registry: &mut MetricsRegistry, served: Vec<ServedResource>) -> Self {
        let tls_handshake_errors = Counter::default();
        registry.register(
            "apiserver_tls_handshake_errors_total",
            &[],
            "Connections that ended in the TLS handshake or did not finish it in time",
            tls_handshake_errors.clone(),
        );
        Self {
            routes: Routes::new(served),
            families: Families::register(registry),
            series: RwLock::default(),
            tls_handshake_errors,
        }
    }

    /// What a request adds to.
    pub(crate) fn series(&self, info: &RequestInfo, parts: &Parts) -> Arc<Series> {
        let route = self.routes.of(info, parts);
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(&route) {
            return Arc::clone(series);
        }
        drop(known);
        let labels = self.routes.labels(route);
        let mut known = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Series::new(&self.families, labels));
        Arc::clone(known.entry(route).or_insert_with(fresh))
    }

    /// The outcome of an authentication that began then: an identity, none, or a credential that is not
    /// believed.
    pub(crate) fn authenticated(&self, result: Result<bool, ()>, begun: Instant) {
        let result = match result {
            Ok(true) => "success",
            Ok(false) => "failure",
            Err(()) => "error",
        };
        self.families.authentication.add(result, begun.elapsed());
    }

    /// The outcome of an authorization that began then.
    pub(crate) fn authorized(&self, result: Result<bool, ()>, begun: Instant) {
        let result = match result {
            Ok(true) => "allowed",
            Ok(false) => "denied",
            Err(()) => "error",
        };
        self.families.authorization.add(result, begun.elapsed());
    }

    /// A connection did not get past its handshake.
    pub(crate) fn handshake_failed(&self) {
        self.tls_handshake_errors.inc();
    }
}
