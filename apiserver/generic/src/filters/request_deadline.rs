//! Limits how long a request may take. Long-running ones have no deadline.
//!
//! Upstream concept: `endpoints/filters.WithRequestDeadline` and the timeout filter behind it.

mod duration;

use std::future::Future;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::Refusal;
use crate::endpoints::{Response, StatusError};
use crate::request_info::{RequestInfo, query_values};

/// Upper limit of a write; upstream's number, below the 60 s after which kube-apiserver gives up, so that a
/// client learns the outcome from us.
const WRITE_TIMEOUT: Duration = Duration::from_secs(34);

/// The instant by which the request must be answered; None = long-running.
///
/// The client may ask for less than `longest` with `timeout=`; more, or zero, counts as `longest`.
/// A value that is no duration is 400.
pub(crate) fn of(
    info: &RequestInfo,
    query: Option<&str>,
    longest: Duration,
) -> Result<Option<Instant>, Refusal> {
    if info.is_long_running() {
        return Ok(None);
    }
    let asked = match query_values(query, "timeout").next() {
        Some(text) if !text.is_empty() => parse(&text)?,
        _ => Duration::ZERO,
    };
    let mut timeout = longest;
    if !asked.is_zero() {
        timeout = timeout.min(asked);
    }
    // A collection is deleted object by object and may need all the time there is.
    if info.is_resource_request && matches!(info.verb.as_str(), "create" | "update" | "patch" | "delete") {
        timeout = timeout.min(WRITE_TIMEOUT);
    }
    Ok(Some(Instant::now() + timeout))
}

fn parse(text: &str) -> Result<Duration, Refusal> {
    duration::parse(text).ok_or_else(|| {
        let message = format!(
            "invalid timeout specified in the request URL - {text:?} is no duration: give one such as 30s or 1m30s"
        );
        StatusError::bad_request(message).into()
    })
}

/// Answers 504 when the deadline passes first. What the handler had handed to the writer may still be
/// committed: a client that got 504 does not know the outcome.
pub(crate) async fn enforce(
    deadline: Option<Instant>,
    answer: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    let Some(deadline) = deadline else {
        return answer.await;
    };
    tokio::time::timeout_at(deadline, answer)
        .await
        .unwrap_or_else(|_elapsed| {
            let message = "Timeout: request did not complete within the allotted timeout";
            Err(StatusError::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message).into())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn c065_writes_have_less_time_than_the_front_proxy_waits() {
        let longest = Duration::from_secs(60);
        for (verb, query, seconds) in [
            ("get", "", 60),
            ("list", "", 60),
            ("deletecollection", "", 60),
            ("create", "", 34),
            ("update", "", 34),
            ("patch", "", 34),
            ("delete", "", 34),
            ("create", "timeout=50s", 34),
            ("create", "timeout=1m30s", 34),
            ("create", "timeout=10s", 10),
            ("list", "timeout=10s", 10),
            ("list", "timeout=0s", 60),
            ("list", "timeout=2m", 60),
            // As upstream: what is less than nothing says nothing.
            ("list", "timeout=-1s", 60),
        ] {
            let info = RequestInfo {
                is_resource_request: true,
                verb: verb.to_owned(),
                ..RequestInfo::default()
            };
            let deadline = of(&info, Some(query), longest).ok().flatten();
            let given = deadline.map(|at| at.duration_since(Instant::now()).as_secs());
            assert_eq!(given, Some(seconds), "{verb} {query}");
        }
    }
}
