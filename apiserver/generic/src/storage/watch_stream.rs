//! The stream of one watch: what it has missed, what is to come, and bookmarks.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use rand::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::cacher::{Event, Filter, Objects, Registration, page};
use super::error::StorageError;
use super::postgres::Resource;
use super::resource_version::ResourceVersion;
use super::types::{Key, Stored, WatchEvent, WatchEventType};
use crate::mutant;

/// Objects taken from a snapshot at once.
const CHUNK_OBJECTS: usize = 500;

/// What is delivered before the live events.
pub(super) enum History {
    /// All objects at one version.
    Objects {
        objects: Objects,
        after: Option<Key>,
        chunk: VecDeque<Arc<Stored>>,
    },
    /// Events that have happened already.
    Events(VecDeque<Arc<Event>>),
    /// Whatever a stream reads from the database, which ends with the live events to go on with.
    Stream(BoxStream<'static, Result<Past, StorageError>>),
    /// Nothing, or nothing any more.
    None,
}

/// An item read from the database for the history of a watch.
pub(super) enum Past {
    /// An event.
    Event(WatchEvent),
    /// The live events that follow.
    Live(Registration),
}

/// The events of a watch, in the order of versions.
///
/// Ends when its consumer was too slow or storage shuts down: the consumer goes on with a new watch
/// after the last version it has seen. An error is the last item; `Expired` asks for a new list.
pub struct WatchStream {
    resource: Arc<Resource>,
    filter: Arc<Filter>,
    history: History,
    live: Option<Registration>,
    progress: watch::Receiver<Option<ResourceVersion>>,
    /// The version of the newest event delivered, or where the watch started.
    delivered: ResourceVersion,
    /// The closing bookmark of the initial events, still to come.
    initial_events_end: Option<ResourceVersion>,
    bookmarks: Option<Bookmarks>,
    /// Ends when the selection no longer is what the consumer wants.
    outdated: Option<BoxFuture<'static, ()>>,
    ended: bool,
}

struct Bookmarks {
    interval: Duration,
    timer: Pin<Box<Sleep>>,
    due: bool,
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStream")
            .field("resource", &self.resource.name)
            .field("delivered", &self.delivered)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// How a watch begins.
pub(super) struct WatchBeginning {
    pub(super) history: History,
    pub(super) live: Option<Registration>,
    /// The version before the first event.
    pub(super) after: ResourceVersion,
    /// Whether the history is initial events that a bookmark closes.
    pub(super) initial_events: bool,
}

impl WatchStream {
    pub(super) fn new(
        resource: Arc<Resource>,
        filter: Arc<Filter>,
        beginning: WatchBeginning,
        progress: watch::Receiver<Option<ResourceVersion>>,
        bookmark_interval: Option<Duration>,
    ) -> Self {
        let bookmarks = bookmark_interval.map(Bookmarks::new);
        let closing = beginning.initial_events && bookmarks.is_some();
        Self {
            resource,
            filter,
            history: beginning.history,
            live: beginning.live,
            progress,
            delivered: beginning.after,
            initial_events_end: closing.then_some(beginning.after),
            bookmarks,
            outdated: None,
            ended: false,
        }
    }

    /// Makes a bookmark due: it is delivered as soon as the events before it have been. Without
    /// bookmarks asked for, this does nothing.
    pub fn bookmark_now(&mut self) {
        if let Some(bookmarks) = &mut self.bookmarks {
            bookmarks.due = true;
        }
    }

    /// Ends the watch with `Expired` as soon as `outdated` ends: what it selects by no longer holds, and a watch
    /// that went on after the last version it has seen would miss what others have seen meanwhile.
    #[must_use]
    pub fn expire_when(mut self, outdated: BoxFuture<'static, ()>) -> Self {
        self.outdated = Some(outdated);
        self
    }

