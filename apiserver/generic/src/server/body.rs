//! The body of an answer on its way out, holding what lives until its last byte is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::connection::OpenStream;
use crate::endpoints::{ResponseBody, full_body};
use crate::filters::request_log::RequestLog;

/// What a request holds until its answer is sent.
pub(super) struct Held {
    pub(super) log: RequestLog,
    pub(super) _place: Option<OwnedSemaphorePermit>,
    pub(super) _stream: OpenStream,
}

/// A body with what its request holds.
pub(crate) struct ServedBody {
    body: ResponseBody,
    held: Option<Held>,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The client read its answer too slowly.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client did not read the answer in time")]
pub(crate) struct TooSlow;

impl ServedBody {
    /// The body of an answer, cut off at `deadline` if there is one: a client that does not read must not
    /// hold a place for ever.
    pub(super) fn new(body: ResponseBody, held: Held, deadline: Option<Instant>) -> Self {
        Self {
            body,
            held: Some(held),
            deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Drops the bytes, as the answer to HEAD must.
    pub(super) fn without_bytes(mut self) -> Self {
        self.body = full_body("");
        self
    }

    fn complete(&mut self) {
        if let Some(mut held) = self.held.take() {
            held.log.set_complete();
        }
    }
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = TooSlow;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooSlow>>> {
        let this = self.get_mut();
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(TooSlow)));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            return Poll::Pending;
        };
        let frame = frame.map(|frame| frame.unwrap_or_else(|never| match never {}));
        match frame {
            None => this.complete(),
            Some(ref frame) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Some(held) = &mut this.held {
                    held.log.add_body_bytes(bytes);
                }
                // hyper does not poll again after the last byte of a body whose length it knows.
                if this.body.is_end_stream() {
                    this.complete();
                }
            }
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ServedBody {
    fn drop(&mut self) {
        // An empty body is never polled.
        if self.body.is_end_stream() {
            self.complete();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;
    use crate::server::connection::Connection;

    #[tokio::test(start_paused = true)]
    async fn body_that_is_not_read_in_time_is_cut_off() {
        // Given an endless body that the client reads one frame of in a minute.
        let endless = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(b"x"))));
        let endless = http_body_util::StreamBody::new(endless).boxed_unsync();
        let held = Held {
            log: RequestLog::start("/", http::HeaderValue::from_static("id")),
            _place: None,
            _stream: Connection::without_peer().open_stream(),
        };
        let deadline = Instant::now() + Duration::from_secs(150);
        let mut body = ServedBody::new(endless, held, Some(deadline));

        // Then frames come until the deadline, and an error after it.
        for minute in 0..4 {
            let frame = body.frame().await.expect("endless");
            assert_eq!(frame.is_err(), minute == 3, "{minute}");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}
