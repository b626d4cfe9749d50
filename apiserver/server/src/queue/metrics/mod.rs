//! What the queue counts of itself, and what it reads at a scrape.
//!
//! | kind | over replicas |
//! |---|---|
//! | counters and histograms of requests, rings, and of what has fallen due | each replica counts what it did: sum them |
//! | orders, waiting time, leases, agents; orders created and finished | every replica tells the whole: take the max |
//!
//! Each help text says which of the two it is. Nothing names an order, a namespace or an agent.

mod readings;

pub use self::readings::QueueReadings;
pub(crate) use self::readings::{ENTRY_FIELDS, ORDER_FIELDS};

use brokkr_apis::work::v1alpha1::{WorkOrderPhase, reasons};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use telemetry::{MetricsRegistry, prometheus_client};

use super::RenewedClaim;
use super::claim::{ClaimAnswer, ClaimRefusal, Grant};
use super::report::{CompleteInput, Completed, ReportRefusal};
use super::sweep::Due;
use crate::lifecycle::Refusal;

/// The counters of one replica; clones share them.
#[derive(Clone, Debug)]
pub struct QueueMetrics {
    granted: Family<TypeLabel, Counter>,
    empty: Counter,
    claim_wait: Family<TypeLabel, Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    renewals: Counter,
    completions: Family<CompletionLabels, Counter>,
    releases: Family<ReleaseLabel, Counter>,
    due: Family<DueLabel, Counter>,
    rings: Family<RingLabel, Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    work_type: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    request: &'static str,
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CompletionLabels {
    outcome: &'static str,
    reason: &'static str,
    phase: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReleaseLabel {
    forced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DueLabel {
    event: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RingLabel {
    cause: &'static str,
}

impl Default for QueueMetrics {
    fn default() -> Self {
        Self {
            granted: Family::default(),
            empty: Counter::default(),
            // From 10 ms to almost three hours.
            claim_wait: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.01, 2.0, 20))),
            refusals: Family::default(),
            renewals: Counter::default(),
            completions: Family::default(),
            releases: Family::default(),
            due: Family::default(),
            rings: Family::default(),
        }
    }
}

impl QueueMetrics {
    pub(super) fn claimed(&self, named: bool, dry_run: bool, answer: &ClaimAnswer) {
        match answer {
            _ if dry_run => {}
            Ok(grants) if grants.is_empty() && !named => {
                self.empty.inc();
            }
            Ok(grants) => grants.iter().for_each(|grant| self.grant(grant)),
            Err(refusal) => self.refused("claim", claim_reason(refusal)),
        }
    }

    /// A claim that begins no attempt, got back or taken over, is no new claim.
    fn grant(&self, grant: &Grant) {
        let Some(waited) = grant.waited else { return };
        let order = grant.order.as_deref();
        let work_type = order.and_then(|order| order.spec.canonical_work_type());
        let label = TypeLabel {
            work_type: work_type.map_or("unknown", |work_type| work_type.as_str()),
        };
        self.granted.get_or_create(&label).inc();
        self.claim_wait
            .get_or_create(&label)
            .observe(waited.as_secs_f64().max(0.0));
    }

    pub(super) fn renewed(&self, answers: &[Result<RenewedClaim, ReportRefusal>]) {
        for answer in answers {
            match answer {
                Ok(_) => {
                    self.renewals.inc();
                }
                Err(refusal) => self.refused("renew", report_reason(refusal)),
            }
        }
    }

    pub(super) fn completed(&self, report: CompletionReport, dry_run: bool, answer: &Completed) {
        match answer {
            _ if dry_run => {}
            Ok(status) => {
                let phase = status.phase.map_or("", |phase| phase.as_str());
                let CompletionReport { outcome, reason } = report;
                let labels = CompletionLabels {
                    outcome,
                    reason,
                    phase,
                };
                self.completions.get_or_create(&labels).inc();
            }
            Err(refusal) => self.refused("complete", report_reason(refusal)),
        }
    }

    pub(super) fn released(
        &self,
        forced: bool,
        dry_run: bool,
        answer: &Result<WorkOrderPhase, ReportRefusal>,
    ) {
        match answer {
            _ if dry_run => {}
            Ok(_) => {
                self.releases.get_or_create(&ReleaseLabel { forced }).inc();
            }
            Err(refusal) => self.refused("release", report_reason(refusal)),
        }
    }

    pub(super) fn swept(&self, due: &[Due]) {
        for event in due {
            let event = event.as_str();
            self.due.get_or_create(&DueLabel { event }).inc();
        }
    }

    pub(super) fn rung(&self, cause: RingCause, agents: usize) {
        let cause = match cause {
            RingCause::Claimable => "claimable",
            RingCause::Holder => "holder",
            RingCause::Again => "again",
        };
        self.rings
            .get_or_create(&RingLabel { cause })
            .inc_by(agents as u64);
    }

