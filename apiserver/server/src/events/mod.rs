//! Kubernetes Events about orders, where a person may want to know or to act.
//!
//! Every replica follows the orders and creates the same Events under the same names, so that each exists
//! once, whichever replica lives. [`notice`] says what is worth an Event, from the state of an order alone;
//! [`recorder`] creates them, in bounds and without holding anybody up. Events are hints: what counts is in
//! the order's status and in the log. Upstream concept: `client-go/tools/events`.

mod notice;
mod rate;
mod recorder;

use std::time::Duration;

use brokkr_apis::work::v1alpha1::WorkOrderStatus;
use futures::StreamExt;
use generic_apiserver::storage::{
    Freshness, Selection, Storage, StorageError, Stored, WatchEvent, WatchOptions, WatchStart,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

pub use self::recorder::Recorder;
use crate::registry::work_order::table::WORK_ORDERS;

/// What happened longer ago is not told any more: the same Event may have come and gone.
const STALE: SignedDuration = SignedDuration::from_mins(5);

/// How long a broken watch waits before it begins anew.
const PAUSE: Duration = Duration::from_secs(1);

/// The part of an order that Events are about.
#[derive(Deserialize)]
struct Seen {
    #[serde(default)]
    status: WorkOrderStatus,
}

/// Follows the orders from now on, until `token` is cancelled.
pub async fn run(storage: Storage, recorder: Recorder, token: CancellationToken) {
    let follow = async {
        loop {
            if let Err(error) = follow(&storage, &recorder).await {
                tracing::debug!(%error, "the watch that Events are made from ended; it begins anew");
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    token.run_until_cancelled(follow).await;
}

async fn follow(storage: &Storage, recorder: &Recorder) -> Result<(), StorageError> {
    let options = WatchOptions {
        namespace: None,
        selection: Selection::default(),
        start: WatchStart::Now(Freshness::Any),
        bookmarks: false,
    };
    let mut changes = storage.watch(WORK_ORDERS, options).await?;
    while let Some(change) = changes.next().await {
        if let WatchEvent::Object(_, order) = change? {
            tell(&order, recorder);
        }
    }
    Ok(())
}

/// Tells what is worth telling about one state of an order.
fn tell(order: &Stored, recorder: &Recorder) {
    let Ok(Seen { status }) = serde_json::from_slice(&order.encoded) else {
        return;
    };
    let now = Timestamp::now();
    for notice in notice::notices(&status) {
        if now.duration_since(notice.at) < STALE {
            recorder.record(&order.metadata, &notice);
        }
    }
}
