//! The mapping, row by row, on the shapes the real controllers write.

mod cancelled;
mod registration;
mod report;

use brokkr_apis::work::v1alpha1::FailureScope;
use serde_json::{Value, json};

use super::build_run::{Observed, outcome, rejected_build};
use super::{Failure, Outcome};

/// A BuildRun as Shipwright leaves it, with a TaskRun as its executor.
fn build_run(status: &str, reason: &str, message: &str) -> Value {
    json!({
        "metadata": {"name": "wo-0123456789ab-a1", "namespace": "team-a"},
        "spec": {"build": {"name": "my-app"}},
        "status": {
            "conditions": [{"type": "Succeeded", "status": status, "reason": reason, "message": message,
                            "lastTransitionTime": "2026-11-20T10:00:00Z"}],
            "executor": {"kind": "TaskRun", "name": "wo-0123456789ab-a1-x7k2p"},
        },
    })
}

/// A BuildRun that Shipwright refused before anything ran.
fn refused(reason: &str) -> Value {
    let mut run = build_run("False", reason, "refused by the controller");
    run["status"].as_object_mut().unwrap().remove("executor");
    run
}

fn with_details(mut run: Value, reason: &str, message: &str, container: &str) -> Value {
    run["status"]["failureDetails"] = json!({"location": {"pod": "the-pod", "container": container}});
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            run["status"]["failureDetails"][field] = json!(text);
        }
    }
    run
}

fn in_pipeline_mode(mut run: Value) -> Value {
    run["status"]["executor"]["kind"] = json!("PipelineRun");
    run
}

fn seen(run: &Value) -> Observed<'_> {
    Observed {
        build_run: run,
        build: None,
        executor: None,
        cancel_asked: false,
    }
}

