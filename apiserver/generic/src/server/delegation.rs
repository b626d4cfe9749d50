//! How reviews are asked of kube-apiserver: a limit per attempt, retries, and keys for remembered answers.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/util/webhook`.

use std::future::Future;
use std::time::Duration;

use rand::Rng;
use ring::{digest, hmac};
use tokio::time::Instant;

use super::delegated_metrics::ReviewCalls;

/// Limit of one attempt; upstream's number.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after the first failed attempt; each further one is half as long again, plus up to a fifth.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

const ATTEMPTS_MAX: u32 = 5;

/// The keyed hash under which an answer is remembered.
pub(crate) type CacheKey = [u8; digest::SHA256_OUTPUT_LEN];

/// A key for [`cache_key`], new in every process.
pub(crate) fn random_key() -> Result<hmac::Key, ring::error::Unspecified> {
    hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())
}

/// The keyed hash of a question.
pub(crate) fn cache_key(key: &hmac::Key, question: &[u8]) -> CacheKey {
    let tag = hmac::sign(key, question);
    let mut bytes = CacheKey::default();
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// Asks, again after failures that pass by themselves: lost connections, 429, 500, 504, and whatever else
/// says when to ask again.
pub(crate) async fn with_retry<T, F>(
    calls: &ReviewCalls,
    mut ask: impl FnMut() -> F,
) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut pause = FIRST_PAUSE;
    for _attempt in 1..ATTEMPTS_MAX {
        match attempt(calls, ask()).await {
            Err(error) if passes_by_itself(&error) => {
                tracing::debug!(%error, "kube-apiserver did not answer a review; asking again");
            }
            answer => return answer,
        }
        let jitter = 1.0 + rand::rng().random_range(0.0..0.2);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = pause.mul_f64(1.5);
    }
    attempt(calls, ask()).await
}

async fn attempt<T>(
    calls: &ReviewCalls,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    let begun = Instant::now();
    let limited = tokio::time::timeout(ATTEMPT_TIMEOUT, answer);
    let answer = limited
        .await
        .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))));
    calls.add(&answer, begun.elapsed());
    answer
}

fn passes_by_itself(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            let details = status.details.as_ref();
            let delay_suggested = details.is_some_and(|details| details.retry_after_seconds > 0);
            matches!(status.code, 429 | 500 | 504) || delay_suggested
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use kube::core::Status;
    use serde_json::json;
    use telemetry::MetricsRegistry;

    use super::*;
    use crate::server::delegated_metrics::DelegatedMetrics;

    #[tokio::test(start_paused = true)]
    async fn c084_each_attempt_is_counted_by_the_code_of_its_answer() {
        let metrics = DelegatedMetrics::default();
        let busy = Status::failure("busy", "InternalError").with_code(500);
        let silence = None;
        let mut answers = vec![Some(Ok(())), silence, Some(Err(kube::Error::Api(Box::new(busy))))];
        let ask = || {
            let answer = answers.pop().unwrap();
            async {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        with_retry(&metrics.access_reviews, ask).await.unwrap();

        let mut registry = MetricsRegistry::default();
        metrics.register(&mut registry);
        let text = registry.exposition();
        let of_authz = "apiserver_delegated_authz_request";
        for line in [
            format!("{of_authz}_total{{code=\"500\"}} 1\n"),
            format!("{of_authz}_total{{code=\"<error>\"}} 1\n"),
            format!("{of_authz}_total{{code=\"201\"}} 1\n"),
            format!("{of_authz}_duration_seconds_bucket{{code=\"<error>\",le=\"5\"}} 0\n"),
            format!("{of_authz}_duration_seconds_count{{code=\"<error>\"}} 1\n"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(!text.contains("authn_request_total{"), "{text}");
    }

    /// How often a question is asked that is always answered with this.
    async fn attempts(failure: impl Fn() -> kube::Error) -> u32 {
        let mut attempts = 0;
        let ask = || {
            attempts += 1;
            std::future::ready(Err::<(), _>(failure()))
        };
        with_retry(&ReviewCalls::default(), ask).await.unwrap_err();
        attempts
    }

    #[tokio::test(start_paused = true)]
    async fn c026_what_passes_by_itself_is_asked_again_five_times_in_all() {
        for (code, wait, expected) in [
            (400, 0, 1),
            (401, 0, 1),
            (403, 0, 1),
            (404, 0, 1),
            (409, 0, 1),
            (422, 0, 1),
            (429, 0, 5),
            (500, 0, 5),
            (503, 0, 1),
            (503, 1, 5),
            (504, 0, 5),
        ] {
            let status = json!({"code": code, "details": {"retryAfterSeconds": wait}});
            let status: Status = serde_json::from_value(status).unwrap();
            let asked = attempts(|| kube::Error::Api(status.clone().boxed())).await;
            assert_eq!(asked, expected, "{code} with {wait} s to wait");
        }
        let reset = || kube::Error::Service(io::Error::from(io::ErrorKind::ConnectionReset).into());
        assert_eq!(attempts(reset).await, 5);
        let unreadable = || kube::Error::FromUtf8(String::from_utf8(vec![0xff]).unwrap_err());
        assert_eq!(attempts(unreadable).await, 1, "it would be no better");
    }

    #[tokio::test(start_paused = true)]
    async fn c026_pauses_grow_by_half_and_a_silent_attempt_ends_after_ten_seconds() {
        let begun = Instant::now();
        let busy = || kube::Error::Api(Status::failure("", "").with_code(500).boxed());
        attempts(busy).await;
        // 500, 750, 1125 and 1687 ms, and up to a fifth more; the timer rounds up to milliseconds.
        let paused = begun.elapsed();
        let bounds = Duration::from_millis(4062)..Duration::from_millis(4062 * 6 / 5 + 8);
        assert!(bounds.contains(&paused), "{paused:?}");

        let begun = Instant::now();
        let silent = || std::future::pending::<Result<(), _>>();
        with_retry(&ReviewCalls::default(), silent).await.unwrap_err();
        let silence = begun.elapsed().checked_sub(5 * ATTEMPT_TIMEOUT);
        let pauses = silence.unwrap();
        assert!(bounds.contains(&pauses), "{pauses:?}");
    }
}
