//! GET of a collection with `watch`: its changes, as they happen.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/handlers.serveWatch`. Left out: WebSockets.

mod frames;

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use rand::Rng;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::Call;
use crate::endpoints::negotiation::{Transform, negotiate};
use crate::endpoints::options::{ListQuery, Query};
use crate::endpoints::table::IncludeObject;
use crate::endpoints::{Response, StatusError, response};
use crate::registry::RegistryError;
use crate::storage::{StorageError, WatchEvent, WatchStream};

use frames::Frames;

/// Without `timeoutSeconds` a watch lasts between this and twice as long, so that not all end at once.
const TIMEOUT_SECONDS_MIN: u64 = 1800;

/// A last bookmark is sent so long before the end, so that the client resumes from a recent version.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// Where events come from.
enum Events {
    /// From storage.
    Live(Box<WatchStream>),
    /// A watch that cannot begin: clients expect the reason on the stream.
    Refused(Option<StorageError>),
}

impl Events {
    async fn next(&mut self) -> Option<Result<WatchEvent, StorageError>> {
        match self {
            Self::Live(events) => events.next().await,
            Self::Refused(error) => error.take().map(Err),
        }
    }

    fn bookmark_now(&mut self) {
        if let Self::Live(events) = self {
            events.bookmark_now();
        }
    }
}

pub(super) async fn watch(call: &Call<'_>) -> Result<Response, StatusError> {
    let negotiated = negotiate(call.parts, &Transform::ALL)?;
    if negotiated.transform == Transform::PartialObjectMetadataList {
        return Err(response::wrong_shape("PartialObjectMetadata"));
    }
    let include = IncludeObject::parse(Query::of(call.parts))?;
    let mut query = ListQuery::parse(Query::of(call.parts), &call.resource().fields)?;
    if !call.info.name.is_empty() {
        // The legacy path names one object; a field selector that names it is met twice, which is no harm.
        query.demand_name(&call.info.name);
    }
    let timeout = timeout(query.timeout_seconds);
    let options = query.into_watch(call.namespace())?;
    let events = match call.storage.watch(options).await {
        Ok(events) => Events::Live(Box::new(events)),
        Err(RegistryError::Storage(error @ StorageError::Expired { .. })) => Events::Refused(Some(error)),
        Err(error) => return Err(call.refused(error)),
    };
    let watch = Watch {
        events,
        frames: Frames::new(call, &negotiated, include),
        last_bookmark: timeout
            .checked_sub(LAST_BOOKMARK)
            .map(|after| Box::pin(tokio::time::sleep(after))),
        deadline: Box::pin(tokio::time::sleep(timeout)),
        shutdown: call.shutdown.clone(),
        ended: false,
    };
    let frames = stream::unfold(watch, Watch::next).map(|frame| Ok(Frame::data(frame)));
    Ok(response::with_body(
        StatusCode::OK,
        StreamBody::new(frames).boxed_unsync(),
    ))
}

fn timeout(asked_seconds: Option<u64>) -> Duration {
    let seconds = asked_seconds
        .unwrap_or_else(|| rand::rng().random_range(TIMEOUT_SECONDS_MIN..=2 * TIMEOUT_SECONDS_MIN));
    Duration::from_secs(seconds)
}

/// Returns when the timer fires; never without one.
async fn due(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.as_mut().await,
        None => std::future::pending().await,
    }
}

/// A watch under way.
struct Watch {
    events: Events,
    frames: Frames,
    /// Until the last bookmark is due; none once it was, or for a watch that is too short for it.
    last_bookmark: Option<Pin<Box<Sleep>>>,
    deadline: Pin<Box<Sleep>>,
    shutdown: CancellationToken,
    ended: bool,
}

impl Watch {
    /// The next frame; the stream ends at the deadline, at shutdown, with the events, or after an error.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.ended {
            return None;
        }
        let event = loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                () = self.deadline.as_mut() => return None,
                () = due(&mut self.last_bookmark) => {
                    self.last_bookmark = None;
                    self.events.bookmark_now();
                }
                event = self.events.next() => break event?,
            }
        };
        let frame = match event {
            Ok(event) => self.frames.event(&event),
            Err(error) => Err(self.frames.status(error)),
        };
        let bytes = frame.unwrap_or_else(|error| {
            self.ended = true;
            Frames::error(&error)
        });
        Some((bytes, self))
    }
}
