//! What is queued for the writer, and how a batch of it is collected, split and answered.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::set::SetGroup;
use crate::object::whole_seconds;
use crate::storage::error::StorageError;
use crate::storage::mutation::{ObjectWrite, Update};
use crate::storage::options::StorageOptions;
use crate::storage::types::Stored;

/// One update and who waits for it.
pub(crate) struct PendingUpdate {
    pub(crate) update: Update,
    /// Whether the writer has dated the object, which each attempt does anew.
    dated: bool,
    reply: oneshot::Sender<Result<Answer, StorageError>>,
}

/// What an update has come to.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The state that was written.
    pub(crate) stored: Arc<Stored>,
    /// What forerunners tell the creator of a new object.
    pub(crate) warnings: Vec<String>,
}

impl PendingUpdate {
    pub(crate) const fn new(update: Update, reply: oneshot::Sender<Result<Answer, StorageError>>) -> Self {
        Self {
            update,
            dated: false,
            reply,
        }
    }

    /// A new object is as old as the transaction, unless it says how old it is.
    pub(super) fn date(&mut self, now: Timestamp) {
        if let ObjectWrite::Create { object, .. } = &mut self.update.object {
            let created = &mut object.metadata.creation_timestamp;
            if self.dated || created.is_none() {
                *created = Some(Time(whole_seconds(now)));
                self.dated = true;
            }
        }
    }
}

/// One element of the queue.
pub(crate) enum Operation {
    Update {
        pending: Box<PendingUpdate>,
        bytes: usize,
    },
    Set {
        group: Box<dyn SetGroup>,
        bytes: usize,
    },
}

impl Operation {
    const fn bytes(&self) -> usize {
        match self {
            Self::Update { bytes, .. } | Self::Set { bytes, .. } => *bytes,
        }
    }
}

/// One result per update of a batch, in order. A set mutation keeps its outputs itself.
pub(super) type Answers = Vec<Result<Answer, StorageError>>;

/// The operations of one transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) updates: Vec<PendingUpdate>,
    /// One group per mutation, in the order of arrival.
    pub(super) sets: Vec<Box<dyn SetGroup>>,
    /// Whether a table has refused what was believed of the keys of creates, or might.
    pub(super) refused: bool,
    /// Set when a batch that this one is a part of ran into a time limit.
    pub(super) haste: Option<Haste>,
}

/// How little time there is for what is tried again after a statement has taken too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Haste {
    /// Nothing is begun after this.
    pub(super) until: Instant,
    /// The longest that a statement may run under the lock.
    pub(super) statement_timeout: Duration,
}

impl Batch {
    fn add(&mut self, operation: Operation) {
        match operation {
            Operation::Update { pending, .. } => self.updates.push(*pending),
            Operation::Set { group, .. } => {
                match self
                    .sets
                    .iter_mut()
                    .find(|known| known.identity() == group.identity())
                {
                    Some(known) => known.absorb(group),
                    None => self.sets.push(group),
                }
            }
        }
    }

    /// Whether something was believed that a look could correct.
    pub(super) fn believes(&self) -> bool {
        let create = |write: &ObjectWrite| matches!(write, ObjectWrite::Create { .. });
        let any = |update: &Update| create(&update.object) || update.further.objects.iter().any(create);
        !self.refused && self.updates.iter().any(|pending| any(&pending.update))
    }

    pub(super) fn len(&self) -> usize {
        self.updates.len() + self.sets.iter().map(|set| set.len()).sum::<usize>()
    }

    /// Two batches of what is in this one, in order; only for batches of more than one operation.
    pub(super) fn split(mut self) -> (Self, Self) {
        let mut second = Self {
            refused: self.refused,
            haste: self.haste,
            ..Self::default()
        };
        if !self.updates.is_empty() && !self.sets.is_empty() {
            second.sets = std::mem::take(&mut self.sets);
        } else if self.updates.len() > 1 {
            second.updates = self.updates.split_off(self.updates.len() / 2);
        } else if self.sets.len() > 1 {
            second.sets = self.sets.split_off(self.sets.len() / 2);
        } else {
            second.sets = self
                .sets
                .iter_mut()
                .map(|set| set.split_off(set.len() / 2))
                .collect();
        }
        (self, second)
    }

    /// Every operation alone and in haste, in order.
    pub(super) fn singles(mut self, haste: Haste) -> Vec<Self> {
        self.haste = Some(haste);
        let (mut whole, mut singles) = (vec![self], Vec::new());
        while let Some(batch) = whole.pop() {
            if batch.len() == 1 {
                singles.push(batch);
            } else {
                let (first, second) = batch.split();
                whole.extend([second, first]);
            }
        }
        singles
    }

    /// Whether the time for trying it again has run out.
    pub(super) fn is_late(&self) -> bool {
        self.haste.is_some_and(|haste| haste.until <= Instant::now())
    }

    /// A caller that has gone away does not hear its answer; the write has happened all the same.
    pub(super) fn answer(self, answers: Answers) {
        for (pending, answer) in self.updates.into_iter().zip(answers) {
            let _ = pending.reply.send(answer);
        }
        for set in self.sets {
            set.answer(Ok(()));
        }
    }

    pub(super) fn fail(self, error: &StorageError) {
        for pending in self.updates {
            let _ = pending.reply.send(Err(error.clone()));
        }
        for set in self.sets {
            set.answer(Err(error.clone()));
        }
    }
}

/// Takes batches from the queue.
pub(super) struct Collector {
    queue: mpsc::Receiver<Operation>,
    operations_max: usize,
    bytes_max: usize,
    /// An operation that was too large for the batch before.
    carried: Option<Operation>,
}

impl Collector {
    pub(super) const fn new(queue: mpsc::Receiver<Operation>, options: &StorageOptions) -> Self {
        Self {
            queue,
            operations_max: options.batch_operations_max,
            bytes_max: options.batch_bytes_max,
            carried: None,
        }
    }

    /// The next batch: waits for the first operation, never for further ones. `None` when the token is
    /// cancelled and the queue is empty.
    pub(super) async fn next(&mut self, token: &CancellationToken) -> Option<Batch> {
        let first = match self.carried.take() {
            Some(operation) => operation,
            None => self.first(token).await?,
        };
        let mut bytes = first.bytes();
        let mut batch = Batch::default();
        batch.add(first);
        while batch.len() < self.operations_max {
            let Ok(operation) = self.queue.try_recv() else {
                break;
            };
            bytes += operation.bytes();
            if bytes > self.bytes_max {
                self.carried = Some(operation);
                break;
            }
            batch.add(operation);
        }
        Some(batch)
    }

    async fn first(&mut self, token: &CancellationToken) -> Option<Operation> {
        tokio::select! {
            biased;
            () = token.cancelled() => {
                self.queue.close();
                self.queue.recv().await
            }
            operation = self.queue.recv() => operation,
        }
    }
}
