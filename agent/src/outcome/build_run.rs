//! From a Shipwright BuildRun to an [`Outcome`]: a pure function over the JSON of what was observed.
//!
//! A run has ended when its condition `Succeeded` is True or False; the reason never decides that. Signals are asked
//! in this order, and the first that says something decides:
//!
//! 1. the condition is True;
//! 2. the run was cancelled;
//! 3. `failureDetails.reason`, which the git step and build strategies write;
//! 4. the condition's reason, for words that mean one thing (a missing strategy, a timeout);
//! 5. the container that failed: why it was terminated, its exit code and its message;
//! 6. none: Unknown, with the engine's word kept.
//!
//! Reasons differ between Shipwright and Tekton versions (a newer Tekton's `StepFailed` shows through an older
//! Shipwright), so both vocabularies are in the table of reasons.

use brokkr_apis::work::v1alpha1::{FailureScope, reasons};
use serde_json::Value;

use super::{Failure, Outcome, build_results};

/// The exit code of Shipwright's image processing when a scan found vulnerabilities.
const EXIT_VULNERABILITIES: i32 = 22;
/// The exit code of a process that got SIGKILL, for its memory or because its pod was deleted.
const EXIT_KILLED: i32 = 137;

/// What was seen of a build.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The BuildRun.
    pub build_run: &'a Value,
    /// The Build it refers to, if it could be read: a BuildRun refused for its Build only repeats that reason in text.
    pub build: Option<&'a Value>,
    /// The TaskRun or PipelineRun that executes it, if it exists and was read.
    pub executor: Option<&'a Value>,
    /// Whether the hub asked for the end of the order.
    pub cancel_asked: bool,
}

/// The TaskRun or PipelineRun of a BuildRun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// TaskRun or PipelineRun.
    pub kind: String,
    /// Its name, in the BuildRun's namespace.
    pub name: String,
}

/// The failing container, as far as it is known.
#[derive(Debug, Default)]
struct FailingContainer<'a> {
    name: &'a str,
    exit_code: Option<i32>,
    terminated_reason: &'a str,
}

/// How the run ended; None while it has not.
pub fn outcome(observed: Observed<'_>) -> Option<Outcome> {
    let condition = succeeded_condition(observed.build_run)?;
    match text(condition, "/status") {
        "True" => Some(succeeded(observed, condition)),
        "False" => Some(failed_or_cancelled(observed, condition)),
        _ => None,
    }
}

