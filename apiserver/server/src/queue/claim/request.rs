//! What is asked of a claim, and what is granted.

use brokkr_apis::work::v1alpha1::{Attempt, Fence, UnfinishedChild, WorkOrder};
use generic_apiserver::authentication::UserInfo;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// One claim. Serialised, it is what the statement needs of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimInput {
    /// The name of the Agent; the caller is its identity.
    pub agent: String,
    /// The random id of the agent process.
    #[serde(skip)]
    pub holder: String,
    /// Makes the claim idempotent for ten minutes.
    #[serde(rename = "requestID")]
    pub request_id: Option<String>,
    /// What was asked, as a digest: the same id with another one is a conflict.
    #[serde(skip)]
    pub body_hash: String,
    /// How many orders are wanted: 1 to 100; 1 by name.
    pub want: usize,
    /// The work types asked for, canonical; the agent's own narrow them further.
    pub work_types: Vec<String>,
    /// The namespaces the caller may claim in; `None` = all. Not looked at by name.
    pub namespaces: Option<Vec<String>>,
    /// Who asks, when it may not claim everywhere: whether it is rung for later orders depends on reviews of it.
    #[serde(skip)]
    pub limited_user: Option<UserInfo>,
    /// The one order wanted; `None` = whatever is next.
    #[serde(flatten)]
    pub named: Option<NamedClaim>,
    /// Namespaces that are being deleted: nothing is claimed there.
    pub terminating: Vec<String>,
    /// Whether nothing may be written.
    #[serde(skip)]
    pub dry_run: bool,
}

/// The order that a claim by name wants.
#[derive(Clone, Debug, Serialize)]
pub struct NamedClaim {
    /// The order's namespace.
    #[serde(rename = "orderNamespace")]
    pub namespace: String,
    /// The order's name.
    #[serde(rename = "orderName")]
    pub name: String,
    /// Whether a claim of another process of the same agent is taken over.
    #[serde(skip)]
    pub takeover: bool,
}

/// A granted claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The order's namespace.
    pub namespace: String,
    /// The order's name.
    pub name: String,
    /// The order's uid.
    pub uid: String,
    /// The fence; `None` only in a dry run.
    pub fence: Option<Fence>,
    /// The number of the attempt.
    pub attempt: i64,
    /// When the claim ends without a renewal.
    pub expires_at: Timestamp,
    /// The order as it is now; absent in a replayed answer whose claim is no longer current.
    #[serde(skip)]
    pub order: Option<Box<WorkOrder>>,
    /// How long the order could have been claimed before; `None` unless this began a new attempt.
    #[serde(skip)]
    pub waited: Option<SignedDuration>,
    /// Runs of earlier attempts that were not seen to end.
    #[serde(skip)]
    pub unfinished: Vec<UnfinishedChild>,
}

/// The runs of attempts before `current` that nobody has seen end.
pub(super) fn unfinished_children(attempts: &[Attempt], current: i64) -> Vec<UnfinishedChild> {
    let earlier = attempts.iter().filter(|attempt| attempt.number < current);
    let unfinished = earlier.filter(|attempt| attempt.child_confirmed_ended != Some(true));
    let child = |attempt: &Attempt| {
        let child = attempt.child.as_ref()?;
        Some(UnfinishedChild {
            attempt: attempt.number,
            name: child.name.clone(),
            agent: attempt.agent.clone(),
        })
    };
    unfinished.filter_map(child).collect()
}
