//! What the agent holds: one entry for every claim, from the answer that granted it until its end was reported.
//!
//! [`ClaimTable`] is the only owner of this state. The renewal loop reads what is to be renewed and writes what the hub
//! answered; a run reads its [`Directive`] and writes its progress; nobody holds the lock across a call.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use brokkr_apis::work::v1alpha1::{
    AgentClaimItem, AgentRenewalItem, ChildReference, Fence, HeldClaim, Progress, SideEffects,
    UnfinishedChild, WorkOrder, WorkOrderClaimStatus, WorkType,
};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::cluster::locked;
use crate::progress::PendingProgress;

/// How many ended claims are remembered, so that an answer on its way does not make them look like orphans.
const ENDED_MAX: usize = 1000;

/// An order, claimed.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The namespace of the order.
    pub namespace: String,
    /// The name of the order.
    pub name: String,
    /// The uid of the order.
    pub uid: String,
    /// The fence every call for the claim carries.
    pub fence: Fence,
    /// 1 for the first attempt.
    pub attempt: i64,
    /// The order as it was when claimed.
    pub order: WorkOrder,
    /// Runs of earlier attempts that were not seen to end.
    pub unfinished_children: Vec<UnfinishedChild>,
    /// Whether the claim was granted to an earlier process, or in an answer that got lost.
    pub adopted: bool,
}

/// What a run is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// Go on.
    Continue,
    /// Stop the run and report it cancelled.
    Cancel {
        /// Why, in the user's words.
        reason: String,
    },
    /// The claim is gone. Stop the run if running twice may do harm, else leave it.
    Lost {
        /// Whether to stop the run.
        stop: bool,
    },
    /// The agent is about to exit: leave the run as it is for the next process.
    Detach,
}

/// Every claim of this process.
#[derive(Debug, Default)]
pub struct ClaimTable {
    claims: Mutex<Claims>,
    /// Rung when progress was reported that may be due.
    progress: Notify,
    /// Rung when a claim has ended and its place is free.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Claims {
    held: HashMap<String, Held>,
    ended: VecDeque<Fence>,
}

#[derive(Debug)]
struct Held {
    namespace: String,
    name: String,
    fence: Fence,
    work_type: Option<WorkType>,
    may_do_harm: bool,
    lease: Duration,
    directive: watch::Sender<Directive>,
    progress: PendingProgress,
}

impl Claim {
    /// The claim in one item of a batch answer; None if the item is a refusal.
    pub fn from_item(item: AgentClaimItem) -> Option<Self> {
        Self::new(item.fence, item.attempt, item.order, item.unfinished_children)
    }

    /// A claim of before, in the answer for one order.
    pub fn adopted(status: WorkOrderClaimStatus) -> Option<Self> {
        let claim = Self::new(
            status.fence,
            status.attempt,
            status.order,
            status.unfinished_children,
        )?;
        Some(Self {
            adopted: true,
            ..claim
        })
    }

    fn new(
        fence: Option<Fence>,
        attempt: Option<i64>,
        order: Option<Box<WorkOrder>>,
        unfinished_children: Vec<UnfinishedChild>,
    ) -> Option<Self> {
        let order = *order?;
        Some(Self {
            namespace: order.metadata.namespace.clone()?,
            name: order.metadata.name.clone()?,
            uid: order.metadata.uid.clone()?,
            fence: fence?,
            attempt: attempt?,
            order,
            unfinished_children,
            adopted: false,
        })
    }

    /// Whether a run of the order may have been started before.
    pub fn may_have_child(&self) -> bool {
        self.adopted || !self.unfinished_children.is_empty()
    }

    /// The run that an earlier process of this agent has started in this attempt, as it told the hub.
    pub fn recorded_child(&self) -> Option<&ChildReference> {
        let latest = self.order.status.as_ref()?.attempts.last()?;
        let is_adopted = self.adopted && latest.number == self.attempt;
        latest.child.as_ref().filter(|_| is_adopted)
    }

    /// The handler's key; None for a work type this agent does not know.
    pub fn work_type(&self) -> Option<WorkType> {
        self.order.spec.canonical_work_type()
    }

    /// Whether running the order twice may do harm; a word this agent does not know is taken for the worse case.
    fn may_do_harm(&self) -> bool {
        !matches!(
            self.order.spec.side_effects_or_default(),
            SideEffects::None | SideEffects::Idempotent
        )
    }

    /// How long the claim lives without a renewal.
    fn lease(&self) -> Option<Duration> {
        let claim = self.order.status.as_ref()?.claim.as_ref()?;
        u64::try_from(claim.lease_duration_seconds)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }
}

impl ClaimTable {
    /// Enters a claim, and returns what tells its run what to do. None if it was entered before: the same claim can
    /// arrive in a repeated answer and in the list of a renewal.
    ///
    /// An earlier claim of the same order, whose loss this process has not learnt yet, gives way.
    pub fn enter(&self, claim: &Claim, default_lease: Duration) -> Option<watch::Receiver<Directive>> {
        let mut claims = locked(&self.claims);
        if claims.is_known(&claim.uid, claim.fence) {
            return None;
        }
        let (directive, receiver) = watch::channel(Directive::Continue);
        let held = Held {
            namespace: claim.namespace.clone(),
            name: claim.name.clone(),
            fence: claim.fence,
            work_type: claim.work_type(),
            may_do_harm: claim.may_do_harm(),
            lease: claim.lease().unwrap_or(default_lease),
            directive,
            progress: PendingProgress::default(),
        };
        if let Some(earlier) = claims.held.insert(claim.uid.clone(), held) {
            earlier.directive.send_replace(Directive::Lost { stop: false });
        }
        Some(receiver)
    }

