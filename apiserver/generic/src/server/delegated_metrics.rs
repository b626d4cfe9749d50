//! What is counted of client certificates, and of the questions about callers that kube-apiserver is asked.
//!
//! Upstream concept: the metrics of `authentication/authenticatorfactory`, `authorization/authorizerfactory`
//! and `authentication/request/x509`; names, labels and buckets are theirs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use telemetry::{MetricsRegistry, prometheus_client};

/// Upper bounds in seconds.
const CALL_BUCKETS: [f64; 8] = [0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0];

/// Upper bounds in seconds: over, then half an hour to a year.
const LIFETIME_BUCKETS: [f64; 14] = [
    0.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
];

/// What kube-apiserver answers a review that it took. The client tells the codes of refusals alone.
const CREATED: u16 = 201;

/// Stands for the code of an attempt that nobody answered.
const NO_ANSWER: &str = "<error>";

/// The counts of all parts of delegated authentication and authorization.
#[derive(Clone, Debug, Default)]
pub(crate) struct DelegatedMetrics {
    pub(crate) token_reviews: ReviewCalls,
    pub(crate) access_reviews: ReviewCalls,
    pub(crate) certificates: CertificateLifetimes,
}

/// Calls of kube-apiserver by the code of their answer; each attempt is one.
#[derive(Clone, Debug)]
pub(crate) struct ReviewCalls {
    counts: Family<CodeLabel, Counter>,
    durations: Family<CodeLabel, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

/// How long the certificates will last that clients present.
#[derive(Clone, Debug)]
pub(crate) struct CertificateLifetimes(Histogram);

impl DelegatedMetrics {
    pub(crate) fn register(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "apiserver_client_certificate_expiration_seconds",
            &[],
            "Time that client certificates had left when they were presented, believed or not; the front proxy's \
             is not counted",
            self.certificates.0.clone(),
        );
        registry.register(
            "apiserver_delegated_authn_request_total",
            &["code"],
            "TokenReviews asked of kube-apiserver, every attempt by the code of its answer",
            self.token_reviews.counts.clone(),
        );
        registry.register(
            "apiserver_delegated_authn_request_duration_seconds",
            &["code"],
            "Time until an attempt of a TokenReview was answered or given up",
            self.token_reviews.durations.clone(),
        );
        registry.register(
            "apiserver_delegated_authz_request_total",
            &["code"],
            "SubjectAccessReviews asked of kube-apiserver, every attempt by the code of its answer",
            self.access_reviews.counts.clone(),
        );
        registry.register(
            "apiserver_delegated_authz_request_duration_seconds",
            &["code"],
            "Time until an attempt of a SubjectAccessReview was answered or given up",
            self.access_reviews.durations.clone(),
        );
    }
}

impl Default for ReviewCalls {
    fn default() -> Self {
        Self {
            counts: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS)),
        }
    }
}

impl ReviewCalls {
    /// Adds an attempt with its answer, which took this long.
    pub(crate) fn add<T>(&self, answer: &Result<T, kube::Error>, took: Duration) {
        let code = match answer {
            Ok(_) => CREATED.to_string(),
            Err(kube::Error::Api(status)) => status.code.to_string(),
            Err(_) => NO_ANSWER.to_owned(),
        };
        let label = CodeLabel { code };
        self.counts.get_or_create(&label).inc();
        self.durations.get_or_create(&label).observe(took.as_secs_f64());
    }
}

impl Default for CertificateLifetimes {
    fn default() -> Self {
        Self(Histogram::new(LIFETIME_BUCKETS))
    }
}

impl CertificateLifetimes {
    /// Adds a certificate that ends then, in seconds since 1970.
    pub(crate) fn add(&self, not_after: i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.observe(not_after as f64 - now.as_secs_f64());
    }
}
