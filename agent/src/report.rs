//! Reporting the end of an order: until the hub has taken it, however long that takes.
//!
//! The claim is renewed all the while, so a hub that was away finds the order still held. If the process dies before,
//! the next one finds the run, which is kept long enough, and reports the same.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::{Results, WorkOrderCompletionSpec};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::claim::{Claim, Directive};
use crate::hub::{Hub, HubError};
use crate::outcome::Outcome;

const DELAY_FIRST: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(10);

/// Delivers the outcome. Ends when the hub has taken it, when it says that the claim is gone (it keeps a late report),
/// or when the agent is about to exit.
pub async fn deliver(hub: &Hub, claim: &Claim, outcome: Outcome, directive: &mut watch::Receiver<Directive>) {
    let completion = outcome.into_completion(&claim.uid, claim.fence);
    tokio::select! {
        () = until_taken(hub, claim, completion) => {}
        _ = directive.wait_for(|directive| *directive == Directive::Detach) => {
            warn!("the end of the order was not reported; the next process of this agent does");
        }
    }
}

async fn until_taken(hub: &Hub, claim: &Claim, mut completion: WorkOrderCompletionSpec) {
    let mut delay = DELAY_FIRST;
    loop {
        match hub.complete(&claim.namespace, &claim.name, &completion).await {
            Ok(status) => {
                let phase = status.phase.map(|phase| phase.as_str());
                info!(outcome = %completion.outcome, reason = completion.reason, phase, "order reported");
                return;
            }
            Err(error) if error.is_gone() => {
                warn!(outcome = %completion.outcome, %error, "the claim was gone when the order was reported");
                return;
            }
            Err(HubError::Refused {
                code: 400 | 413 | 422,
                message,
            }) => match shortened(&completion) {
                Some(shorter) => {
                    let said = completion.message.as_str();
                    let source_reason = completion.source_reason.as_deref();
                    warn!(
                        error = message,
                        said, source_reason, "the hub does not take the report; reporting less"
                    );
                    completion = shorter;
                }
                None => {
                    error!(
                        error = message,
                        "the hub does not take the report; the order ends when its claim lapses"
                    );
                    return;
                }
            },
            // A missing permission is granted, and an outage passes.
            Err(error) => warn!(%error, retry_in_s = delay.as_secs(), "the order could not be reported"),
        }
        sleep(delay).await;
        delay = (delay * 2).min(DELAY_MAX);
    }
}

/// The report without its results, or else without its words, which alone can be too long. None if it has neither.
fn shortened(report: &WorkOrderCompletionSpec) -> Option<WorkOrderCompletionSpec> {
    let without_results = WorkOrderCompletionSpec {
        results: Results::new(),
        ..report.clone()
    };
    if without_results != *report {
        return Some(without_results);
    }
    let minimal = WorkOrderCompletionSpec {
        source_reason: None,
        message: "the hub did not take what the agent had to say; it is in the agent's log".to_owned(),
        ..without_results
    };
    (minimal != *report).then_some(minimal)
}
