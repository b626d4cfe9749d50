//! The work types this version knows.

use crate::string_enum::string_enum;

string_enum! {
    /// Which handler of the agent runs an order. `spec.workType` keeps the word as submitted; this is what it means.
    closed WorkType {
        /// A Shipwright Build.
        Build = "build",
        /// A Tekton pipeline.
        Workflow = "workflow",
        /// A code agent working on a repository.
        CodeTask = "code-task",
        /// A Kubernetes Job.
        Job = "job",
    }
}

impl WorkType {
    /// The work type a submitted word stands for, aliases included; None for a word that is not supported.
    pub fn canonical(submitted: &str) -> Option<Self> {
        match submitted {
            "shipwright-build" => Some(Self::Build),
            other => other.parse().ok(),
        }
    }

    /// The field of `spec` that belongs to the work type.
    pub fn section(self) -> &'static str {
        match self {
            Self::Build => "buildRef",
            Self::Workflow => "workflow",
            Self::CodeTask => "codeTask",
            Self::Job => "job",
        }
    }
}
