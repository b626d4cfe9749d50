//! Release: a holder gives its claim back, or an operator takes it.

use brokkr_apis::work::v1alpha1::WorkOrderPhase;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, StorageError, Versions};
use jiff::Timestamp;
use serde::Serialize;

use super::{ClaimKey, Found, ReportRefusal, ReportRow, STATEMENT, refused};
use crate::lifecycle::{Event, transition};
use crate::queue::written::{Step, Written, moment};

/// The set mutation of all releases.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReleaseOrders;

/// One release.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseInput {
    /// Which claim.
    #[serde(flatten)]
    pub key: ClaimKey,
    /// Why.
    #[serde(skip)]
    pub reason: String,
    /// Whether the order is taken from its holder, whatever that is doing.
    #[serde(skip)]
    pub force: bool,
}

impl SetMutation for ReleaseOrders {
    type Input = ReleaseInput;
    type Row = ReportRow;
    type Output = Result<WorkOrderPhase, ReportRefusal>;

    fn name(&self) -> &'static str {
        "release"
    }

    fn statement(&self) -> &'static str {
        STATEMENT
    }

    fn decide(
        &self,
        inputs: &[ReleaseInput],
        rows: Vec<ReportRow>,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<Self::Output>, StorageError> {
        let mut found = Found::new(rows, inputs.iter().map(|input| &input.key))?;
        let outputs = inputs
            .iter()
            .map(|input| found.release(input, versions, now))
            .collect::<Result<_, _>>()?;
        Ok(SetOutcome {
            objects: found.written.objects,
            rows: found.written.rows,
            new_rows: Vec::new(),
            outputs,
        })
    }
}

impl Found {
    fn release(
        &mut self,
        input: &ReleaseInput,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<Result<WorkOrderPhase, ReportRefusal>, StorageError> {
        let queued = match self.released_order(input) {
            Ok(queued) => queued,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let version = versions.draw();
        let event = Event::Released {
            fence: input.key.fence,
            by: input.key.user.clone(),
            reason: input.reason.clone(),
            force: input.force,
        };
        let transition = match transition(&queued.state(), &event, moment(now, version)) {
            Ok(transition) => transition,
            Err(refusal) => return Ok(Err(refused(&queued, refusal))),
        };
        let mut discarded = Written::default();
        let written = if input.key.dry_run {
            &mut discarded
        } else {
            &mut self.written
        };
        let step = Step {
            before: &queued,
            event: &event,
            transition: &transition,
            version,
            now,
            answer: None,
        };
        written.step(&step, versions)?;
        if !input.key.dry_run {
            self.orders.remove(&input.key.uid);
        }
        Ok(Ok(transition.phase()))
    }

    /// With force the fence does not matter, and the state machine says whether there is anything to take.
    fn released_order(
        &self,
        input: &ReleaseInput,
    ) -> Result<crate::queue::order::QueuedOrder, ReportRefusal> {
        match self.order(&input.key) {
            Ok(queued) => Ok(queued.clone()),
            Err(ReportRefusal::State { .. }) if input.force => self
                .orders
                .get(&input.key.uid)
                .cloned()
                .ok_or(ReportRefusal::NoOrder),
            Err(refusal) => Err(refusal),
        }
    }
}
