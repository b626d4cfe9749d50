//! A row of expectations for every reason: a reason added to the table without one fails.

use std::collections::BTreeSet;

use super::*;

/// What happens to a run that failed for a reason, had started, and was seen to end.
///
/// Columns: the reason; class of an idempotent build; class of an idempotent job; class of a job that may do harm.
const EXPECTED: &[(&str, FailureClass, FailureClass, FailureClass)] = {
    use FailureClass::{Cancelled as C, Permanent as P, Retryable as R, RetryableNotCharged as N};
    &[
        (BUILD_STRATEGY_NOT_FOUND, P, P, P),
        (INVALID_IMAGE, P, P, P),
        (INVALID_DOCKERFILE, P, P, P),
        (IMAGE_PUSH_FAILED, R, R, R),
        (REGISTRY_UNAUTHORIZED, P, P, P),
        (IMAGE_PULL_FAILED, R, R, R),
        (GIT_REMOTE_FAILED, R, R, R),
        (GIT_CONFIG_ERROR, P, P, P),
        (GIT_PUSH_REJECTED, R, R, R),
        (INVALID_SPEC, P, P, P),
        (REFERENCE_NOT_FOUND, P, P, P),
        (TIMEOUT, R, R, P),
        (EVICTED, N, N, P),
        (NODE_LOST, N, N, P),
        (NO_MATCHING_NODE, R, R, R),
        (OUT_OF_MEMORY, P, P, P),
        (VULNERABILITIES_FOUND, P, P, P),
        (CONTROLLER_ERROR, R, R, R),
        (PIPELINE_INVALID, P, P, P),
        (VERIFICATION_FAILED, P, P, P),
        (TASK_FAILED, P, R, P),
        (MODEL_UNAVAILABLE, R, R, R),
        (MODEL_UNAUTHORIZED, P, P, P),
        (LIMIT_REACHED, P, P, P),
        (CANCELLED, C, C, C),
        (API_UNAVAILABLE, N, N, N),
        (FORBIDDEN, P, P, P),
        (AGENT_LOST, N, N, P),
        (NAMESPACE_TERMINATING, P, P, P),
        (DEADLINE_EXCEEDED, P, P, P),
        (UNKNOWN, R, R, P),
    ]
};

fn ended(reason: &str) -> Failure<'_> {
    Failure {
        reason,
        source_reason: None,
        exit_code: None,
        scope: None,
        execution_started: true,
        child_confirmed_ended: true,
    }
}

fn policy(work_type: WorkType, side_effects: SideEffects) -> Policy<'static> {
    Policy {
        retry_on: &[],
        never_retry_on: &[],
        side_effects,
        work_type: Some(work_type),
    }
}

fn harmless() -> Policy<'static> {
    policy(WorkType::Job, SideEffects::Idempotent)
}

fn harmful() -> Policy<'static> {
    policy(WorkType::Job, SideEffects::NonIdempotent)
}

#[test]
fn every_reason_is_classed_as_expected() {
    for (reason, build, job, harmful_job) in EXPECTED.iter().copied() {
        let class = |policy: &Policy<'_>| decide(&ended(reason), policy).class;
        assert_eq!(
            class(&policy(WorkType::Build, SideEffects::Idempotent)),
            build,
            "{reason}, build"
        );
        assert_eq!(class(&harmless()), job, "{reason}, idempotent job");
        assert_eq!(class(&harmful()), harmful_job, "{reason}, job that may do harm");
    }
}

#[test]
fn every_row_has_an_expectation_and_advice() {
    let expected: BTreeSet<_> = EXPECTED.iter().map(|row| row.0).collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(expected, rows);
    assert_eq!(rows.len(), TABLE.len(), "a reason is listed twice");
    for row in TABLE {
        assert!(row.advice.ends_with('.'), "{}", row.name);
    }
}

#[test]
fn no_source_word_leads_to_two_reasons() {
    let mut seen = BTreeSet::new();
    for row in TABLE {
        for source in row.sources {
            assert!(seen.insert(source), "{source} is listed twice");
            assert_eq!(from_source(source), Some(row));
        }
    }
    assert_eq!(from_source("SomethingNew"), None);
}