/// The executor a BuildRun names, once it has one.
pub fn executor(build_run: &Value) -> Option<Executor> {
    let named = |kind: &str, name: &str| {
        (!name.is_empty()).then(|| Executor {
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    };
    let kind = text(build_run, "/status/executor/kind");
    named(kind, text(build_run, "/status/executor/name"))
        .or_else(|| named("TaskRun", text(build_run, "/status/taskRunName")))
}

/// Whether a TaskRun or PipelineRun has ended.
pub fn executor_ended(executor: &Value) -> bool {
    succeeded_condition(executor)
        .is_some_and(|condition| matches!(text(condition, "/status"), "True" | "False"))
}

/// What a running BuildRun says about itself: its name, the condition's reason and message.
pub fn progress_message(build_run: &Value) -> String {
    match succeeded_condition(build_run) {
        Some(condition) => sentence(build_run, condition, ""),
        None => format!(
            "BuildRun {}: waiting for the Shipwright controller",
            text(build_run, "/metadata/name")
        ),
    }
}

/// The failure of a Build that Shipwright has refused to register.
pub fn rejected_build(build: &Value) -> Failure {
    let reason = text(build, "/status/reason");
    let advice = match reason {
        "BuildStrategyNotFound" | "ClusterBuildStrategyNotFound" | "UnknownBuildStrategyKind" => {
            "; once the strategy is there, change or re-create the Build, since Shipwright does not look again"
        }
        _ => "",
    };
    let name = text(build, "/metadata/name");
    let message = format!(
        "Build {name} is not registered: {reason}: {}{advice}",
        text(build, "/status/message")
    );
    Failure::before_start(build_reason(reason), message).with_source(reason)
}

/// The normalised reason of a `Build.status.reason`. What the table does not list is wrong in the Build itself.
fn build_reason(reason: &str) -> &'static str {
    match reason {
        "" => reasons::REFERENCE_NOT_FOUND,
        "UnknownBuildStrategyKind" => reasons::BUILD_STRATEGY_NOT_FOUND,
        other => reasons::from_source(other).map_or(reasons::INVALID_SPEC, |row| row.name),
    }
}

fn succeeded(observed: Observed<'_>, condition: &Value) -> Outcome {
    Outcome::Succeeded {
        results: build_results::results(observed),
        message: sentence(observed.build_run, condition, ""),
    }
}

fn failed_or_cancelled(observed: Observed<'_>, condition: &Value) -> Outcome {
    let reason = text(condition, "/reason");
    let details = text(observed.build_run, "/status/failureDetails/message");
    let message = sentence(observed.build_run, condition, details);
    let execution_started = execution_started(observed, reason);
    let child_confirmed_ended = confirmed_ended(observed, reason);
    if was_cancelled(observed, reason) {
        return Outcome::Cancelled {
            execution_started,
            child_confirmed_ended,
            message,
        };
    }
    let container = failing_container(observed);
    let (normalised, source_reason) = classify(observed, condition, &container);
    Outcome::Failed(Failure {
        reason: normalised,
        source_reason: Some(source_reason),
        exit_code: container.exit_code,
        scope: reasons::lookup(normalised).map_or(FailureScope::Order, |row| row.scope),
        execution_started,
        child_confirmed_ended,
        message,
    })
}

/// `BuildRunCanceled` is only ever written because somebody asked Shipwright to; the other words also stand for a
/// TaskRun stopped behind Shipwright's back, which is a failure unless the end was asked for.
fn was_cancelled(observed: Observed<'_>, reason: &str) -> bool {
    match reason {
        "BuildRunCanceled" => true,
        "Cancelled" | "TaskRunCancelled" => observed.cancel_asked,
        _ => false,
    }
}

/// The normalised reason, and the word it was derived from.
fn classify(
    observed: Observed<'_>,
    condition: &Value,
    container: &FailingContainer<'_>,
) -> (&'static str, String) {
    let detail = text(observed.build_run, "/status/failureDetails/reason");
    let condition_reason = text(condition, "/reason");
    if let Some(row) = reasons::from_source(detail) {
        return (row.name, detail.to_owned());
    }
    if let Some((name, source)) = from_condition(observed, condition) {
        return (name, source);
    }
    let source = if detail.is_empty() {
        condition_reason
    } else {
        detail
    };
    let name = from_container(observed, condition, container).unwrap_or(reasons::UNKNOWN);
    (name, source.to_owned())
}

/// The reason of a condition whose word says enough.
fn from_condition(observed: Observed<'_>, condition: &Value) -> Option<(&'static str, String)> {
    let (reason, message) = (text(condition, "/reason"), text(condition, "/message"));
    let found = match reason {
        // These say that some container failed, not why.
        "Failed" | "StepFailed" | "PipelineRunFailed" => return None,
        "Cancelled" | "TaskRunCancelled" => reasons::UNKNOWN,
        "BuildRegistrationFailed" => return Some(registration_failed(observed, message)),
        "TaskRunImagePullFailed" => pull_failed(message),
        "PodCreationFailed" | "PodAdmissionFailed" if denied_by_admission(message) => {
            reasons::VERIFICATION_FAILED
        }
        other => reasons::from_source(other)?.name,
    };
    Some((found, reason.to_owned()))
}

/// Looks through to the Build's own reason, which the BuildRun repeats only in its message.
fn registration_failed(observed: Observed<'_>, message: &str) -> (&'static str, String) {
    let of_build = observed.build.map_or("", |build| text(build, "/status/reason"));
    if !matches!(of_build, "" | "Succeeded") {
        return (build_reason(of_build), of_build.to_owned());
    }
    let in_message = message
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find_map(|word| reasons::from_source(word).map(|row| (row.name, word.to_owned())));
    in_message.unwrap_or((reasons::REFERENCE_NOT_FOUND, "BuildRegistrationFailed".to_owned()))
}

/// A wrong image name, a refused credential and a registry that is down all arrive as one word.
fn pull_failed(message: &str) -> &'static str {
    if contains_any(
        message,
        &[
            "InvalidImageName",
            "ErrImageNeverPull",
            "manifest unknown",
            "not found",
        ],
    ) {
        reasons::INVALID_IMAGE
    } else if refused(message) {
        reasons::REGISTRY_UNAUTHORIZED
    } else {
        reasons::IMAGE_PULL_FAILED
    }
}