    /// Removes a claim whose end was reported, or that is not this agent's any more.
    pub fn end(&self, uid: &str, fence: Fence) {
        let mut claims = locked(&self.claims);
        if claims.held.get(uid).is_some_and(|held| held.fence == fence) {
            claims.held.remove(uid);
        }
        claims.ended.push_back(fence);
        if claims.ended.len() > ENDED_MAX {
            claims.ended.pop_front();
        }
        drop(claims);
        self.ended.notify_one();
    }

    /// Waits until a place has become free.
    pub async fn place_freed(&self) {
        self.ended.notified().await;
    }

    /// Waits until progress was reported.
    pub async fn progress_reported(&self) {
        self.progress.notified().await;
    }

    /// How many orders are held, in all and by work type.
    pub fn usage(&self) -> (usize, BTreeMap<WorkType, usize>) {
        let claims = locked(&self.claims);
        let mut by_type = BTreeMap::new();
        for work_type in claims.held.values().filter_map(|held| held.work_type) {
            *by_type.entry(work_type).or_default() += 1;
        }
        (claims.held.len(), by_type)
    }

    /// The shortest lease held.
    pub fn shortest_lease(&self) -> Option<Duration> {
        locked(&self.claims).held.values().map(|held| held.lease).min()
    }

    /// Notes what a run has to say; it goes with the next renewal, or earlier if it must.
    pub fn report(&self, uid: &str, fence: Fence, progress: Progress) {
        if let Some(held) = locked(&self.claims).of(uid, fence) {
            held.progress.add(progress);
        }
        self.progress.notify_one();
    }

    /// When progress that waits is to be sent.
    pub fn progress_due(&self) -> Option<Instant> {
        locked(&self.claims)
            .held
            .values()
            .filter_map(|held| held.progress.due())
            .min()
    }

    /// What to renew: every claim, or only those whose progress is due. The progress is taken along.
    pub fn renewals(&self, all: bool, now: Instant) -> Vec<AgentRenewalItem> {
        let mut claims = locked(&self.claims);
        let current = claims.held.iter_mut().filter(|(_, held)| !held.is_lost());
        let due = current.filter(|(_, held)| all || held.progress.due().is_some_and(|due| due <= now));
        due.map(|(uid, held)| AgentRenewalItem {
            namespace: held.namespace.clone(),
            name: held.name.clone(),
            uid: uid.clone(),
            fence: held.fence,
            progress: held.progress.take(now),
        })
        .collect()
    }

    /// Puts progress back that did not reach the hub.
    pub fn not_sent(&self, item: AgentRenewalItem) {
        let Some(progress) = item.progress else { return };
        if let Some(held) = locked(&self.claims).of(&item.uid, item.fence) {
            held.progress.put_back(progress);
        }
    }

    /// Tells a run that the end of its order was asked for; false if it knows already.
    pub fn cancel(&self, uid: &str, fence: Fence, reason: &str) -> bool {
        self.direct(uid, fence, |_| Directive::Cancel {
            reason: reason.to_owned(),
        })
    }

    /// Tells a run that its claim is gone. Another process of this agent that has taken it over goes on with the same
    /// run, which must then not be stopped.
    pub fn lost(&self, uid: &str, fence: Fence, taken_over: bool) {
        self.direct(uid, fence, |held| Directive::Lost {
            stop: held.may_do_harm && !taken_over,
        });
    }

    /// Tells every run that the agent is about to exit.
    pub fn detach_all(&self) {
        for held in locked(&self.claims).held.values() {
            held.directive.send_replace(Directive::Detach);
        }
    }

    fn direct(&self, uid: &str, fence: Fence, directive: impl Fn(&Held) -> Directive) -> bool {
        let mut claims = locked(&self.claims);
        let Some(held) = claims.of(uid, fence) else {
            return false;
        };
        let directive = directive(held);
        held.directive
            .send_if_modified(|current| current.give_way_to(directive))
    }

    /// The claims of the hub's list that this process does not know: it, or an earlier process, was granted them but
    /// never saw the answer.
    pub fn unknown(&self, listed: &[HeldClaim]) -> Vec<HeldClaim> {
        let claims = locked(&self.claims);
        listed
            .iter()
            .filter(|claim| !claims.is_known(&claim.uid, claim.fence))
            .cloned()
            .collect()
    }
}

impl Claims {
    /// The entry of exactly this claim: answers and reports of an earlier claim of the same order do not concern it.
    fn of(&mut self, uid: &str, fence: Fence) -> Option<&mut Held> {
        self.held.get_mut(uid).filter(|held| held.fence == fence)
    }

    fn is_known(&self, uid: &str, fence: Fence) -> bool {
        self.held.get(uid).is_some_and(|held| held.fence == fence) || self.ended.contains(&fence)
    }
}

impl Held {
    fn is_lost(&self) -> bool {
        matches!(*self.directive.borrow(), Directive::Lost { .. })
    }
}

impl Directive {
    /// Replaces the directive by a later one; true if that changes it. A directive is never taken back.
    fn give_way_to(&mut self, later: Self) -> bool {
        let replaces = later.rank() > self.rank();
        if replaces {
            *self = later;
        }
        replaces
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Continue => 0,
            Self::Cancel { .. } => 1,
            Self::Lost { .. } => 2,
            Self::Detach => 3,
        }
    }
}
