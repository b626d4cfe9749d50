//! A batch claim: the next orders in the claim order that the caller may take.

use generic_apiserver::storage::StorageError;
use jiff::{SignedDuration, Timestamp};

use super::desk::Desk;
use super::found::{CallerRow, Candidate, Taken, Usage};
use super::request::{ClaimInput, Grant};

/// How long a retried order is left to other agents that wait for such work before the agent of its last
/// attempt may take it: several rings.
const PREFERENCE: SignedDuration = SignedDuration::from_secs(5);

/// An answer ends with the order that reaches this many bytes of objects; the rest stays for the next claim.
const ANSWER_BYTES_MAX: usize = 8 << 20;

impl Desk<'_> {
    pub(super) fn claim_batch(
        &mut self,
        input: &ClaimInput,
        caller: &CallerRow,
    ) -> Result<Vec<Grant>, StorageError> {
        let mut grants: Vec<Grant> = Vec::new();
        let mut bytes = 0;
        for index in 0..self.candidates.len() {
            if grants.len() >= input.want || bytes >= ANSWER_BYTES_MAX {
                break;
            }
            if !self.suits(index, input, caller) {
                continue;
            }
            let queued = self.read(index, input)?;
            if let Ok(grant) = self.claim(index, &queued, input, caller)? {
                bytes += queued.stored.encoded.len();
                self.candidates[index].taken = Some(Taken::by(input, &grant));
                grants.push(grant);
            }
        }
        self.note_wait(input, caller, grants.len(), bytes);
        Ok(grants)
    }

    /// Whether the caller may take the order, as far as the queue knows.
    fn suits(&self, index: usize, input: &ClaimInput, caller: &CallerRow) -> bool {
        let candidate = &self.candidates[index];
        let row = &candidate.row;
        candidate.taken.is_none()
            && row.target_set.is_some_and(|set| caller.sets.contains(&set))
            && row.targeted.contains(&input.agent)
            && input.work_types.contains(&row.work_type)
            && caller.serves(&row.work_type)
            && self
                .usage(&input.agent)
                .is_some_and(|usage| usage.exhausted(&row.work_type).is_none())
            && !row.state.excluded.contains(&input.agent)
            && candidate.is_in(input.namespaces.as_deref())
            && !candidate.prefers_another(&input.agent, self.now)
    }

    /// An agent that got less than it asked for, and could take more, waits to be rung.
    fn note_wait(&mut self, input: &ClaimInput, caller: &CallerRow, granted: usize, bytes: usize) {
        if input.dry_run {
            return;
        }
        let free = self.usage(&input.agent).map_or(0, Usage::free);
        let waits = granted < input.want && free > 0 && bytes < ANSWER_BYTES_MAX && !caller.unschedulable;
        self.note_idle(input, waits.then_some(granted > 0));
    }
}

impl Candidate {
    fn is_in(&self, namespaces: Option<&[String]>) -> bool {
        namespaces.is_none_or(|namespaces| namespaces.contains(&self.namespace().to_owned()))
    }

    /// A retried order is left to other agents for a moment, if one waits for such work.
    fn prefers_another(&self, agent: &str, now: Timestamp) -> bool {
        let row = &self.row;
        let last = row.last_agent.as_deref() == Some(agent);
        last && row.other_idle && row.ready_since.is_some_and(|since| now < since + PREFERENCE)
    }
}
