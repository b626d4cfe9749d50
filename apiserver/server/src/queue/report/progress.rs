//! Progress: what has changed in a run, written into the object under the fence.
//!
//! Reports about one order in one batch are applied one after the other and written once.

use std::collections::BTreeMap;

use brokkr_apis::work::v1alpha1::Progress;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, StorageError, Versions};
use jiff::Timestamp;
use serde::Serialize;

use super::{ClaimKey, Found, ReportRefusal, ReportRow, STATEMENT, refused};
use crate::lifecycle::{Event, transition};
use crate::queue::written::{Step, moment};

/// The set mutation of all changed progress, and of holders that are back after their lease had lapsed.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordProgress;

/// One report of progress.
#[derive(Clone, Debug, Serialize)]
pub struct ProgressInput {
    /// Which claim.
    #[serde(flatten)]
    pub key: ClaimKey,
    /// What has changed; `None` = nothing but that the holder is back.
    #[serde(skip)]
    pub progress: Option<Progress>,
}

impl SetMutation for RecordProgress {
    type Input = ProgressInput;
    type Row = ReportRow;
    type Output = Result<(), ReportRefusal>;

    fn name(&self) -> &'static str {
        "progress"
    }

    fn statement(&self) -> &'static str {
        STATEMENT
    }

    fn decide(
        &self,
        inputs: &[ProgressInput],
        rows: Vec<ReportRow>,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<Self::Output>, StorageError> {
        let mut found = Found::new(rows, inputs.iter().map(|input| &input.key))?;
        let mut outputs: Vec<Self::Output> = Vec::new();
        let mut merged: BTreeMap<String, ProgressInput> = BTreeMap::new();
        for input in inputs {
            let accepted = found.order(&input.key).map(|_| ());
            if accepted.is_ok() && !input.key.dry_run {
                merged
                    .entry(input.key.uid.clone())
                    .and_modify(|first| first.merge(input))
                    .or_insert_with(|| input.clone());
            }
            outputs.push(accepted);
        }
        let mut late: BTreeMap<String, ReportRefusal> = BTreeMap::new();
        for (uid, input) in merged {
            if let Err(refusal) = found.record(&input, versions, now)? {
                late.insert(uid, refusal);
            }
        }
        for (input, output) in inputs.iter().zip(&mut outputs) {
            if let (Ok(()), Some(refusal)) = (&output, late.get(&input.key.uid)) {
                *output = Err(refusal.clone());
            }
        }
        Ok(SetOutcome {
            objects: found.written.objects,
            rows: found.written.rows,
            new_rows: Vec::new(),
            outputs,
        })
    }
}

impl ProgressInput {
    /// The later report wins field by field.
    pub(in crate::queue) fn merge(&mut self, later: &Self) {
        let Some(later) = &later.progress else { return };
        let progress = self.progress.get_or_insert_default();
        progress.phase = later.phase.or(progress.phase);
        progress.message = later.message.clone().or_else(|| progress.message.take());
        progress.child_ref = later.child_ref.clone().or_else(|| progress.child_ref.take());
        if !later.actions.is_empty() {
            progress.actions.clone_from(&later.actions);
        }
    }
}

impl Found {
    fn record(
        &mut self,
        input: &ProgressInput,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<Result<(), ReportRefusal>, StorageError> {
        let queued = match self.order(&input.key) {
            Ok(queued) => queued.clone(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(fence) = input.key.fence else {
            return Ok(Ok(()));
        };
        let event = match &input.progress {
            Some(progress) => Event::Progress {
                fence,
                progress: Box::new(progress.clone()),
            },
            None => Event::Renewed { fence },
        };
        let version = versions.draw();
        let transition = match transition(&queued.state(), &event, moment(now, version)) {
            Ok(transition) => transition,
            Err(refusal) => return Ok(Err(refused(&queued, refusal))),
        };
        let step = Step {
            before: &queued,
            event: &event,
            transition: &transition,
            version,
            now,
            answer: None,
        };
        self.written.step(&step, versions)?;
        Ok(Ok(()))
    }
}
