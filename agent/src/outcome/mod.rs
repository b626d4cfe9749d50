//! How a run ended, in the words the hub understands.
//!
//! [`build_run`] is the one place that translates what Shipwright and Tekton say; every other part of the agent builds
//! an [`Outcome`] only for what it did itself (refusing a manifest, missing a permission). Whether a failure is
//! retried is not decided here: the hub decides it from the normalised reason.

mod build_results;
pub mod build_run;
#[cfg(test)]
mod tests;

use brokkr_apis::work::v1alpha1::{
    CompletionOutcome, FailureScope, Fence, Results, WorkOrderCompletionSpec, reasons,
};

/// The longest message the hub takes, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// The longest reason the hub takes, in bytes.
pub const REASON_BYTES_MAX: usize = 128;

/// The most the hub takes as results, in bytes of JSON.
pub const RESULTS_BYTES_MAX: usize = 65_536;

/// How a run ended, as the agent saw it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The work was done.
    Succeeded {
        /// What the run produced.
        results: Results,
        /// What happened, in a sentence.
        message: String,
    },
    /// The work failed.
    Failed(Failure),
    /// The run was stopped on request.
    Cancelled {
        /// Whether anything had run.
        execution_started: bool,
        /// Whether the run was seen to have ended.
        child_confirmed_ended: bool,
        /// What happened, in a sentence.
        message: String,
    },
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The normalised reason, from the table of reasons.
    pub reason: &'static str,
    /// The word of the engine or of the API server it was derived from.
    pub source_reason: Option<String>,
    /// The exit code of the failing container, if one was seen.
    pub exit_code: Option<i32>,
    /// Whether the failure lies in the order or in this cluster.
    pub scope: FailureScope,
    /// Whether anything of the work had run.
    pub execution_started: bool,
    /// Whether the run was seen to have ended; false means that it may still be alive.
    pub child_confirmed_ended: bool,
    /// What happened and what to do next.
    pub message: String,
}

impl Failure {
    /// A failure before anything of the work ran, with the scope the table of reasons gives the reason.
    pub fn before_start(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            source_reason: None,
            exit_code: None,
            scope: reasons::lookup(reason).map_or(FailureScope::Order, |row| row.scope),
            execution_started: false,
            child_confirmed_ended: true,
            message: message.into(),
        }
    }

    /// The same failure with the word it was derived from.
    pub fn with_source(mut self, source_reason: impl Into<String>) -> Self {
        self.source_reason = Some(source_reason.into());
        self
    }

    /// The same failure, when it hides whether the run was started and whether it has ended.
    pub fn run_may_be_alive(mut self) -> Self {
        self.execution_started = true;
        self.child_confirmed_ended = false;
        self
    }

    /// The same failure, laid on this cluster instead of the order.
    pub fn of_agent(mut self) -> Self {
        self.scope = FailureScope::Agent;
        self
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Outcome {
    /// The report of this outcome, within the hub's limits on text.
    pub fn into_completion(self, uid: &str, fence: Fence) -> WorkOrderCompletionSpec {
        let report = WorkOrderCompletionSpec {
            uid: uid.to_owned(),
            fence,
            ..WorkOrderCompletionSpec::default()
        };
        match self {
            Self::Succeeded { results, message } => WorkOrderCompletionSpec {
                outcome: CompletionOutcome::Succeeded,
                execution_started: Some(true),
                child_confirmed_ended: Some(true),
                message: cut(message),
                results: bounded(results),
                ..report
            },
            Self::Failed(failure) => WorkOrderCompletionSpec {
                outcome: CompletionOutcome::Failed,
                reason: Some(failure.reason.to_owned()),
                source_reason: failure.source_reason.map(|word| cut_to(word, REASON_BYTES_MAX)),
                exit_code: failure.exit_code,
                scope: Some(failure.scope),
                execution_started: Some(failure.execution_started),
                child_confirmed_ended: Some(failure.child_confirmed_ended),
                message: cut(failure.message),
                ..report
            },
            Self::Cancelled {
                execution_started,
                child_confirmed_ended,
                message,
            } => WorkOrderCompletionSpec {
                outcome: CompletionOutcome::Cancelled,
                reason: Some(reasons::CANCELLED.to_owned()),
                execution_started: Some(execution_started),
                child_confirmed_ended: Some(child_confirmed_ended),
                message: cut(message),
                ..report
            },
        }
    }
}

/// The message, shortened to what the hub takes.
pub fn cut(message: String) -> String {
    cut_to(message, MESSAGE_BYTES_MAX)
}

fn cut_to(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = " [cut]";
    if text.len() > bytes_max {
        let mut end = bytes_max - MARK.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

/// The results without their largest entries, as many as the hub's limit asks for. What was left out is named.
fn bounded(mut results: Results) -> Results {
    let size = |value: &serde_json::Value| value.to_string().len();
    let mut left_out = Vec::new();
    while serde_json::to_string(&results).map_or(0, |text| text.len()) > RESULTS_BYTES_MAX {
        let Some(largest) = results
            .iter()
            .max_by_key(|(_, value)| size(value))
            .map(|(name, _)| name.clone())
        else {
            break;
        };
        results.remove(&largest);
        left_out.push(largest);
        results.insert("leftOut".to_owned(), left_out.clone().into());
    }
    results
}
