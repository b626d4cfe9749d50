//! The life of a WorkOrder: one pure state machine.
//!
//! Everything that may happen to an order is an [`Event`]; [`transition`] says what becomes of the order, as a new
//! [`State`] and a list of [`Effect`]s, or why the event is refused. There is no I/O, no SQL and no clock here: the
//! caller holds the version lock, brings the database's time and a jitter ([`Moment`]), and writes what comes out in the
//! same transaction. Upstream's nearest relative is the Job controller's `syncJob`, with the queue of a work system
//! instead of pods.
//!
//! What it leaves out: who may ask (authorisation and the identity rule come first), which agents are targeted, in which
//! order orders are claimed, and how an order that was created finished (by its idempotency key) came to be.
//!
//! # The picture
//!
//! ```text
//!  create                 claim                    progress
//!  -------> Pending -----------------> Claimed ---------------> Running
//!             ^  ^ ^                    |  |  |                 |  |  |
//!   backoff   |  | | release,           |  |  |                 |  |  +- complete: Succeeded --> Succeeded
//!   elapsed   |  | | agent's fault      |  |  |                 |  +---- complete: permanent,
//!             |  | +--------------------+  |  |                 |        budget spent ---------> Failed
//!             |  +--- lease lost ----------+--------------------+
//!             |                               |                 |
//!          RetryPending <-- complete: retryable, attempt cap ---+
//!
//!  Pending, RetryPending -- cancel, DELETE --> Cancelled        -- order's deadline --> Failed
//!  Claimed, Running ------- cancel, DELETE, order's deadline --> Cancelling
//!  Cancelling ------------- confirmed, lease lost, deadline ---> Cancelled (Failed if the order's deadline ended it)
//!  Cancelling ------------- complete: Succeeded --------------> Succeeded
//! ```
//!
//! # Who may make each move
//!
//! | event | who | Pending | Claimed | Running | RetryPending | Cancelling | terminal |
//! |---|---|---|---|---|---|---|---|
//! | Claimed | agent | Claimed | same, taken over, or held | same, taken over, or held | not due, or Claimed | same, taken over, or held | finished |
//! | Progress | holder | spent | Claimed or Running | Running | spent | Cancelling | spent |
//! | Renewed | holder | spent | Claimed | Running | spent | Cancelling | spent |
//! | Completed | holder | repeat or spent | decided | decided | repeat or spent | ends | repeat or spent |
//! | Released | holder | spent | Pending | Pending, or refused if it may do harm twice | spent | ends | spent |
//! | Released, force | operator | not held | Pending | Pending | not held | ends | finished |
//! | LeaseLost | sweeper | superseded | Pending, Failed, or lapsed | Pending, Failed, or lapsed | superseded | ends, or lapsed | superseded |
//! | AttemptCapReached | sweeper | superseded | RetryPending or Failed | RetryPending or Failed | superseded | superseded | superseded |
//! | DeadlineReached | sweeper | Failed | Cancelling | Cancelling | Failed | superseded | superseded |
//! | BackoffElapsed | sweeper | superseded | superseded | superseded | Pending | superseded | superseded |
//! | CancelRequested | user | Cancelled | Cancelling | Cancelling | Cancelled | unchanged | unchanged |
//! | DeleteRequested | user | Cancelled, gone | Cancelling; gone with grace 0 | as Claimed | Cancelled, gone | shortened, or gone | gone |
//! | FinalizerRemoved | user | unchanged | unchanged | unchanged | unchanged | ends if deleted | unchanged |
//! | CancelDeadlineReached | sweeper | superseded | superseded | superseded | superseded | ends | superseded |
//! | TtlElapsed | sweeper | not finished | not finished | not finished | not finished | not finished | gone |
//! | Suspended, Resumed | user | in or out of the queue | noted | noted | noted | noted | unchanged |
//!
//! *Spent*, *superseded* and so on are [`Refusal`]s. *Ends* means Cancelled, or Failed with DeadlineExceeded if the
//! order's own deadline was the cause. In a namespace that is being deleted nothing is claimed or requeued, and a
//! failure is final.
//!
//! # What a crash does
//!
//! A transition and its effects are one transaction, so a server that dies has made the whole move or none of it. Before
//! the commit the caller gets no answer and asks again: claims repeat by holder, completions by fence, and sweeps find
//! the same rows. After the commit the effects that reach outside (ringing an agent) are hints; an agent that misses
//! one learns the same from its next renewal or poll. An agent that dies leaves a lease that runs out; its work goes to
//! somebody else (`LeaseLost`) or waits for it, if running twice may do harm (lapsed).

mod apply;
mod claim;
mod completion;
mod conditions;
mod effect;
mod ending;
mod event;
mod log_entry;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use apply::second;
pub use completion::backoff;
pub use effect::{AttemptEnd, Effect, LogEntry, Transition};
pub use ending::{CANCEL_GRACE_SECONDS, grace_seconds};
pub use event::{ClaimRequest, Event};
pub use log_entry::{log_entry, log_name};
pub use refusal::Refusal;
pub use state::{Claim, Ending, QueueColumns, State};

use k8s_openapi::jiff::Timestamp;

/// What a transition needs beside state and event: the time by the database's clock, and a random number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// Where in the ten percent of jitter a backoff ends: 0.0 to 1.0.
    pub jitter: f64,
}

/// What becomes of an order when something happens to it.
///
/// # Errors
///
/// A [`Refusal`] says why nothing does; the order stays as it is.
pub fn transition(state: &State, event: &Event, at: Moment) -> Result<Transition, Refusal> {
    match event {
        Event::Claimed(request) => claim::claimed(state, request, at),
        Event::Progress { fence, progress } => claim::progress(state, *fence, progress, at),
        Event::Renewed { fence } => claim::renewed(state, *fence, at),
        Event::Released {
            fence,
            by,
            reason,
            force: false,
        } => claim::released(state, *fence, by, reason, at),
        Event::Released {
            by,
            reason,
            force: true,
            ..
        } => claim::released_by_force(state, by, reason, at),
        Event::LeaseLost { fence } => claim::lease_lost(state, *fence, at),
        Event::Completed(report) => completion::completed(state, report, at),
        Event::AttemptCapReached => completion::attempt_cap_reached(state, at),
        Event::BackoffElapsed => completion::backoff_elapsed(state, at),
        Event::CancelRequested { by, reason } => ending::cancel_requested(state, by, reason, at),
        Event::DeleteRequested { by, grace_seconds } => {
            ending::delete_requested(state, by, *grace_seconds, at)
        }
        Event::FinalizerRemoved { by } => ending::finalizer_removed(state, by, at),
        Event::CancelDeadlineReached => ending::cancel_deadline_reached(state, at),
        Event::DeadlineReached => ending::deadline_reached(state, at),
        Event::TtlElapsed => ending::ttl_elapsed(state, at),
        Event::Suspended => Ok(ending::suspended(state)),
        Event::Resumed => Ok(ending::resumed(state)),
    }
}
