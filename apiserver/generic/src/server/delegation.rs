//! How reviews are asked of kube-apiserver: a limit per attempt, retries, and keys for remembered answers.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/util/webhook`.

use std::future::Future;
use std::time::Duration;

use rand::Rng;
use ring::{digest, hmac};

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
pub(crate) async fn with_retry<T, F>(mut ask: impl FnMut() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut pause = FIRST_PAUSE;
    for _attempt in 1..ATTEMPTS_MAX {
        match attempt(ask()).await {
            Err(error) if passes_by_itself(&error) => {
                tracing::debug!(%error, "kube-apiserver did not answer a review; asking again");
            }
            answer => return answer,
        }
        let jitter = 1.0 + rand::rng().random_range(0.0..0.2);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = pause.mul_f64(1.5);
    }
    attempt(ask()).await
}

async fn attempt<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let limited = tokio::time::timeout(ATTEMPT_TIMEOUT, answer);
    limited
        .await
        .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
}

fn passes_by_itself(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