/// The reason that can be read from the container that failed.
fn from_container(
    observed: Observed<'_>,
    condition: &Value,
    container: &FailingContainer<'_>,
) -> Option<&'static str> {
    let details = text(observed.build_run, "/status/failureDetails/message");
    let said = |words: &[&str]| contains_any(details, words);
    if container.terminated_reason == "OOMKilled" {
        return Some(reasons::OUT_OF_MEMORY);
    }
    // Whatever it was about to do, somebody ended it, and nobody says why: a pod deleted, a node drained.
    if container.exit_code == Some(EXIT_KILLED) {
        return Some(reasons::UNKNOWN);
    }
    match container.name {
        "step-image-processing" if container.exit_code == Some(EXIT_VULNERABILITIES) => {
            Some(reasons::VULNERABILITIES_FOUND)
        }
        "step-image-processing" if refused(details) => Some(reasons::REGISTRY_UNAUTHORIZED),
        "step-image-processing" => Some(reasons::IMAGE_PUSH_FAILED),
        // The git step writes a reason unless the executor is a PipelineRun, which drops it.
        name if name.starts_with("step-source-") => Some(reasons::GIT_REMOTE_FAILED),
        _ if said(&[
            "dockerfile parse error",
            "failed to read dockerfile",
            "no such file or directory: Dockerfile",
        ]) =>
        {
            Some(reasons::INVALID_DOCKERFILE)
        }
        name if name.starts_with("step-") => Some(reasons::TASK_FAILED),
        _ => reasons::from_source(text(condition, "/reason")).map(|row| row.name),
    }
}

/// The container that failed: from failureDetails, and its exit code from the executor if that is a TaskRun.
fn failing_container(observed: Observed<'_>) -> FailingContainer<'_> {
    let name = text(observed.build_run, "/status/failureDetails/location/container");
    let steps = observed
        .executor
        .and_then(|run| run.pointer("/status/steps"))
        .and_then(Value::as_array);
    let failed = |step: &&Value| match name {
        "" => step
            .pointer("/terminated/exitCode")
            .and_then(Value::as_i64)
            .is_some_and(|code| code != 0),
        name => text(step, "/container") == name,
    };
    let Some(step) = steps.and_then(|steps| steps.iter().find(failed)) else {
        return FailingContainer {
            name,
            ..FailingContainer::default()
        };
    };
    FailingContainer {
        name: text(step, "/container"),
        exit_code: step
            .pointer("/terminated/exitCode")
            .and_then(Value::as_i64)
            .and_then(|code| i32::try_from(code).ok()),
        terminated_reason: text(step, "/terminated/reason"),
    }
}

/// Whether anything of the work ran. With an executor it may have, unless its reason says that no pod came to be.
fn execution_started(observed: Observed<'_>, reason: &str) -> bool {
    const NO_POD: [&str; 8] = [
        "PodCreationFailed",
        "PodAdmissionFailed",
        "TaskRunValidationFailed",
        "TaskValidationFailed",
        "TaskRunResolutionFailed",
        "ResourceVerificationFailed",
        "InvalidParamValue",
        "CreateRunFailed",
    ];
    executor(observed.build_run).is_some() && !NO_POD.contains(&reason)
}

/// Whether the run was seen to have ended. With a TaskRun Shipwright's condition follows Tekton's; with a PipelineRun
/// a cancelled BuildRun is marked ended at once while the PipelineRun still runs.
fn confirmed_ended(observed: Observed<'_>, reason: &str) -> bool {
    match (executor(observed.build_run), observed.executor) {
        (None, _) => true,
        (Some(_), Some(run)) => executor_ended(run),
        (Some(named), None) if named.kind == "PipelineRun" => reason != "BuildRunCanceled",
        (Some(_), None) => reason != "TaskRunIsMissing",
    }
}

/// The only condition type Shipwright and Tekton write on a run.
fn succeeded_condition(run: &Value) -> Option<&Value> {
    let conditions = run.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| text(condition, "/type") == "Succeeded")
}

/// One sentence about a condition: which run, why, what it said, and where it failed.
fn sentence(build_run: &Value, condition: &Value, details: &str) -> String {
    let mut sentence = format!("BuildRun {}", text(build_run, "/metadata/name"));
    let container = text(build_run, "/status/failureDetails/location/container");
    for part in [text(condition, "/reason"), text(condition, "/message"), details] {
        if !part.is_empty() && !sentence.contains(part) {
            sentence.push_str(": ");
            sentence.push_str(part);
        }
    }
    if !container.is_empty() {
        let pod = text(build_run, "/status/failureDetails/location/pod");
        sentence.push_str(&format!(" (container {container} of pod {pod})"));
    }
    sentence
}

fn refused(message: &str) -> bool {
    contains_any(
        message,
        &["401", "403", "unauthorized", "authentication required", "denied"],
    )
}

fn denied_by_admission(message: &str) -> bool {
    contains_any(
        message,
        &[
            "admission webhook",
            "denied the request",
            "ValidatingAdmissionPolicy",
        ],
    )
}

fn contains_any(text: &str, words: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(&word.to_ascii_lowercase()))
}

/// The string at a JSON pointer; empty when there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
