//! Identity by bearer token, which kube-apiserver reviews.
//!
//! Upstream concept: `k8s.io/apiserver/plugin/pkg/authenticator/token/webhook` behind its token cache.
//! Needed where clients call this server directly. Left out: tokens in the websocket subprotocol.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use moka::future::Cache;
use ring::hmac;

use super::{Authentication, AuthenticationError, Authenticator, PeerCertificates, UserInfo};
use crate::server::delegated_metrics::ReviewCalls;
use crate::server::delegation::{self, CacheKey};

/// How long a verdict on a token holds, good or bad; upstream's default.
const VERDICT_LIFETIME: Duration = Duration::from_secs(10);

/// Tokens remembered at once; far more than clients that call directly, and bounded memory under attack.
const VERDICTS_MAX: u64 = 4096;

/// Asks kube-apiserver whose token it is, at most once in 10 s per token however many requests carry it.
pub struct TokenReviewAuthenticator {
    reviews: Api<TokenReview>,
    audiences: Vec<String>,
    key: hmac::Key,
    calls: ReviewCalls,
    verdicts: Verdicts,
}

type Verdicts = Cache<CacheKey, Result<UserInfo, AuthenticationError>>;

fn verdicts(lifetime: Duration) -> Verdicts {
    Cache::builder()
        .max_capacity(VERDICTS_MAX)
        .time_to_live(lifetime)
        .build()
}

impl TokenReviewAuthenticator {
    /// An authenticator for tokens of these audiences; none = those of kube-apiserver itself.
    ///
    /// # Errors
    /// When the system has no randomness for the key of the cache.
    pub fn new(client: Client, audiences: Vec<String>) -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            reviews: Api::all(client),
            audiences,
            key: delegation::random_key()?,
            calls: ReviewCalls::default(),
            verdicts: verdicts(VERDICT_LIFETIME),
        })
    }

    /// Believes a verdict for this long instead of ten seconds.
    #[must_use]
    pub fn verdict_lifetime(mut self, lifetime: Duration) -> Self {
        self.verdicts = verdicts(lifetime);
        self
    }

    /// Counts its calls there.
    pub(crate) fn counting(mut self, calls: ReviewCalls) -> Self {
        self.calls = calls;
        self
    }

    async fn review(&self, token: &str) -> Result<UserInfo, AuthenticationError> {
        // The cache holds a keyed hash: a dump of memory shows no token, and no attacker can collide keys.
        let key = delegation::cache_key(&self.key, token.as_bytes());
        let asked = async {
            let status = self
                .ask(token)
                .await
                .map_err(|error| AuthenticationError::Unreachable(error.to_string()))?;
            Ok::<_, AuthenticationError>(judge(status, &self.audiences))
        };
        // An error of the transport is not kept; a verdict is, whichever it is.
        let verdict = self.verdicts.try_get_with(key, asked).await;
        verdict.map_err(|error: Arc<AuthenticationError>| (*error).clone())?
    }

    async fn ask(&self, token: &str) -> Result<TokenReviewStatus, kube::Error> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: (!self.audiences.is_empty()).then(|| self.audiences.clone()),
            },
            ..TokenReview::default()
        };
        let parameters = PostParams::default();
        let answer =
            delegation::with_retry(&self.calls, || self.reviews.create(&parameters, &review)).await?;
        Ok(answer.status.unwrap_or_default())
    }
}

/// Reads the verdict. With audiences asked for, the answer must name one of them.
fn judge(status: TokenReviewStatus, audiences: &[String]) -> Result<UserInfo, AuthenticationError> {
    let rejected = |text: &str| Err(AuthenticationError::Token(text.to_owned()));
    if status.authenticated != Some(true) {
        return rejected(status.error.as_deref().unwrap_or("not authenticated"));
    }
    let named = status.audiences.unwrap_or_default();
    if !audiences.is_empty() && !audiences.iter().any(|audience| named.contains(audience)) {
        return rejected("meant for another audience");
    }
    let user = status.user.unwrap_or_default();
    let Some(name) = user.username.filter(|name| !name.is_empty()) else {
        return rejected("authenticated without a user name");
    };
    Ok(UserInfo {
        name,
        uid: user.uid.filter(|uid| !uid.is_empty()),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}

/// The token of an `Authorization: Bearer` header.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, rest) = value.split_once(' ')?;
    let token = rest.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[async_trait]
impl Authenticator for TokenReviewAuthenticator {
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        _peer: Option<&PeerCertificates>,
    ) -> Result<Option<Authentication>, AuthenticationError> {
        match bearer_token(headers) {
            Some(token) => Ok(Some(Authentication::direct(self.review(token).await?))),
            None => Ok(None),
        }
    }

    fn strip(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
    }
}

impl std::fmt::Debug for TokenReviewAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenReviewAuthenticator")
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}
