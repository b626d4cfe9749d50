//! Completion: how a run ended, and what that means for its order.

use brokkr_apis::work::v1alpha1::{
    AttemptOutcome, CompletionOutcome, WorkOrder, WorkOrderCompletionSpec, WorkOrderCompletionStatus,
};
use generic_apiserver::mutant;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, StorageError, Versions};
use jiff::Timestamp;
use serde::Serialize;

use super::{ClaimKey, EndedRow, Found, ReportRefusal, ReportRow, STATEMENT, refused};
use crate::lifecycle::{Event, transition};
use crate::queue::rows;
use crate::queue::written::{Step, Written, moment};

/// The set mutation of all completions.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompleteOrders;

/// One report of a holder.
#[derive(Clone, Debug, Serialize)]
pub struct CompleteInput {
    /// Which claim.
    #[serde(flatten)]
    pub key: ClaimKey,
    /// How the run ended.
    #[serde(skip)]
    pub report: WorkOrderCompletionSpec,
}

/// What the server made of a report.
pub type Completed = Result<WorkOrderCompletionStatus, ReportRefusal>;

impl SetMutation for CompleteOrders {
    type Input = CompleteInput;
    type Row = ReportRow;
    type Output = Completed;

    fn name(&self) -> &'static str {
        "complete"
    }

    fn statement(&self) -> &'static str {
        STATEMENT
    }

    fn decide(
        &self,
        inputs: &[CompleteInput],
        rows: Vec<ReportRow>,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<Completed>, StorageError> {
        let mut found = Found::new(rows, inputs.iter().map(|input| &input.key))?;
        let outputs = inputs
            .iter()
            .map(|input| found.complete(input, versions, now))
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
    fn complete(
        &mut self,
        input: &CompleteInput,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<Completed, StorageError> {
        if let Some(repeat) = self.repeat(input) {
            if matches!(repeat, Err(ReportRefusal::EndedOtherwise { .. })) {
                self.keep_late_report(&input.key, &input.report);
            }
            return Ok(repeat);
        }
        let queued = match self.order(&input.key) {
            Ok(queued) => queued.clone(),
            Err(refusal) => {
                if !matches!(refusal, ReportRefusal::OtherAgent(_)) {
                    self.keep_late_report(&input.key, &input.report);
                }
                return Ok(Err(refusal));
            }
        };
        let version = versions.draw();
        let event = Event::Completed(Box::new(input.report.clone()));
        let transition = match transition(&queued.state(), &event, moment(now, version)) {
            Ok(transition) => transition,
            Err(refusal) => return Ok(Err(refused(&queued, refusal))),
        };
        let mut applied = queued.order.clone();
        transition.apply(&mut applied, &event, now);
        let answer = answer_of(&applied);
        let mut discarded = Written::default();
        let written = if input.key.dry_run {
            &mut discarded
        } else {
            &mut self.written
        };
        let recorded = Some(rows::text(&answer));
        let step = Step {
            before: &queued,
            event: &event,
            transition: &transition,
            version,
            now,
            answer: recorded,
        };
        let after = written.step(&step, versions)?;
        if !input.key.dry_run {
            self.note_ended(input, &after, &answer);
        }
        Ok(Ok(answer))
    }

    /// The answer to a report that was accepted before.
    fn repeat(&self, input: &CompleteInput) -> Option<Completed> {
        let fence = input.key.fence?;
        if mutant!("i6-repeated-completion-not-known") {
            return None;
        }
        let ended = self.ended.get(&(input.key.uid.clone(), fence))?;
        if input
            .key
            .agent
            .as_ref()
            .is_some_and(|agent| *agent != ended.attempt.agent)
        {
            return Some(Err(ReportRefusal::OtherAgent(ended.attempt.agent.clone())));
        }
        let outcome = ended.attempt.outcome?;
        match &ended.answer {
            Some(answer) if is_report_of(input.report.outcome, outcome) => Some(Ok(answer.clone())),
            Some(_) => Some(Err(ReportRefusal::EndedOtherwise {
                fence,
                outcome: outcome.to_string(),
            })),
            // The server ended the attempt without its holder: the report is late.
            None if self.orders.contains_key(&input.key.uid) => None,
            None => Some(Err(ReportRefusal::EndedOtherwise {
                fence,
                outcome: outcome.to_string(),
            })),
        }
    }

    /// A repetition in the same batch gets the same answer.
    fn note_ended(&mut self, input: &CompleteInput, after: &WorkOrder, answer: &WorkOrderCompletionStatus) {
        self.orders.remove(&input.key.uid);
        let latest = after.status.as_ref().and_then(|status| status.attempts.last());
        if let Some((attempt, fence)) = latest.zip(input.key.fence) {
            let uid = input.key.uid.clone();
            let ended = EndedRow {
                uid: uid.clone(),
                fence,
                attempt: attempt.clone(),
                answer: Some(answer.clone()),
            };
            self.ended.insert((uid, fence), ended);
        }
    }
}

/// Whether an attempt that ended so may have ended by this report. A failure whose reason is that it was
/// cancelled counts as cancelled.
const fn is_report_of(reported: CompletionOutcome, ended: AttemptOutcome) -> bool {
    matches!(
        (reported, ended),
        (CompletionOutcome::Succeeded, AttemptOutcome::Succeeded)
            | (
                CompletionOutcome::Failed,
                AttemptOutcome::Failed | AttemptOutcome::Cancelled
            )
            | (CompletionOutcome::Cancelled, AttemptOutcome::Cancelled)
    )
}

fn answer_of(order: &WorkOrder) -> WorkOrderCompletionStatus {
    let status = order.status.clone().unwrap_or_default();
    WorkOrderCompletionStatus {
        phase: Some(status.phase),
        next_retry_after: status.next_retry_after,
        log_name: status.log_name,
    }
}
