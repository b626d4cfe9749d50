//! A claim by name: this order, or the reason why not.

use generic_apiserver::mutant;
use generic_apiserver::storage::StorageError;

use super::desk::Desk;
use super::found::{CallerRow, Taken};
use super::refusal::HeldBy;
use super::request::{ClaimInput, NamedClaim};
use super::{ClaimAnswer, ClaimRefusal};
use crate::queue::order::QueuedOrder;

impl Desk<'_> {
    pub(super) fn claim_named(
        &mut self,
        input: &ClaimInput,
        named: &NamedClaim,
        caller: &CallerRow,
    ) -> Result<ClaimAnswer, StorageError> {
        let Some(index) = self.find(&named.namespace, &named.name) else {
            return Ok(Err(ClaimRefusal::NoOrder));
        };
        let queued = self.read(index, input)?;
        let held = queued.lease.as_ref().map(HeldBy::of);
        let own = held.as_ref().is_some_and(|held| held.agent == input.agent);
        if let Some(refusal) = self.forbids(index, input, caller).filter(|_| !own) {
            return Ok(Err(refusal));
        }
        if let Some(taken) = &self.candidates[index].taken {
            let again = taken.again(input).cloned();
            return Ok(again.map(|grant| vec![grant]).ok_or_else(|| taken.refusal()));
        }
        // Who finds the order held is told so, whatever else would be in the way.
        if let Some(refusal) = self
            .lacks_room(index, input, caller)
            .filter(|_| is_waiting(&queued))
        {
            return Ok(Err(refusal));
        }
        Ok(match self.claim(index, &queued, input, caller)? {
            Ok(grant) => {
                if !input.dry_run {
                    self.candidates[index].taken = Some(Taken::by_name(input, &grant));
                }
                Ok(vec![grant])
            }
            Err(refusal) => Err(ClaimRefusal::State { refusal, held }),
        })
    }

    /// What keeps this agent from this order for good.
    fn forbids(&self, index: usize, input: &ClaimInput, caller: &CallerRow) -> Option<ClaimRefusal> {
        let row = &self.candidates[index].row;
        if !row.targeted.contains(&input.agent) && !mutant!("i7-claimed-though-not-targeted") {
            return Some(ClaimRefusal::NotTargeted);
        }
        if !caller.serves(&row.work_type) {
            return Some(ClaimRefusal::NotServed(row.work_type.clone()));
        }
        None
    }

    /// What keeps this agent from a new claim now.
    fn lacks_room(&self, index: usize, input: &ClaimInput, caller: &CallerRow) -> Option<ClaimRefusal> {
        let row = &self.candidates[index].row;
        if row.state.excluded.contains(&input.agent) {
            return Some(ClaimRefusal::Excluded);
        }
        if caller.unschedulable {
            return Some(ClaimRefusal::Unschedulable);
        }
        let (held, limit) = self.usage(&input.agent)?.exhausted(&row.work_type)?;
        Some(ClaimRefusal::AtCapacity { held, limit })
    }
}

/// Whether a claim would begin a new attempt.
fn is_waiting(queued: &QueuedOrder) -> bool {
    let status = queued.order.status.as_ref();
    status.is_none_or(|status| !status.phase.is_held() && !status.phase.is_terminal())
}
