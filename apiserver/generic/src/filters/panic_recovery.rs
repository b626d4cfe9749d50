//! A panic in one request is answered with 500 and harms no other request.
//!
//! Upstream concept: `server/filters.WithPanicRecovery`.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::endpoints::{Response, StatusError};

/// Answers for a handler that panicked. What it held is dropped; locks it poisoned are read as they are
/// by those who share them, so nothing half-written is believed.
pub(crate) async fn recover(answer: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(answer)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            tracing::error!(panic = text(panic.as_ref()), "a request made the server panic");
            StatusError::internal("this request made the server panic; its log says where").into_response()
        })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
