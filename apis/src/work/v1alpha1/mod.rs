//! Version `v1alpha1` of the group: one kind per file.
//!
//! Three resources (WorkOrder, WorkOrderLog, Agent) and the request kinds of the claim protocol, which are posted to
//! subresources and answered in their own `status`, as upstream's TokenRequest is.

mod agent;
mod agent_claim;
mod agent_completion;
mod agent_renewal;
mod attempt;
mod claim;
mod completion;
pub mod conditions;
mod duration;
mod fence;
mod phase;
pub mod reasons;
mod release;
mod renewal;
mod target_term;
mod work_order;
mod work_order_log;
mod work_order_spec;
mod work_order_status;
mod work_type;

pub use agent::{Agent, AgentConcurrency, AgentList, AgentSpec, AgentStatus, AgentUsage};
pub use agent_claim::{AgentClaim, AgentClaimItem, AgentClaimSpec, AgentClaimStatus};
pub use agent_completion::{
    AgentCompletion, AgentCompletionItem, AgentCompletionResult, AgentCompletionSpec, AgentCompletionStatus,
};
pub use agent_renewal::{
    AgentRenewal, AgentRenewalItem, AgentRenewalResult, AgentRenewalSpec, AgentRenewalStatus, HeldClaim,
};
pub use attempt::{ActionRecord, Attempt, AttemptOutcome, ChildReference};
pub use claim::{UnfinishedChild, WorkOrderClaim, WorkOrderClaimSpec, WorkOrderClaimStatus};
pub use completion::{
    CompletionOutcome, FailureScope, WorkOrderCompletion, WorkOrderCompletionSpec, WorkOrderCompletionStatus,
};
pub use duration::{Duration, ParseDurationError};
pub use fence::Fence;
pub use phase::WorkOrderPhase;
pub use release::{WorkOrderRelease, WorkOrderReleaseSpec, WorkOrderReleaseStatus};
pub use renewal::{
    CancelNotice, Progress, ProgressPhase, WorkOrderRenewal, WorkOrderRenewalSpec, WorkOrderRenewalStatus,
};
pub use target_term::{LabelSelectorRequirement, SelectorOperator, TargetTerm};
pub use work_order::{WorkOrder, WorkOrderList};
pub use work_order_log::{
    FailureClass, LogOutcome, WorkOrderLog, WorkOrderLogList, WorkOrderLogSpec, WorkOrderLogStatus,
};
pub use work_order_spec::{
    BuildReference, Callback, CancelRequest, Results, RetryPolicy, SecretKeyReference, SideEffects,
    WorkOrderSpec,
};
pub use work_order_status::{Cancellation, CancellationCause, ClaimStatus, TargetedAgents, WorkOrderStatus};
pub use work_type::WorkType;

/// The version of the group this module holds.
pub const VERSION: &str = "v1alpha1";

/// Group and version, as written in `apiVersion`.
pub const API_VERSION: &str = "work.brokkr.io/v1alpha1";

/// The finalizer that keeps a deleted order until its running work has ended.
pub const CANCELLATION_FINALIZER: &str = "work.brokkr.io/cancellation";

/// The label the server sets on a WorkOrderLog: when the order completed, in seconds of the Unix epoch.
///
/// Time ranges then work with string label selectors (`work.brokkr.io/completed-at>1700000000`). It is refused on a
/// WorkOrder, so that nobody can backdate an entry.
pub const COMPLETED_AT_LABEL: &str = "work.brokkr.io/completed-at";
