//! The updates of a batch: judged, looked at by forerunners, and written.

use jiff::Timestamp;
use serde_json::Map;

use super::batch::{Answer, Answers, Batch, PendingUpdate};
use super::forerunner::Questions;
use super::judge::Judge;
use super::set::Decided;
use super::stage::{Stage, Written, state};
use super::transaction::Transaction;
use crate::storage::error::StorageError;
use crate::storage::mutation::{NewRow, ObjectWrite, Versions};

impl Transaction<'_> {
    pub(super) async fn updates(
        &mut self,
        batch: &mut Batch,
        mut questions: Questions,
        versions: &mut Versions,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<Answers, StorageError> {
        if batch.updates.is_empty() {
            return Ok(Vec::new());
        }
        let mut judge = Judge::read(self.connection, self.resources, &batch.updates, batch.refused).await?;
        let mut stage = Stage::new(self.resources);
        let mut answers = Vec::with_capacity(batch.updates.len());
        for pending in &mut batch.updates {
            answers.push(match judge.accept(&pending.update) {
                Ok(()) => Ok(add(pending, &mut stage, versions, now, written)?),
                Err(error) => Err(error),
            });
        }
        if answers.iter().any(Result::is_err) {
            let accepted = batch.updates.iter().zip(&answers);
            let accepted = accepted.filter_map(|(pending, answer)| answer.is_ok().then_some(pending));
            questions.groups = self.questions(accepted)?.groups;
        }
        for decided in questions.decide(versions, now)? {
            tell(&decided.new_rows, &batch.updates, &mut answers);
            // Whoever asks for work in the same batch may be idle after it.
            if batch.sets.is_empty() {
                written.spare(&decided.new_rows);
            }
            stage_decided(decided, &mut stage)?;
        }
        stage.execute(self.connection, written).await?;
        Ok(answers)
    }
}

/// Adds an update that was accepted; gives its answer.
fn add(
    pending: &mut PendingUpdate,
    stage: &mut Stage<'_>,
    versions: &mut Versions,
    now: Timestamp,
    written: &mut Written,
) -> Result<Answer, StorageError> {
    pending.date(now);
    let own = written.changes.len();
    let (object, further) = (&mut pending.update.object, &mut pending.update.further);
    stage.add(object, versions.draw(), &further.columns, written)?;
    for write in &mut further.objects {
        stage.add(write, versions.draw(), &Map::new(), written)?;
    }
    further.rows.iter().cloned().for_each(|row| stage.add_side(row));
    let stored = state(&written.changes[own]).cloned();
    Ok(Answer {
        stored: stored.ok_or_else(|| StorageError::Database("a change of nothing".to_owned()))?,
        warnings: Vec::new(),
    })
}

/// Adds the warnings about new objects to the answers that their creators get.
fn tell(new_rows: &[NewRow], updates: &[PendingUpdate], answers: &mut Answers) {
    for row in new_rows.iter().filter(|row| !row.warnings.is_empty()) {
        for (pending, answer) in updates.iter().zip(&mut *answers) {
            match (&pending.update.object, answer) {
                (ObjectWrite::Create { resource, .. }, Ok(answer))
                    if *resource == row.resource && answer.stored.key == row.key =>
                {
                    answer.warnings.extend(row.warnings.iter().cloned());
                }
                _ => {}
            }
        }
    }
}

/// Adds what a forerunner has decided to what is about to be written.
fn stage_decided(decided: Decided, stage: &mut Stage<'_>) -> Result<(), StorageError> {
    if !decided.objects.is_empty() {
        return Err(StorageError::Database("a forerunner wrote objects".to_owned()));
    }
    stage.add_columns(decided.new_rows);
    decided.rows.into_iter().for_each(|row| stage.add_side(row));
    Ok(())
}
