//! What the server fills in where a user wrote nothing.
//!
//! Pure, and idempotent: defaulting an object twice changes nothing. The accessors on the specs give the same answers
//! for objects that were never defaulted, so that nobody repeats a number.

use super::v1alpha1::{
    Agent, AgentConcurrency, AgentSpec, Duration, RetryPolicy, SideEffects, WorkOrder, WorkOrderSpec,
    WorkType,
};

/// `retryPolicy.maxRetries` of every work type but workflow.
pub const MAX_RETRIES: i64 = 3;
/// `retryPolicy.maxRetries` of workflow, whose steps Tekton retries itself.
pub const MAX_RETRIES_OF_WORKFLOW: i64 = 0;
/// `retryPolicy.backoffSeconds`.
pub const BACKOFF_SECONDS: i64 = 60;
/// `retryPolicy.maxBackoffSeconds`, unless backoffSeconds is longer.
pub const MAX_BACKOFF_SECONDS: i64 = 3600;
/// `retryPolicy.maxLostAttempts`.
pub const MAX_LOST_ATTEMPTS: i64 = 3;
/// `timeout`, in seconds, unless claimTimeoutSeconds is shorter.
pub const TIMEOUT_SECONDS: u64 = 900;
/// `claimTimeoutSeconds`.
pub const CLAIM_TIMEOUT_SECONDS: i64 = 3600;
/// `ttlSecondsAfterFinished`.
pub const TTL_SECONDS_AFTER_FINISHED: i64 = 3600;
/// `priority`.
pub const PRIORITY: i64 = 0;
/// `concurrency.total` of an Agent.
pub const CONCURRENCY_TOTAL: i64 = 5;
/// `leaseSeconds` of an Agent.
pub const LEASE_SECONDS: i64 = 60;

/// The limits of a retry policy, defaults included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimits {
    /// How many failed attempts are tried again.
    pub max_retries: i64,
    /// The wait before the first retry, in seconds.
    pub backoff_seconds: i64,
    /// The longest wait between two attempts, in seconds.
    pub max_backoff_seconds: i64,
    /// How many attempts may be lost.
    pub max_lost_attempts: i64,
}

/// Fills in the defaults of an order. `spec.workType` stays as submitted, aliases included.
pub fn default_work_order(order: &mut WorkOrder) {
    let spec = &mut order.spec;
    let limits = spec.retry_limits();
    let policy = spec.retry_policy.get_or_insert_with(RetryPolicy::default);
    policy.max_retries = Some(limits.max_retries);
    policy.backoff_seconds = Some(limits.backoff_seconds);
    policy.max_backoff_seconds = Some(limits.max_backoff_seconds);
    policy.max_lost_attempts = Some(limits.max_lost_attempts);
    spec.side_effects = Some(spec.side_effects_or_default());
    spec.timeout = Some(spec.timeout_or_default());
    spec.claim_timeout_seconds.get_or_insert(CLAIM_TIMEOUT_SECONDS);
    spec.ttl_seconds_after_finished
        .get_or_insert(TTL_SECONDS_AFTER_FINISHED);
    spec.priority.get_or_insert(PRIORITY);
    spec.suspend.get_or_insert(false);
}

/// Fills in the defaults of an agent.
pub fn default_agent(agent: &mut Agent) {
    let spec = &mut agent.spec;
    let concurrency = spec.concurrency.get_or_insert_with(AgentConcurrency::default);
    concurrency.total.get_or_insert(CONCURRENCY_TOTAL);
    spec.lease_seconds.get_or_insert(LEASE_SECONDS);
    spec.unschedulable.get_or_insert(false);
}

impl WorkOrderSpec {
    /// What `workType` stands for; None if this version does not support it.
    pub fn canonical_work_type(&self) -> Option<WorkType> {
        WorkType::canonical(&self.work_type)
    }

    /// The limits of the retry policy, with the defaults of the work type.
    pub fn retry_limits(&self) -> RetryLimits {
        let max_retries = match self.canonical_work_type() {
            Some(WorkType::Workflow) => MAX_RETRIES_OF_WORKFLOW,
            Some(WorkType::Build | WorkType::CodeTask | WorkType::Job) | None => MAX_RETRIES,
        };
        let policy = self.retry_policy.as_ref();
        let or = |field: Option<Option<i64>>, default| field.flatten().unwrap_or(default);
        let backoff_seconds = or(policy.map(|policy| policy.backoff_seconds), BACKOFF_SECONDS);
        let cap = MAX_BACKOFF_SECONDS.max(backoff_seconds);
        RetryLimits {
            max_retries: or(policy.map(|policy| policy.max_retries), max_retries),
            backoff_seconds,
            max_backoff_seconds: or(policy.map(|policy| policy.max_backoff_seconds), cap),
            max_lost_attempts: or(policy.map(|policy| policy.max_lost_attempts), MAX_LOST_ATTEMPTS),
        }
    }

    /// Whether running the work twice may do harm: Idempotent for build, NonIdempotent for all others.
    pub fn side_effects_or_default(&self) -> SideEffects {
        self.side_effects
            .clone()
            .unwrap_or(match self.canonical_work_type() {
                Some(WorkType::Build) => SideEffects::Idempotent,
                Some(WorkType::Workflow | WorkType::CodeTask | WorkType::Job) | None => {
                    SideEffects::NonIdempotent
                }
            })
    }

    /// How long one run in the engine may take.
    pub fn timeout_or_default(&self) -> Duration {
        let attempt = u64::try_from(self.claim_timeout_seconds_or_default()).unwrap_or(TIMEOUT_SECONDS);
        let default = || Duration::from(std::time::Duration::from_secs(TIMEOUT_SECONDS.min(attempt)));
        self.timeout.clone().unwrap_or_else(default)
    }