#[test]
fn a_harmful_run_that_may_be_alive_is_never_started_again() {
    for row in TABLE
        .iter()
        .filter(|row| !matches!(row.class, ReasonClass::Cancelled | ReasonClass::Final))
    {
        let failure = Failure {
            child_confirmed_ended: false,
            ..ended(row.name)
        };
        let named = [row.name.to_owned()];
        let policy = Policy {
            retry_on: &named,
            ..harmful()
        };
        let decision = decide(&failure, &policy);
        assert_eq!(
            (decision.class, decision.rule),
            (FailureClass::Permanent, "RunMayBeAlive"),
            "{}",
            row.name
        );
        assert!(!decision.elsewhere, "{}", row.name);
    }
}

#[test]
fn a_timeout_of_a_harmless_run_is_retried_even_unconfirmed() {
    let decision = decide(&Failure::unobserved(TIMEOUT), &harmless());
    assert_eq!(
        (decision.class, decision.rule),
        (FailureClass::Retryable, "Table")
    );
}

#[test]
fn users_decide_by_reason_by_source_reason_and_by_exit_code() {
    let failure = Failure {
        source_reason: Some("StepFailed"),
        exit_code: Some(75),
        ..ended(TASK_FAILED)
    };
    for entry in ["TaskFailed", "StepFailed", "ExitCode:75"] {
        let list = [entry.to_owned()];
        let retried = decide(
            &failure,
            &Policy {
                retry_on: &list,
                ..harmful()
            },
        );
        assert_eq!(
            (retried.class, retried.rule),
            (FailureClass::Retryable, "RetryOn"),
            "{entry}"
        );
        let refused = decide(
            &failure,
            &Policy {
                never_retry_on: &list,
                retry_on: &list,
                ..harmless()
            },
        );
        assert_eq!(
            (refused.class, refused.rule),
            (FailureClass::Permanent, "NeverRetryOn"),
            "{entry}"
        );
    }
    for entry in ["ExitCode:7", "ExitCode:", "ExitCode:x", "taskfailed"] {
        let list = [entry.to_owned()];
        assert_eq!(
            decide(
                &failure,
                &Policy {
                    retry_on: &list,
                    ..harmful()
                }
            )
            .rule,
            "SideEffects",
            "{entry}"
        );
    }
}

#[test]
fn nothing_overrides_the_end_of_the_order() {
    for reason in [NAMESPACE_TERMINATING, DEADLINE_EXCEEDED, CANCELLED] {
        let list = [reason.to_owned()];
        let decision = decide(
            &ended(reason),
            &Policy {
                retry_on: &list,
                ..harmless()
            },
        );
        assert!(!matches!(decision.class, FailureClass::Retryable), "{reason}");
    }
}

#[test]
fn a_failure_of_the_agents_cluster_may_be_tried_elsewhere() {
    let forbidden = Failure {
        execution_started: false,
        ..ended(FORBIDDEN)
    };
    assert!(decide(&forbidden, &harmful()).elsewhere);
    assert!(
        decide(
            &Failure {
                execution_started: true,
                ..forbidden
            },
            &harmless()
        )
        .elsewhere
    );
    assert!(
        !decide(
            &Failure {
                execution_started: true,
                ..forbidden
            },
            &harmful()
        )
        .elsewhere
    );
    let order = Failure {
        scope: Some(FailureScope::Order),
        ..forbidden
    };
    assert!(
        !decide(&order, &harmless()).elsewhere,
        "the agent's word wins over the table"
    );
    let list = [FORBIDDEN.to_owned()];
    assert!(
        !decide(
            &forbidden,
            &Policy {
                never_retry_on: &list,
                ..harmless()
            }
        )
        .elsewhere
    );
}

#[test]
fn a_reason_of_a_newer_agent_is_treated_as_unknown() {
    for (policy, class) in [
        (harmless(), FailureClass::Retryable),
        (harmful(), FailureClass::Permanent),
    ] {
        assert_eq!(decide(&ended("FluxCapacitorEmpty"), &policy).class, class);
        assert_eq!(
            decide(&ended("FluxCapacitorEmpty"), &policy),
            decide(&ended(UNKNOWN), &policy)
        );
    }
}

#[test]
fn what_an_agent_leaves_out_is_taken_for_the_worse_case() {
    let silent = WorkOrderCompletionSpec::default();
    let failure = Failure::reported(&silent);
    assert!(failure.execution_started && !failure.child_confirmed_ended);
    assert_eq!(failure.reason, UNKNOWN);
    let unstarted = WorkOrderCompletionSpec {
        execution_started: Some(false),
        ..silent
    };
    assert!(Failure::reported(&unstarted).child_confirmed_ended);
}