    /// The error that ends the watch, once what it selects by no longer holds.
    fn poll_outdated(&mut self, cx: &mut Context<'_>) -> Poll<StorageError> {
        let Some(outdated) = &mut self.outdated else {
            return Poll::Pending;
        };
        outdated.as_mut().poll(cx).map(|()| StorageError::Expired {
            asked: self.delivered,
            oldest: self.progress.borrow().unwrap_or(self.delivered),
            continue_from: None,
        })
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchEvent, StorageError>>> {
        if let Some(past) = std::task::ready!(self.poll_history(cx)) {
            return Poll::Ready(Some(past));
        }
        if let Some(version) = self.initial_events_end.take() {
            return Poll::Ready(Some(Ok(WatchEvent::Bookmark {
                version,
                initial_events_end: true,
            })));
        }
        self.poll_live(cx)
    }

    /// The next item of the history; `None` when it is over.
    fn poll_history(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchEvent, StorageError>>> {
        loop {
            let next = match &mut self.history {
                History::None => return Poll::Ready(None),
                History::Objects {
                    objects,
                    after,
                    chunk,
                } => {
                    if chunk.is_empty() {
                        let (items, _) = page(objects, &self.filter, after.as_ref(), CHUNK_OBJECTS);
                        *after = items.last().map(|object| object.key.clone());
                        chunk.extend(items);
                    }
                    chunk
                        .pop_front()
                        .map(|object| Ok(WatchEvent::Object(WatchEventType::Added, object)))
                }
                History::Events(events) => match events.pop_front() {
                    Some(event) => match event.seen(&self.filter, &self.resource.table).transpose() {
                        Some(seen) => Some(seen),
                        None => continue,
                    },
                    None => None,
                },
                History::Stream(stream) => match std::task::ready!(stream.as_mut().poll_next(cx)) {
                    Some(Ok(Past::Live(live))) => {
                        self.live = Some(live);
                        continue;
                    }
                    Some(Ok(Past::Event(event))) => Some(Ok(event)),
                    Some(Err(error)) => Some(Err(error)),
                    None => None,
                },
            };
            if next.is_none() {
                self.history = History::None;
            }
            return Poll::Ready(next);
        }
    }

    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchEvent, StorageError>>> {
        // Read before the queue: what was applied by then is in the queue, or has been delivered.
        let applied = *self.progress.borrow();
        if mutant!("i4-bookmark-overtakes-events")
            && let Poll::Ready(bookmark) = self.poll_bookmark(applied, cx)
        {
            return Poll::Ready(bookmark);
        }
        let Some(live) = &mut self.live else {
            return Poll::Ready(None);
        };
        match live.queue.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(event))),
            Poll::Ready(None) => Poll::Ready(live.end().map(Err)),
            // Tokio's budget may make a filled queue look pending; no bookmark may overtake its events.
            Poll::Pending if !live.queue.is_empty() => Poll::Pending,
            Poll::Pending => self.poll_bookmark(applied, cx),
        }
    }

    fn poll_bookmark(
        &mut self,
        applied: Option<ResourceVersion>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<WatchEvent, StorageError>>> {
        let delivered = self.delivered;
        let Some(bookmarks) = &mut self.bookmarks else {
            return Poll::Pending;
        };
        if !bookmarks.poll_due(cx) {
            return Poll::Pending;
        }
        bookmarks.restart();
        // The timer must be polled again, or nothing would wake this task for the next bookmark.
        let _ = bookmarks.poll_due(cx);
        let version = applied.map_or(delivered, |applied| applied.max(delivered));
        Poll::Ready(Some(Ok(WatchEvent::Bookmark {
            version,
            initial_events_end: false,
        })))
    }
}

impl Stream for WatchStream {
    type Item = Result<WatchEvent, StorageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = &mut *self;
        if stream.ended {
            return Poll::Ready(None);
        }
        let next = match stream.poll_outdated(cx) {
            Poll::Ready(expired) => Some(Err(expired)),
            Poll::Pending => std::task::ready!(stream.poll_event(cx)),
        };
        match &next {
            Some(Ok(WatchEvent::Object(_, object))) => {
                stream.delivered = stream.delivered.max(object.version);
            }
            Some(Ok(WatchEvent::Bookmark { version, .. })) => stream.delivered = *version,
            Some(Err(_)) | None => {
                stream.ended = true;
                stream.outdated = None;
                stream.live = None;
                stream.history = History::None;
            }
        }
        Poll::Ready(next)
    }
}

impl Bookmarks {
    fn new(interval: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(shortened(interval)));
        Self {
            interval,
            timer,
            due: false,
        }
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> bool {
        self.due |= self.timer.as_mut().poll(cx).is_ready();
        self.due
    }

    fn restart(&mut self) {
        self.due = false;
        self.timer
            .as_mut()
            .reset(Instant::now() + shortened(self.interval));
    }
}

/// Watches that began together should not all be woken together.
fn shortened(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.9..=1.0))
}