    /// The cap on one attempt, in seconds.
    pub fn claim_timeout_seconds_or_default(&self) -> i64 {
        self.claim_timeout_seconds.unwrap_or(CLAIM_TIMEOUT_SECONDS)
    }

    /// How long the finished order stays visible, in seconds; None for ever.
    pub fn ttl_seconds(&self) -> Option<i64> {
        Some(
            self.ttl_seconds_after_finished
                .unwrap_or(TTL_SECONDS_AFTER_FINISHED),
        )
        .filter(|ttl| *ttl >= 0)
    }

    /// The priority.
    pub fn priority_or_default(&self) -> i64 {
        self.priority.unwrap_or(PRIORITY)
    }

    /// Whether claiming is stopped.
    pub fn is_suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }
}

impl AgentSpec {
    /// How many orders of all types the agent may hold at once.
    pub fn concurrency_total(&self) -> i64 {
        self.concurrency
            .as_ref()
            .and_then(|concurrency| concurrency.total)
            .unwrap_or(CONCURRENCY_TOTAL)
    }

    /// How many orders of one type the agent may hold at once: its own limit, or that of all types.
    pub fn concurrency_of(&self, work_type: &str) -> i64 {
        let of_type = self
            .concurrency
            .as_ref()
            .and_then(|concurrency| concurrency.by_type.get(work_type));
        of_type.copied().unwrap_or_else(|| self.concurrency_total())
    }

    /// How long a claim lives without a renewal, in seconds.
    pub fn lease_seconds_or_default(&self) -> i64 {
        self.lease_seconds.unwrap_or(LEASE_SECONDS)
    }

    /// Whether the agent is kept from claiming more.
    pub fn is_unschedulable(&self) -> bool {
        self.unschedulable.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaulted(work_type: &str) -> WorkOrderSpec {
        let spec = WorkOrderSpec {
            work_type: work_type.to_owned(),
            ..WorkOrderSpec::default()
        };
        let mut order = WorkOrder::new("a", spec);
        default_work_order(&mut order);
        order.spec
    }

    #[test]
    fn a_build_gets_the_values_of_the_requirements() {
        let spec = defaulted("build");
        let policy = spec.retry_policy.clone().unwrap();
        let limits = (
            policy.max_retries,
            policy.backoff_seconds,
            policy.max_backoff_seconds,
            policy.max_lost_attempts,
        );
        assert_eq!(limits, (Some(3), Some(60), Some(3600), Some(3)));
        assert_eq!(spec.side_effects, Some(SideEffects::Idempotent));
        assert_eq!(spec.timeout, Some(Duration::from_text("15m")));
        assert_eq!(spec.claim_timeout_seconds, Some(3600));
        assert_eq!(spec.ttl_seconds_after_finished, Some(3600));
        assert_eq!((spec.priority, spec.suspend), (Some(0), Some(false)));
        assert_eq!(spec.active_deadline_seconds, None);
    }

    #[test]
    fn the_alias_of_build_is_a_build_and_keeps_its_name() {
        let spec = defaulted("shipwright-build");
        assert_eq!(spec.work_type, "shipwright-build");
        assert_eq!(spec.canonical_work_type(), Some(WorkType::Build));
        assert_eq!(spec.side_effects, Some(SideEffects::Idempotent));
    }

    #[test]
    fn other_types_may_do_harm_twice_and_workflows_are_not_retried() {
        for (work_type, max_retries) in [("workflow", 0), ("code-task", 3), ("job", 3)] {
            let spec = defaulted(work_type);
            assert_eq!(spec.side_effects, Some(SideEffects::NonIdempotent), "{work_type}");
            assert_eq!(spec.retry_limits().max_retries, max_retries, "{work_type}");
        }
    }

    #[test]
    fn what_a_user_wrote_stays_and_a_second_pass_changes_nothing() {
        let spec = WorkOrderSpec {
            work_type: "workflow".to_owned(),
            retry_policy: Some(RetryPolicy {
                max_retries: Some(2),
                ..RetryPolicy::default()
            }),
            side_effects: Some(SideEffects::None),
            ttl_seconds_after_finished: Some(-1),
            suspend: Some(true),
            ..WorkOrderSpec::default()
        };
        let mut order = WorkOrder::new("a", spec);
        default_work_order(&mut order);
        let once = order.clone();
        default_work_order(&mut order);
        assert_eq!(order, once);
        assert_eq!(order.spec.retry_limits().max_retries, 2);
        assert_eq!(order.spec.side_effects, Some(SideEffects::None));
        assert_eq!((order.spec.ttl_seconds(), order.spec.suspend), (None, Some(true)));
    }

    #[test]
    fn a_default_never_contradicts_what_a_user_wrote() {
        let spec = WorkOrderSpec {
            retry_policy: Some(RetryPolicy {
                backoff_seconds: Some(7200),
                ..RetryPolicy::default()
            }),
            claim_timeout_seconds: Some(300),
            ..WorkOrderSpec::default()
        };
        assert_eq!(spec.retry_limits().max_backoff_seconds, 7200);
        assert_eq!(spec.timeout_or_default().as_str(), "5m");
    }

    #[test]
    fn an_agent_holds_five_orders_for_a_minute_each() {
        let mut agent = Agent::default();
        default_agent(&mut agent);
        assert_eq!(
            (agent.spec.concurrency_total(), agent.spec.lease_seconds),
            (5, Some(60))
        );
        assert_eq!(agent.spec.concurrency_of("build"), 5);
        agent
            .spec
            .concurrency
            .as_mut()
            .unwrap()
            .by_type
            .insert("build".to_owned(), 2);
        assert_eq!(agent.spec.concurrency_of("build"), 2);
    }
}
