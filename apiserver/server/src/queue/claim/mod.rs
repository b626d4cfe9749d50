//! Claims, by name and in batch: decided together under the version lock, so that exactly one wins.
//!
//! The statement finds what each caller could get; [`decide`](SetMutation::decide) arbitrates between the
//! callers of a batch in their order and grants at versions that become the fences. Who may claim where
//! has been decided before.

mod access;
mod batch;
mod desk;
mod found;
mod named;
mod refusal;
mod request;

use generic_apiserver::mutant;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, StorageError, Versions};
use jiff::Timestamp;

pub(crate) use self::access::may_claim;
use self::desk::Desk;
use self::found::ClaimRow;
pub use self::refusal::ClaimRefusal;
pub use self::request::{ClaimInput, Grant, NamedClaim};
use super::guard::without;

/// The set mutation of all claims.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimOrders;

/// What a claim is answered: what was granted (nothing, if there is nothing to claim), or why not.
pub type ClaimAnswer = Result<Vec<Grant>, ClaimRefusal>;

impl SetMutation for ClaimOrders {
    type Input = ClaimInput;
    type Row = ClaimRow;
    type Output = ClaimAnswer;

    fn name(&self) -> &'static str {
        "claim"
    }

    fn statement(&self) -> &'static str {
        let statement = include_str!("claim.sql");
        if mutant!("i7-request-answered-anew") {
            return without(statement, "r.request_id = c.\"requestID\"\n", "false\n");
        }
        if mutant!("i7-terminating-namespace-in-the-way") {
            return without(statement, "unnest(c.terminating)", "unnest('{}'::text[])");
        }
        if mutant!("i7-answer-counts-for-ever") {
            return without(statement, "interval '10 minutes'", "interval '10 years'");
        }
        statement
    }

    fn decide(
        &self,
        inputs: &[ClaimInput],
        rows: Vec<ClaimRow>,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<ClaimAnswer>, StorageError> {
        let mut desk = Desk::new(rows, versions, now);
        let outputs = inputs
            .iter()
            .enumerate()
            .map(|(index, input)| desk.answer(index, input))
            .collect::<Result<_, _>>()?;
        let written = desk.close();
        Ok(SetOutcome {
            objects: written.objects,
            rows: written.rows,
            new_rows: Vec::new(),
            outputs,
        })
    }
}
