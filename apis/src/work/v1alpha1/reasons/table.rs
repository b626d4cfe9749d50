//! The table of reasons.
//!
//! Sources are the words Shipwright and Tekton put into conditions and failure details. Words that need a look at the
//! message or at the failing container (a registry's 401, a failing push step) are the agent's to tell apart, so they
//! are not listed.

use super::FailureScope::{Agent, Order};
use super::{Reason, ReasonClass};

/// Writes the rows as constants and as [`TABLE`].
macro_rules! reasons {
    ($( $constant:ident = $name:literal, $class:ident, $scope:ident, $cuts_short:literal,
        [$( $source:literal ),* $(,)?], $advice:literal; )+) => {
        $( #[doc = concat!("The normalised reason `", $name, "`.")]
           pub const $constant: &str = $name; )+

        /// Every normalised reason, in the order the documentation lists them.
        pub const TABLE: &[Reason] = &[$( Reason {
            name: $name,
            class: ReasonClass::$class,
            scope: $scope,
            cuts_short: $cuts_short,
            sources: &[$( $source, )*],
            advice: $advice,
        }, )+];
    };
}

reasons! {
    BUILD_STRATEGY_NOT_FOUND = "BuildStrategyNotFound", Permanent, Agent, false,
        ["BuildStrategyNotFound", "ClusterBuildStrategyNotFound", "UnknownStrategyKind"],
        "Install the build strategy in the agent's cluster, or name one that is there.";
    INVALID_IMAGE = "InvalidImage", Permanent, Order, false,
        ["InvalidImageName", "ErrImageNeverPull"],
        "Correct the image reference.";
    INVALID_DOCKERFILE = "InvalidDockerfile", Permanent, Order, false,
        ["DockerfileNotFound"],
        "Correct the Dockerfile, or the path to it.";
    IMAGE_PUSH_FAILED = "ImagePushFailed", Retryable, Order, false,
        [],
        "Check that the registry is up and reachable from the agent's cluster.";
    REGISTRY_UNAUTHORIZED = "RegistryUnauthorized", Permanent, Order, false,
        [],
        "Check the registry credentials: the Secret named in the Build, and what it may push or pull.";
    IMAGE_PULL_FAILED = "ImagePullFailed", Retryable, Order, false,
        ["TaskRunImagePullFailed", "ImagePullBackOff", "ErrImagePull"],
        "Check that the registry is up and reachable from the agent's nodes.";
    GIT_REMOTE_FAILED = "GitRemoteFailed", Retryable, Order, false,
        ["GitError", "RemoteRepositoryUnreachable"],
        "Check that the git server is up and reachable from the agent's cluster.";
    GIT_CONFIG_ERROR = "GitConfigError", Permanent, Order, false,
        ["GitAuthInvalidUserOrPass", "GitAuthInvalidKey", "GitRevisionNotFound", "GitRemoteRepositoryNotFound",
         "GitRemoteRepositoryPrivate", "GitRemotePrivate", "GitBasicAuthIncomplete", "GitSSHAuthUnexpected",
         "GitSSHAuthExpected", "AuthUnexpectedHTTP"],
        "Correct the repository address, the revision or the credentials.";
    GIT_PUSH_REJECTED = "GitPushRejected", Retryable, Order, false,
        [],
        "Somebody else pushed first; the next attempt starts from a fresh clone.";
    INVALID_SPEC = "InvalidSpec", Permanent, Order, false,
        ["MissingParameterValues", "RestrictedParametersInUse", "UndefinedParameter", "WrongParameterValueType",
         "InconsistentParameterValues", "EmptyArrayItemParameterValues", "IncompleteConfigMapValueParameterValues",
         "IncompleteSecretValueParameterValues", "BuildRunNameInvalid", "BuildRunNoRefOrSpec",
         "BuildRunAmbiguousBuild", "BuildRunBuildFieldOverrideForbidden", "UndefinedStepResource",
         "InvalidPlatform", "NodeSelectorPlatformConflict", "ExecutorNotPipelineRun", "UndefinedVolume",
         "VolumeNotOverridable", "VolumeDoesNotExist", "NodeSelectorNotValid", "TolerationNotValid",
         "SchedulerNameNotValid", "RuntimeClassNameNotValid", "ContextDirNotFound", "InvalidParameterValue",
         "TaskRunResultLargerThanAllowedLimit", "PodAdmissionFailed"],
        "Correct the order or the object it names; the message says which part.";
    REFERENCE_NOT_FOUND = "ReferenceNotFound", Permanent, Agent, false,
        ["BuildNotFound", "ServiceAccountNotFound", "BuildRegistrationFailed", "SpecSourceSecretRefNotFound",
         "SpecOutputSecretRefNotFound", "SpecBuilderSecretRefNotFound", "MultipleSecretRefNotFound",
         "CreateContainerConfigError"],
        "Create what the message names in the agent's cluster, or send it along in spec.manifests.";
    TIMEOUT = "Timeout", Retryable, Order, true,
        ["BuildRunTimeout", "PipelineRunTimeout", "TaskRunTimeout"],
        "Raise spec.timeout or spec.claimTimeoutSeconds if the work needs longer.";
    EVICTED = "Evicted", RetryableNotCharged, Order, true,
        ["PodEvicted", "DisruptionTarget", "Evicted"],
        "None needed; set resource requests if it happens often.";
    NODE_LOST = "NodeLost", RetryableNotCharged, Order, true,
        ["TaskRunIsMissing", "NodeLost"],
        "None needed; look at the node if it happens often.";
    NO_MATCHING_NODE = "NoMatchingNode", Retryable, Agent, false,
        ["NodePlatformNotFound"],
        "Add a node that fits, or target an agent whose cluster has one.";
    OUT_OF_MEMORY = "OutOfMemory", Permanent, Order, true,
        ["StepOutOfMemory", "StepOOM", "SidecarOOM", "InitContainerOOM", "OOMKilled"],
        "Raise the memory limit; list OutOfMemory in retryPolicy.retryOn if the need varies.";
    VULNERABILITIES_FOUND = "VulnerabilitiesFound", Permanent, Order, false,
        ["VulnerabilitiesFound"],
        "Update what the scan found, or adjust the scan's rules in the Build.";
    CONTROLLER_ERROR = "ControllerError", Retryable, Order, false,
        ["SetOwnerReferenceFailed", "TaskRunGenerationFailed", "PipelineRunGenerationFailed", "PodCreationFailed",
         "CreateRunFailed", "TaskRunResolutionFailed", "TaskRunStopSidecarFailed", "InitContainerFailed",
         "SidecarFailed"],
        "Look at the engine's controller in the agent's cluster if it happens often.";
    PIPELINE_INVALID = "PipelineInvalid", Permanent, Order, false,
        ["CouldntGetPipeline", "CouldntGetTask", "ParameterMissing", "ParameterTypeMismatch",
         "InvalidWorkspaceBindings", "InvalidTaskRunSpecs", "InvalidPipelineResourceBindings",
         "ObjectParameterMissKeys", "ParamArrayIndexingInvalid", "PipelineValidationFailed",
         "PipelineInvalidGraph", "InvalidParamValue", "InvalidMatrixParameterTypes",
         "InvalidTaskResultReference", "InvalidPipelineResultReference", "CouldntGetPipelineResult",
         "RequiredWorkspaceMarkedOptional", "CELEvaluationFailed", "TaskRunValidationFailed",
         "TaskValidationFailed"],
        "Correct the pipeline or its parameters; the message says which part.";
    VERIFICATION_FAILED = "VerificationFailed", Permanent, Order, false,
        ["ResourceVerificationFailed"],
        "Sign the image or the pipeline, or correct the policy that refused it.";
    TASK_FAILED = "TaskFailed", ByPolicy, Order, false,
        ["Failed", "StepFailed", "PipelineRunFailed", "BackoffLimitExceeded"],
        "Read the log of the attempt; list TaskFailed or an ExitCode in retryPolicy.retryOn if trying again helps.";
    MODEL_UNAVAILABLE = "ModelUnavailable", Retryable, Order, false,
        [],
        "None needed; check the model provider's status if it happens often.";
    MODEL_UNAUTHORIZED = "ModelUnauthorized", Permanent, Order, false,
        [],
        "Check the credentials for the model provider, and that the model exists.";
    LIMIT_REACHED = "LimitReached", Permanent, Order, false,
        ["error_max_turns"],
        "Raise the turn or budget limit of the code task, or ask for less at once.";
    CANCELLED = "Cancelled", Cancelled, Order, false,
        ["BuildRunCanceled", "Cancelled", "TaskRunCancelled"],
        "Create the order again if the work is still wanted.";
    API_UNAVAILABLE = "ApiUnavailable", RetryableNotCharged, Agent, false,
        [],
        "Look at the API server of the agent's cluster.";
    FORBIDDEN = "Forbidden", Permanent, Agent, false,
        [],
        "Grant what the message names; it prints the command that does.";
    AGENT_LOST = "AgentLost", RetryableNotCharged, Order, true,
        [],
        "Check that the agent runs and reaches the hub.";
    NAMESPACE_TERMINATING = "NamespaceTerminating", Final, Order, false,
        [],
        "Create the order in a namespace that is not being deleted.";
    DEADLINE_EXCEEDED = "DeadlineExceeded", Final, Order, true,
        [],
        "Raise spec.activeDeadlineSeconds if the order may take longer.";
    UNKNOWN = "Unknown", ByPolicy, Order, false,
        [],
        "Read the message and the log of the attempt; list the source reason in retryPolicy to decide it.";
}
