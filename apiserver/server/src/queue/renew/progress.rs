//! What has changed in a run, and when it is written: at most once per order in five seconds, a child's
//! reference at once, and what still waits before the replica ends.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use brokkr_apis::work::v1alpha1::{Progress, ProgressPhase, WorkOrder, WorkOrderPhase};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::queue::report::ProgressInput;

/// The shortest time between two events about the progress of one order.
const INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// The most reports that wait here; when there are more they are written at once.
const WAITING_MAX: usize = 10_000;

/// The most of them that are written at once. All may be due when the replica ends, and the writer's queue, which
/// takes 4096 operations, refuses what it has no room for.
const WRITING_MAX: usize = 1_000;

/// What of the progress the order does not say yet; `None` = nothing.
pub(in crate::queue) fn changed_progress(order: &WorkOrder, reported: &Progress) -> Option<Progress> {
    let status = order.status.as_ref()?;
    let attempt = status.attempts.last()?;
    let starts = reported.phase == Some(ProgressPhase::Running) && status.phase == WorkOrderPhase::Claimed;
    let changed = Progress {
        phase: reported.phase.filter(|_| starts),
        message: reported
            .message
            .clone()
            .filter(|message| *message != attempt.message),
        child_ref: reported
            .child_ref
            .clone()
            .filter(|child| Some(child) != attempt.child.as_ref()),
        actions: if reported.actions == attempt.actions {
            Vec::new()
        } else {
            reported.actions.clone()
        },
    };
    (changed != Progress::default()).then_some(changed)
}

/// How long changed progress has to wait.
pub(in crate::queue) fn wait(
    progress: &Progress,
    written_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Duration> {
    if progress.child_ref.is_some() {
        return None;
    }
    let due = written_at? + INTERVAL;
    Duration::try_from(due.duration_since(now))
        .ok()
        .filter(|wait| !wait.is_zero())
}

/// Reports that wait for their time. An agent says what has changed once, so that a replica which ends writes
/// them first ([`Self::end`]). One that is killed loses them: then the order says so again with the next change,
/// or with its completion.
#[derive(Debug)]
pub(in crate::queue) struct ProgressDelay {
    waiting: Mutex<HashMap<String, ProgressInput>>,
    /// One task for each that waits.
    tasks: TaskTracker,
    turns: Semaphore,
    /// Cancelled when nothing is to wait any more.
    ending: CancellationToken,
}

impl Default for ProgressDelay {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            tasks: TaskTracker::new(),
            turns: Semaphore::new(WRITING_MAX),
            ending: CancellationToken::new(),
        }
    }
}

/// What is to be done with a report.
#[derive(Debug)]
pub(in crate::queue) enum Admitted {
    /// It is to be written now.
    Now(Box<ProgressInput>),
    /// It waits; whoever is told so takes it after that time.
    After(Duration),
    /// It has joined one that waits already.
    Joined,
}

impl ProgressDelay {
    /// Takes in a report, with what waited of the same order.
    pub(in crate::queue) fn admit(&self, mut input: ProgressInput, wait: Option<Duration>) -> Admitted {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = waiting.remove(&input.key.uid);
        let waits_already = earlier.is_some();
        if let Some(mut earlier) = earlier.filter(|earlier| earlier.key.fence == input.key.fence) {
            earlier.merge(&input);
            input = earlier;
        }
        match wait {
            Some(wait) if waits_already || waiting.len() < WAITING_MAX => {
                waiting.insert(input.key.uid.clone(), input);
                if waits_already {
                    Admitted::Joined
                } else {
                    Admitted::After(wait)
                }
            }
            _ => Admitted::Now(Box::new(input)),
        }
    }

    /// Takes what waits for an order.
    pub(in crate::queue) fn take(&self, uid: &str) -> Option<ProgressInput> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid)
    }

    /// Runs what writes a report after this time, or as soon as the replica is about to end.
    pub(in crate::queue) fn later(
        self: &Arc<Self>,
        wait: Duration,
        write: impl Future<Output = ()> + Send + 'static,
    ) {
        let delay = Arc::clone(self);
        self.tasks.spawn(async move {
            let due = tokio::time::sleep(wait);
            delay.ending.run_until_cancelled(due).await;
            // Never closed; without a turn it is written all the same.
            let _turn = delay.turns.acquire().await;
            write.await;
        });
    }

    /// Lets nothing wait any longer; gives how many reports have not been written within the patience.
    pub(in crate::queue) async fn end(&self, patience: Duration) -> usize {
        self.ending.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
        self.tasks.len()
    }
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::{Attempt, ChildReference, WorkOrderStatus};

    use super::*;

    fn order(message: &str) -> WorkOrder {
        let attempt = Attempt {
            message: message.to_owned(),
            ..Attempt::default()
        };
        let status = WorkOrderStatus {
            phase: WorkOrderPhase::Running,
            attempts: vec![attempt],
            ..WorkOrderStatus::default()
        };
        WorkOrder {
            status: Some(status),
            ..WorkOrder::default()
        }
    }

    fn saying(message: &str) -> Progress {
        Progress {
            message: Some(message.to_owned()),
            ..Progress::default()
        }
    }

    #[test]
    fn repeated_progress_is_no_change() {
        let repeated = Progress {
            phase: Some(ProgressPhase::Running),
            ..saying("step 1")
        };
        assert_eq!(changed_progress(&order("step 1"), &repeated), None);
        assert_eq!(
            changed_progress(&order("step 1"), &saying("step 2")),
            Some(saying("step 2"))
        );
    }

    #[test]
    fn message_waits_and_child_does_not() {
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        let recently = Some(now - SignedDuration::from_secs(2));
        assert_eq!(wait(&saying("a"), recently, now), Some(Duration::from_secs(3)));
        assert_eq!(
            wait(&saying("a"), Some(now - SignedDuration::from_secs(6)), now),
            None
        );
        assert_eq!(wait(&saying("a"), None, now), None);
        let child = Progress {
            child_ref: Some(ChildReference::default()),
            ..Progress::default()
        };
        assert_eq!(wait(&child, recently, now), None);
    }

    #[tokio::test]
    async fn end_is_not_held_up_by_a_write_that_hangs() {
        let delay = Arc::new(ProgressDelay::default());
        delay.later(Duration::ZERO, std::future::pending());
        delay.later(Duration::from_secs(3600), std::future::ready(()));

        assert_eq!(delay.end(Duration::from_millis(50)).await, 1);
    }
}
