//! Set mutations and followers without their types: what the writer sees of them.

use std::any::{Any, TypeId};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::storage::error::StorageError;
use crate::storage::mutation::{Change, Follower, NewRow, SetMutation, SideRow, VersionedWrite, Versions};

/// Which mutation a group belongs to: its type, and which one of the type.
pub(crate) type Identity = (TypeId, usize);

/// What a set mutation decided to write.
pub(crate) struct Decided {
    pub(super) objects: Vec<VersionedWrite>,
    pub(super) rows: Vec<SideRow>,
    pub(super) new_rows: Vec<NewRow>,
}

/// Inputs of one set mutation that are decided together.
pub(crate) trait SetGroup: Send {
    fn identity(&self) -> Identity;
    fn name(&self) -> &'static str;
    fn statement(&self) -> &'static str;
    fn len(&self) -> usize;
    /// Takes over the inputs of another group of the same mutation.
    fn absorb(&mut self, other: Box<dyn SetGroup>);
    /// Gives away the inputs from `at` on.
    fn split_off(&mut self, at: usize) -> Box<dyn SetGroup>;
    /// The inputs as a JSON array.
    fn inputs(&self) -> String;
    /// Decides on the rows of the statement; the outputs are kept for [`Self::answer`].
    fn decide(
        &mut self,
        rows: &[String],
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<Decided, StorageError>;
    /// Answers each caller with its output, or all with the error.
    fn answer(self: Box<Self>, result: Result<(), StorageError>);
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// The group of a mutation of a known type.
pub(crate) struct Group<M: SetMutation> {
    mutation: Arc<M>,
    inputs: Vec<M::Input>,
    /// The inputs, each as JSON.
    encoded: Vec<String>,
    /// One per input; none for followers and forerunners.
    replies: Vec<oneshot::Sender<Result<M::Output, StorageError>>>,
    outputs: Vec<M::Output>,
}

impl<M: SetMutation> Group<M> {
    /// A group of inputs that nobody waits for.
    pub(super) fn new(mutation: Arc<M>, inputs: Vec<M::Input>) -> Result<Self, StorageError> {
        let encoded = inputs.iter().map(serde_json::to_string).collect::<Result<_, _>>();
        let encoded = encoded.map_err(|error| {
            StorageError::Database(format!("input of {} cannot be encoded: {error}", mutation.name()))
        })?;
        Ok(Self {
            mutation,
            inputs,
            encoded,
            replies: Vec::new(),
            outputs: Vec::new(),
        })
    }

    /// A group of one input, and where its answer will come; also the size of the input.
    #[expect(clippy::type_complexity, reason = "the receiver of an answer is what it is")]
    pub(crate) fn single(
        mutation: Arc<M>,
        input: M::Input,
    ) -> Result<(Self, usize, oneshot::Receiver<Result<M::Output, StorageError>>), StorageError> {
        let mut group = Self::new(mutation, vec![input])?;
        let (reply, answer) = oneshot::channel();
        group.replies.push(reply);
        let bytes = group.encoded.iter().map(String::len).sum();
        Ok((group, bytes, answer))
    }
}

impl<M: SetMutation> SetGroup for Group<M> {
    fn identity(&self) -> Identity {
        (
            TypeId::of::<M>(),
            Arc::as_ptr(&self.mutation).cast::<()>() as usize,
        )
    }

    fn name(&self) -> &'static str {
        self.mutation.name()
    }

    fn statement(&self) -> &'static str {
        self.mutation.statement()
    }

    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn absorb(&mut self, other: Box<dyn SetGroup>) {
        let other = other
            .into_any()
            .downcast::<Self>()
            .expect("groups of one identity have one type");
        self.inputs.extend(other.inputs);
        self.encoded.extend(other.encoded);
        self.replies.extend(other.replies);
    }

    fn split_off(&mut self, at: usize) -> Box<dyn SetGroup> {
        Box::new(Self {
            mutation: Arc::clone(&self.mutation),
            inputs: self.inputs.split_off(at),
            encoded: self.encoded.split_off(at),
            replies: self.replies.split_off(at),
            outputs: Vec::new(),
        })
    }

    fn inputs(&self) -> String {
        format!("[{}]", self.encoded.join(","))
    }

    fn decide(
        &mut self,
        rows: &[String],
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<Decided, StorageError> {
        let name = self.mutation.name();
        let rows = rows
            .iter()
            .map(|row| serde_json::from_str(row))
            .collect::<Result<Vec<M::Row>, _>>();
        let rows = rows.map_err(|error| StorageError::Corrupt(format!("row of {name}: {error}")))?;
        let outcome = self.mutation.decide(&self.inputs, rows, versions, now)?;
        if outcome.outputs.len() != self.replies.len() {
            let (inputs, outputs) = (self.replies.len(), outcome.outputs.len());
            return Err(StorageError::Database(format!(
                "{name} gave {outputs} outputs for {inputs} inputs"
            )));
        }
        self.outputs = outcome.outputs;
        Ok(Decided {
            objects: outcome.objects,
            rows: outcome.rows,
            new_rows: outcome.new_rows,
        })
    }

    fn answer(self: Box<Self>, result: Result<(), StorageError>) {
        match result {
            Ok(()) => {
                for (reply, output) in self.replies.into_iter().zip(self.outputs) {
                    let _ = reply.send(Ok(output));
                }
            }
            Err(error) => {
                for reply in self.replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A follower without its type.
pub(crate) trait ErasedFollower: Send + Sync {
    fn name(&self) -> &'static str;
    /// The group that the changes ask for, if any.
    fn group(&self, changes: &[Change]) -> Result<Option<Box<dyn SetGroup>>, StorageError>;
}

/// A follower of a known type.
pub(crate) struct FollowerOf<F>(pub(crate) Arc<F>);

impl<F: Follower> ErasedFollower for FollowerOf<F> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn group(&self, changes: &[Change]) -> Result<Option<Box<dyn SetGroup>>, StorageError> {
        let inputs = self.0.inputs(changes);
        if inputs.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(Group::new(Arc::clone(&self.0), inputs)?)))
    }
}
