//! Builds that Shipwright refused to register: the reason is the Build's own.

use super::*;

#[test]
fn a_failed_registration_is_looked_through_to_the_build() {
    let rows = [
        (
            "ClusterBuildStrategyNotFound",
            "BuildStrategyNotFound",
            FailureScope::Agent,
        ),
        (
            "UnknownBuildStrategyKind",
            "BuildStrategyNotFound",
            FailureScope::Agent,
        ),
        (
            "SpecOutputSecretRefNotFound",
            "ReferenceNotFound",
            FailureScope::Agent,
        ),
        (
            "SpecSourceSecretRefNotFound",
            "ReferenceNotFound",
            FailureScope::Agent,
        ),
        (
            "MultipleSecretRefNotFound",
            "ReferenceNotFound",
            FailureScope::Agent,
        ),
        (
            "RemoteRepositoryUnreachable",
            "GitRemoteFailed",
            FailureScope::Order,
        ),
        ("NodePlatformNotFound", "NoMatchingNode", FailureScope::Agent),
        ("SpecEnvNameForbidden", "InvalidSpec", FailureScope::Order),
        ("OutputTimestampNotValid", "InvalidSpec", FailureScope::Order),
    ];
    for (word, normalised, scope) in rows {
        let build =
            json!({"metadata": {"name": "my-app"}, "status": {"registered": "False", "reason": word}});
        let run = refused("BuildRegistrationFailed");
        let from_run = failure(Observed {
            build: Some(&build),
            ..seen(&run)
        });
        let from_build = rejected_build(&build);
        for failure in [from_run, from_build] {
            assert_eq!((failure.reason, failure.scope), (normalised, scope), "{word}");
            assert_eq!(failure.source_reason.as_deref(), Some(word));
        }
    }
}

#[test]
fn a_failed_registration_without_its_build_is_read_from_the_message() {
    let mut run = refused("BuildRegistrationFailed");
    run["status"]["conditions"][0]["message"] =
        json!("the Build is not registered correctly, build: my-app, reason: ClusterBuildStrategyNotFound");
    assert_eq!(failure(seen(&run)).reason, "BuildStrategyNotFound");
}
