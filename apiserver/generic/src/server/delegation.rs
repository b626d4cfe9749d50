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

/// Asks, again after failures that pass by themselves: lost connections, 429, 500, 504.
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
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
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
}
