//! `/livez`, `/readyz` and `/healthz`: named checks, one by one at `/livez/<name>`.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/server/healthz`. A check reads a state that someone else keeps
//! up to date; it never calls anyone, so that asking for health cannot hang. Liveness must not depend on
//! PostgreSQL: restarting this server mends no database.

use std::fmt::Write;
use std::sync::Arc;

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::endpoints::Response;
use crate::filters::plain_text;
use crate::request_info::query_values;

type Check = dyn Fn() -> Result<(), String> + Send + Sync;

/// A named check.
#[derive(Clone)]
pub struct HealthCheck {
    name: String,
    check: Arc<Check>,
}

impl HealthCheck {
    /// A check that reads a state. Its error is for the log and for `/readyz/<name>`; the public list
    /// withholds it.
    pub fn new(
        name: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            check: Arc::new(check),
        }
    }
}

/// The checks of a server.
#[derive(Clone, Debug)]
pub struct HealthChecks {
    live: Vec<HealthCheck>,
    ready: Vec<HealthCheck>,
    shutdown: Option<HealthCheck>,
}

impl Default for HealthChecks {
    /// `ping`, which always passes.
    fn default() -> Self {
        Self {
            live: vec![HealthCheck::new("ping", || Ok(()))],
            ready: Vec::new(),
            shutdown: None,
        }
    }
}

impl HealthChecks {
    /// Adds a check without which the process should be restarted. It counts for `/readyz` too.
    #[must_use]
    pub fn live(mut self, check: HealthCheck) -> Self {
        self.live.push(check);
        self
    }

    /// Adds a check without which no traffic should come. Make it pass for good once it passed: a short
    /// outage that makes all replicas unready stops namespace deletion in the whole cluster.
    #[must_use]
    pub fn ready(mut self, check: HealthCheck) -> Self {
        self.ready.push(check);
        self
    }

    /// Makes `/readyz` fail as soon as the server is told to stop.
    pub(super) fn with_shutdown(mut self, stop: CancellationToken) -> Self {
        self.shutdown = Some(HealthCheck::new("shutdown", move || match stop.is_cancelled() {
            true => Err("process is shutting down".to_owned()),
            false => Ok(()),
        }));
        self
    }

    /// The answer, if the path is one of health.
    pub(super) fn answer(&self, path: &str, query: Option<&str>) -> Option<Response> {
        let (endpoint, name) = match path.strip_prefix('/')?.split_once('/') {
            Some((endpoint, name)) => (endpoint, Some(name)),
            None => (&path[1..], None),
        };
        let checks = self.of(endpoint)?;
        match name {
            None => Some(all(endpoint, &checks, query)),
            Some(name) => checks
                .iter()
                .find(|check| check.name == name)
                .map(|check| single(check)),
        }
    }

    fn of(&self, endpoint: &str) -> Option<Vec<&HealthCheck>> {
        let live = self.live.iter();
        Some(match endpoint {
            "livez" => live.collect(),
            "healthz" => live.chain(&self.ready).collect(),
            "readyz" => live.chain(&self.ready).chain(&self.shutdown).collect(),
            _ => return None,
        })
    }
}

fn single(check: &HealthCheck) -> Response {
    match (check.check)() {
        Ok(()) => plain_text(StatusCode::OK, "ok".to_owned()),
        Err(error) => plain_text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("internal server error: {error}\n"),
        ),
    }
}

fn all(endpoint: &str, checks: &[&HealthCheck], query: Option<&str>) -> Response {
    let excluded: Vec<_> = query_values(query, "exclude").collect();
    let mut report = String::new();
    let mut failed = false;
    for check in checks {
        let name = &check.name;
        let line = if excluded.iter().any(|excluded| excluded == name) {
            format!("[+]{name} excluded: ok")
        } else if let Err(error) = (check.check)() {
            tracing::warn!(check = name, error, "{endpoint} check failed");
            failed = true;
            format!("[-]{name} failed: reason withheld")
        } else {
            format!("[+]{name} ok")
        };
        report.push_str(&line);
        report.push('\n');
    }
    let unknown: Vec<String> = excluded
        .iter()
        .filter(|excluded| checks.iter().all(|check| check.name != excluded.as_ref()))
        .map(|excluded| format!("{excluded:?}"))
        .collect();
    if !unknown.is_empty() {
        let list = unknown.join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            report,
            "warn: some health checks cannot be excluded: no matches for {list}"
        );
    }
    match (failed, query_values(query, "verbose").next()) {
        (true, _) => plain_text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{report}{endpoint} check failed\n"),
        ),
        (false, None) => plain_text(StatusCode::OK, "ok".to_owned()),
        (false, Some(_)) => plain_text(StatusCode::OK, format!("{report}{endpoint} check passed\n")),
    }
}

impl std::fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HealthCheck").field(&self.name).finish()
    }
}