#[track_caller]
fn failure(observed: Observed<'_>) -> Failure {
    match outcome(observed) {
        Some(Outcome::Failed(failure)) => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn task_run(container: &str, exit_code: i32, reason: &str) -> Value {
    json!({"status": {
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed"}],
        "steps": [
            {"name": "source-default", "container": "step-source-default", "terminated": {"exitCode": 0}},
            {"container": container, "terminated": {"exitCode": exit_code, "reason": reason}},
        ],
    }})
}

#[test]
fn reasons_given_before_anything_runs_are_normalised() {
    let rows = [
        ("BuildRunNameInvalid", "InvalidSpec"),
        ("BuildRunNoRefOrSpec", "InvalidSpec"),
        ("BuildRunAmbiguousBuild", "InvalidSpec"),
        ("BuildRunBuildFieldOverrideForbidden", "InvalidSpec"),
        ("BuildNotFound", "ReferenceNotFound"),
        ("BuildRegistrationFailed", "ReferenceNotFound"),
        ("ServiceAccountNotFound", "ReferenceNotFound"),
        ("UnknownStrategyKind", "BuildStrategyNotFound"),
        ("BuildStrategyNotFound", "BuildStrategyNotFound"),
        ("ClusterBuildStrategyNotFound", "BuildStrategyNotFound"),
        ("MissingParameterValues", "InvalidSpec"),
        ("RestrictedParametersInUse", "InvalidSpec"),
        ("UndefinedParameter", "InvalidSpec"),
        ("WrongParameterValueType", "InvalidSpec"),
        ("InconsistentParameterValues", "InvalidSpec"),
        ("EmptyArrayItemParameterValues", "InvalidSpec"),
        ("IncompleteConfigMapValueParameterValues", "InvalidSpec"),
        ("IncompleteSecretValueParameterValues", "InvalidSpec"),
        ("UndefinedVolume", "InvalidSpec"),
        ("VolumeNotOverridable", "InvalidSpec"),
        ("VolumeDoesNotExist", "InvalidSpec"),
        ("UndefinedStepResource", "InvalidSpec"),
        ("NodeSelectorNotValid", "InvalidSpec"),
        ("TolerationNotValid", "InvalidSpec"),
        ("SchedulerNameNotValid", "InvalidSpec"),
        ("RuntimeClassNameNotValid", "InvalidSpec"),
        ("InvalidPlatform", "InvalidSpec"),
        ("NodeSelectorPlatformConflict", "InvalidSpec"),
        ("ExecutorNotPipelineRun", "InvalidSpec"),
        ("NodePlatformNotFound", "NoMatchingNode"),
        ("SetOwnerReferenceFailed", "ControllerError"),
        ("TaskRunGenerationFailed", "ControllerError"),
        ("PipelineRunGenerationFailed", "ControllerError"),
    ];
    for (word, normalised) in rows {
        let failure = failure(seen(&refused(word)));
        assert_eq!(
            (failure.reason, failure.source_reason.as_deref()),
            (normalised, Some(word))
        );
        assert!(
            !failure.execution_started && failure.child_confirmed_ended,
            "{word}"
        );
    }
}

#[test]
fn reasons_given_by_execution_are_normalised() {
    let rows = [
        ("Failed", "TaskFailed", true),
        ("StepFailed", "TaskFailed", true),
        ("PipelineRunFailed", "TaskFailed", true),
        ("BuildRunTimeout", "Timeout", true),
        ("TaskRunTimeout", "Timeout", true),
        ("PipelineRunTimeout", "Timeout", true),
        ("PodEvicted", "Evicted", true),
        ("StepOutOfMemory", "OutOfMemory", true),
        ("StepOOM", "OutOfMemory", true),
        ("SidecarOOM", "OutOfMemory", true),
        ("InitContainerOOM", "OutOfMemory", true),
        ("SidecarFailed", "ControllerError", true),
        ("InitContainerFailed", "ControllerError", true),
        ("VulnerabilitiesFound", "VulnerabilitiesFound", true),
        ("TaskRunIsMissing", "NodeLost", true),
        ("TaskRunImagePullFailed", "ImagePullFailed", true),
        ("CreateContainerConfigError", "ReferenceNotFound", true),
        ("PodCreationFailed", "ControllerError", false),
        ("PodAdmissionFailed", "InvalidSpec", false),
        ("TaskRunValidationFailed", "PipelineInvalid", false),
        ("TaskValidationFailed", "PipelineInvalid", false),
        ("TaskRunResolutionFailed", "ControllerError", false),
        ("ResourceVerificationFailed", "VerificationFailed", false),
        ("InvalidParamValue", "PipelineInvalid", false),
        ("CreateRunFailed", "ControllerError", false),
        ("TaskRunResultLargerThanAllowedLimit", "InvalidSpec", true),
        ("TaskRunStopSidecarFailed", "ControllerError", true),
        ("TaskRunCancelled", "Unknown", true),
        ("Cancelled", "Unknown", true),
        ("SomethingNobodyHasSeen", "Unknown", true),
    ];
    for (word, normalised, started) in rows {
        let failure = failure(seen(&build_run("False", word, "it went wrong")));
        assert_eq!(
            (failure.reason, failure.source_reason.as_deref()),
            (normalised, Some(word))
        );
        assert_eq!(failure.execution_started, started, "{word}");
        assert_eq!(
            failure.child_confirmed_ended,
            word != "TaskRunIsMissing",
            "{word}"
        );
    }
}

#[test]
fn failure_details_win_over_the_condition() {
    let rows = [
        ("GitAuthInvalidUserOrPass", "GitConfigError"),
        ("GitAuthInvalidKey", "GitConfigError"),
        ("GitRevisionNotFound", "GitConfigError"),
        ("GitRemoteRepositoryNotFound", "GitConfigError"),
        ("GitRemoteRepositoryPrivate", "GitConfigError"),
        ("GitRemotePrivate", "GitConfigError"),
        ("GitBasicAuthIncomplete", "GitConfigError"),
        ("GitSSHAuthUnexpected", "GitConfigError"),
        ("GitSSHAuthExpected", "GitConfigError"),
        ("AuthUnexpectedHTTP", "GitConfigError"),
        ("GitError", "GitRemoteFailed"),
        ("ContextDirNotFound", "InvalidSpec"),
        ("DockerfileNotFound", "InvalidDockerfile"),
        ("InvalidParameterValue", "InvalidSpec"),
    ];
    for (word, normalised) in rows {
        for condition in ["Failed", "StepFailed"] {
            let run = with_details(
                build_run("False", condition, ""),
                word,
                "said so",
                "step-source-default",
            );
            let failure = failure(seen(&run));
            assert_eq!(
                (failure.reason, failure.source_reason.as_deref()),
                (normalised, Some(word))
            );
        }
    }
}

#[test]
fn the_failing_container_decides_when_no_reason_says_more() {
    let rows = [
        ("step-build", "", None, "TaskFailed"),
        (
            "step-build",
            "dockerfile parse error on line 3: unknown instruction",
            None,
            "InvalidDockerfile",
        ),
        ("step-build", "", Some((1, "Error")), "TaskFailed"),
        ("step-build", "", Some((137, "OOMKilled")), "OutOfMemory"),
        ("step-build", "", Some((1, "OOMKilled")), "OutOfMemory"),
        ("step-build", "", Some((137, "Error")), "Unknown"),
        ("step-image-processing", "", Some((137, "Error")), "Unknown"),
        ("step-image-processing", "", None, "ImagePushFailed"),
        ("step-image-processing", "", Some((1, "Error")), "ImagePushFailed"),
        (
            "step-image-processing",
            "",
            Some((22, "Error")),
            "VulnerabilitiesFound",
        ),
        (
            "step-image-processing",
            "unexpected status 401 Unauthorized",
            None,
            "RegistryUnauthorized",
        ),
        ("step-source-default", "", None, "GitRemoteFailed"),
    ];
    for condition in ["Failed", "StepFailed", "PipelineRunFailed"] {
        for (container, message, ended, normalised) in rows {
            let run = with_details(build_run("False", condition, "failed"), "", message, container);
            let executor = ended.map(|(code, reason)| task_run(container, code, reason));
            let failure = failure(Observed {
                executor: executor.as_ref(),
                ..seen(&run)
            });
            assert_eq!(
                failure.reason, normalised,
                "{condition} {container} {message} {ended:?}"
            );
            assert_eq!(failure.exit_code, ended.map(|(code, _)| code));
        }
    }
}

#[test]
fn a_reason_of_the_strategys_own_is_kept_as_the_source() {
    let run = with_details(
        build_run("False", "Failed", ""),
        "CompilerCrashed",
        "segfault",
        "step-build",
    );
    let failure = failure(seen(&run));
    assert_eq!(
        (failure.reason, failure.source_reason.as_deref()),
        ("TaskFailed", Some("CompilerCrashed"))
    );
    assert!(failure.message.contains("segfault") && failure.message.contains("step-build"));
}

#[test]
fn image_pull_failures_are_told_apart_by_message() {
    let rows = [
        (
            "the step \"build\" failed: InvalidImageName: couldn't parse",
            "InvalidImage",
        ),
        ("rpc error: manifest unknown", "InvalidImage"),
        ("failed to authorize: 401 Unauthorized", "RegistryUnauthorized"),
        ("pull access denied", "RegistryUnauthorized"),
        ("dial tcp: connection refused", "ImagePullFailed"),
        ("received 503 from the registry", "ImagePullFailed"),
    ];
    for (message, normalised) in rows {
        let run = build_run("False", "TaskRunImagePullFailed", message);
        assert_eq!(failure(seen(&run)).reason, normalised, "{message}");
    }
}

#[test]
fn a_pod_denied_by_an_admission_policy_failed_verification() {
    let run = build_run(
        "False",
        "PodCreationFailed",
        "admission webhook \"policy.sigstore.dev\" denied the request",
    );
    assert_eq!(failure(seen(&run)).reason, "VerificationFailed");
}

#[test]
fn a_run_without_a_final_condition_has_no_outcome() {
    let reasons = [
        "Started",
        "Pending",
        "Running",
        "PullImageFailed",
        "ExceededResourceQuota",
        "ExceededNodeResources",
        "ToBeRetried",
        "BuildRunCanceled",
        "PipelineRunStopping",
        "CancelledRunningFinally",
        "StoppedRunningFinally",
        "PipelineRunTimeoutRunningFinally",
        "Cancelled",
    ];
    for reason in reasons {
        assert_eq!(outcome(seen(&build_run("Unknown", reason, ""))), None, "{reason}");
    }
    assert_eq!(outcome(seen(&json!({"metadata": {"name": "new"}}))), None);
    assert_eq!(outcome(seen(&json!({"status": {"conditions": []}}))), None);
}

#[test]
fn the_status_decides_the_end_and_not_the_reason() {
    for reason in ["Succeeded", "Completed", "Running", "BuildRunCanceled"] {
        let run = build_run("True", reason, "All Steps have completed executing");
        let ended = outcome(Observed {
            cancel_asked: true,
            ..seen(&run)
        });
        assert!(matches!(ended, Some(Outcome::Succeeded { .. })), "{reason}");
    }
}

#[test]
fn results_of_a_succeeded_build_are_passed_on() {
    let mut run = build_run("True", "Succeeded", "All Steps have completed executing");
    run["status"]["output"] = json!({
        "digest": "sha256:abc", "size": 12345,
        "vulnerabilities": [{"id": "CVE-1", "severity": "high"}, {"id": "CVE-2", "severity": "low"}],
    });
    run["status"]["source"] =
        json!({"git": {"commitSha": "f00", "commitAuthor": "A. Author", "branchName": "main"}});
    run["status"]["buildSpec"] = json!({"output": {"image": "registry.example/app:1"}});
    let Some(Outcome::Succeeded { results, .. }) = outcome(seen(&run)) else {
        panic!("expected a success")
    };
    let expected = json!({
        "imageDigest": "sha256:abc", "imageSize": 12345, "commitSha": "f00", "commitAuthor": "A. Author",
        "branchName": "main", "image": "registry.example/app:1", "vulnerabilityCount": 2,
        "vulnerabilities": [{"id": "CVE-1", "severity": "high"}, {"id": "CVE-2", "severity": "low"}],
    });
    assert_eq!(serde_json::to_value(results).unwrap(), expected);
}