    fn refused(&self, request: &'static str, reason: &'static str) {
        self.refusals
            .get_or_create(&RefusalLabels { request, reason })
            .inc();
    }

    fn register(&self, registry: &mut MetricsRegistry) {
        self.register_claims(registry);
        self.register_reports(registry);
        registry.register(
            "brokkr_work_due_total",
            &["event"],
            "What time did to orders: leaseLost, backoff (a retry became due), attemptCap, deadline, \
             cancelDeadline, ttl; sum over replicas",
            self.due.clone(),
        );
        registry.register(
            "brokkr_work_rings_total",
            &["cause"],
            "Rings of agents: claimable (orders wait), holder (its claim is to end or has ended), again (an earlier \
             ring was not answered within a second); sum over replicas",
            self.rings.clone(),
        );
    }

    fn register_claims(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "brokkr_work_claims_granted_total",
            &["work_type"],
            "Claims that began an attempt; sum over replicas",
            self.granted.clone(),
        );
        registry.register(
            "brokkr_work_claims_empty_total",
            &[],
            "Batch claims that found nothing to claim; sum over replicas",
            self.empty.clone(),
        );
        registry.register(
            "brokkr_work_claim_wait_seconds",
            &["work_type"],
            "Time from when an order could be claimed (created, resumed, or due for a retry) to its claim; sum over \
             replicas",
            self.claim_wait.clone(),
        );
        registry.register(
            "brokkr_work_refusals_total",
            &["request", "reason"],
            "Requests of holders that were refused, by request (claim, renew, complete, release) and reason; a report \
             with reason fence-spent is kept as a late report; sum over replicas",
            self.refusals.clone(),
        );
    }

    fn register_reports(&self, registry: &mut MetricsRegistry) {
        registry.register(
            "brokkr_work_renewals_total",
            &[],
            "Claims renewed; sum over replicas",
            self.renewals.clone(),
        );
        registry.register(
            "brokkr_work_completions_total",
            &["outcome", "reason", "phase"],
            "Reports accepted, by the outcome and normalised reason reported and the phase that the order took: \
             RetryPending for a failure that is tried again; sum over replicas",
            self.completions.clone(),
        );
        registry.register(
            "brokkr_work_releases_total",
            &["forced"],
            "Claims given back by their holder, or taken by force; sum over replicas",
            self.releases.clone(),
        );
    }
}

/// Why agents are rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RingCause {
    /// Orders that they could claim have become claimable.
    Claimable,
    /// Their claim is to end, or has ended.
    Holder,
    /// Nobody has answered an earlier ring.
    Again,
}

/// What is counted of a completion, taken before it is handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompletionReport {
    outcome: &'static str,
    reason: &'static str,
}

impl CompletionReport {
    pub(super) fn of(input: &CompleteInput) -> Self {
        let reason = input.report.reason.as_deref().unwrap_or_default();
        Self {
            outcome: input.report.outcome.as_str(),
            reason: match (reasons::lookup(reason), reason) {
                (Some(known), _) => known.name,
                (None, "") => "",
                (None, _) => "other",
            },
        }
    }
}

const fn claim_reason(refusal: &ClaimRefusal) -> &'static str {
    match refusal {
        ClaimRefusal::NoAgent => "no-agent",
        ClaimRefusal::NoOrder => "no-order",
        ClaimRefusal::RequestReused => "request-reused",
        ClaimRefusal::RequestSpent => "request-spent",
        ClaimRefusal::NotTargeted => "not-targeted",
        ClaimRefusal::NotServed(_) => "not-served",
        ClaimRefusal::Excluded => "excluded",
        ClaimRefusal::Unschedulable => "unschedulable",
        ClaimRefusal::AtCapacity { .. } => "at-capacity",
        ClaimRefusal::State { refusal, .. } => state_reason(refusal),
    }
}

const fn report_reason(refusal: &ReportRefusal) -> &'static str {
    match refusal {
        ReportRefusal::NoOrder => "no-order",
        ReportRefusal::OtherAgent(_) => "other-agent",
        ReportRefusal::EndedOtherwise { .. } => "ended-otherwise",
        ReportRefusal::State { refusal, .. } => state_reason(refusal),
    }
}

const fn state_reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Held { .. } => "held",
        Refusal::HeldByOtherProcess { .. } => "held-by-other-process",
        Refusal::NotDue { .. } => "not-due",
        Refusal::Suspended => "suspended",
        Refusal::Finished { .. } => "finished",
        Refusal::FenceSpent => "fence-spent",
        Refusal::NamespaceTerminating => "namespace-terminating",
        Refusal::ExecutionStarted => "execution-started",
        Refusal::NotHeld => "not-held",
        Refusal::Superseded => "superseded",
        Refusal::NotFinished => "not-finished",
    }
}
