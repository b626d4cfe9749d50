//! The cluster where the work runs: who calls it, how errors are read, and what is tried again.
//!
//! Two identities call it. The agent's own looks: at runs, pods and the kinds that are served. Everything that is
//! written is written as the runner account of one namespace, by impersonation, so that what an order may do is what
//! that namespace has granted its runner and nothing more. No groups are named with the user: the API server then adds
//! those of a service account itself, and only the right to impersonate the account is asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::core::discovery::Scope;
use kube::discovery::{self, ApiResource};
use kube::{Client, Config, Error};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections are kept for this many namespaces; with more, all are opened anew, which costs a handshake each.
const RUNNERS_MAX: usize = 256;

/// The cluster where the work runs.
pub struct Cluster {
    config: Config,
    own: Client,
    runner_account: String,
    runners: Mutex<HashMap<String, Client>>,
    kinds: Mutex<HashMap<GroupVersionKind, ServedKind>>,
}

/// A kind the cluster serves.
#[derive(Clone, Debug)]
pub struct ServedKind {
    /// How it is addressed.
    pub resource: ApiResource,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

/// Why a call to the cluster did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No such object, or its namespace is missing.
    #[error("{0}")]
    NotFound(String),
    /// An object of that name exists.
    #[error("{0}")]
    AlreadyExists(String),
    /// The call needs a permission that is missing.
    #[error("{0}")]
    Forbidden(String),
    /// The object was refused for what it says, by the API server or by a policy.
    #[error("{0}")]
    Invalid(String),
    /// The cluster does not serve the kind.
    #[error("the cluster does not serve {0}")]
    NotServed(String),
    /// The cluster did not answer, or asked to come back later. Trying again may help.
    #[error("{0}")]
    Unavailable(String),
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("url", &self.config.cluster_url)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Prepares the connection; nobody is called yet.
    ///
    /// # Errors
    ///
    /// If certificates or credentials of the configuration cannot be used.
    pub fn new(config: Config, runner_account: impl Into<String>) -> Result<Self, ClusterError> {
        let own =
            Client::try_from(config.clone()).map_err(|error| ClusterError::Unavailable(error.to_string()))?;
        Ok(Self {
            config,
            own,
            runner_account: runner_account.into(),
            runners: Mutex::default(),
            kinds: Mutex::default(),
        })
    }

    /// The name of the account everything is written as.
    pub fn runner_account(&self) -> &str {
        &self.runner_account
    }

    /// Objects of a kind in a namespace, read as the agent itself.
    pub fn read(&self, kind: &ServedKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.own.clone(), namespace, &kind.resource)
    }

    /// Objects of a kind in a namespace, written as the runner account there.
    ///
    /// # Errors
    ///
    /// If the configuration's credentials have become unusable.
    pub fn write(&self, kind: &ServedKind, namespace: &str) -> Result<Api<DynamicObject>, ClusterError> {
        Ok(Api::namespaced_with(
            self.runner(namespace)?,
            namespace,
            &kind.resource,
        ))
    }

    fn runner(&self, namespace: &str) -> Result<Client, ClusterError> {
        let mut runners = locked(&self.runners);
        if let Some(client) = runners.get(namespace) {
            return Ok(client.clone());
        }
        if runners.len() >= RUNNERS_MAX {
            runners.clear();
        }
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(format!(
            "system:serviceaccount:{namespace}:{}",
            self.runner_account
        ));
        let client =
            Client::try_from(config).map_err(|error| ClusterError::Unavailable(error.to_string()))?;
        runners.insert(namespace.to_owned(), client.clone());
        Ok(client)
    }

    /// How a kind is served. Answers are kept; that a kind is missing is not, since it may be installed later.
    ///
    /// # Errors
    ///
    /// `NotServed` if the cluster has no such kind.
    pub async fn kind(&self, gvk: &GroupVersionKind) -> Result<ServedKind, ClusterError> {
        if let Some(kind) = locked(&self.kinds).get(gvk) {
            return Ok(kind.clone());
        }
        let kind = self.kind_now(gvk).await?;
        locked(&self.kinds).insert(gvk.clone(), kind.clone());
        Ok(kind)
    }

    /// How a kind is served at this moment: one that was may be gone.
    ///
    /// # Errors
    ///
    /// `NotServed` if the cluster has no such kind.
    pub async fn kind_now(&self, gvk: &GroupVersionKind) -> Result<ServedKind, ClusterError> {
        let found = call(|| discovery::pinned_kind(&self.own, gvk)).await;
        let not_served = || ClusterError::NotServed(format!("{} of {}", gvk.kind, gvk.api_version()));
        let (resource, capabilities) = found.map_err(|error| match error {
            ClusterError::NotFound(_) | ClusterError::NotServed(_) => not_served(),
            other => other,
        })?;
        Ok(ServedKind {
            resource,
            namespaced: capabilities.scope == Scope::Namespaced,
        })
    }
}

/// Makes a call, with a time limit, and tries again for about a minute while the cluster is not available. The call
/// must be safe to repeat.
///
/// # Errors
///
/// The last failure.
pub async fn call<T, F, R>(request: F) -> Result<T, ClusterError>
where
    F: Fn() -> R,
    R: Future<Output = Result<T, Error>>,
{
    let once = || async {
        match tokio::time::timeout(CALL_TIMEOUT, request()).await {
            Ok(answer) => answer.map_err(ClusterError::from),
            Err(_) => Err(ClusterError::Unavailable(
                "the API server did not answer in 30 s".to_owned(),
            )),
        }
    };
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(15))
        .with_max_times(8)
        .with_jitter();
    once.retry(backoff)
        .when(|error| matches!(error, ClusterError::Unavailable(_)))
        .await
}

impl From<Error> for ClusterError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => Self::from_status(status.code, &status.reason, status.message.clone()),
            Error::Discovery(missing) => Self::NotServed(missing.to_string()),
            // Connections, timeouts and bodies that were cut off; also a token file that is being replaced.
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl ClusterError {
    fn from_status(code: u16, reason: &str, message: String) -> Self {
        match (code, reason) {
            (_, "AlreadyExists") => Self::AlreadyExists(message),
            (404, _) => Self::NotFound(message),
            // A policy refuses with 403 as well, but no permission would help.
            (403, _)
                if message.contains("denied the request")
                    || message.contains("ValidatingAdmissionPolicy") =>
            {
                Self::Invalid(message)
            }
            (403, _) => Self::Forbidden(message),
            (400 | 413 | 422, _) => Self::Invalid(message),
            // 401 is among these: the token is being replaced, and no role would help.
            (_, _) => Self::Unavailable(message),
        }
    }
}

/// The lock, also after a panic elsewhere: every value behind these locks is whole between any two statements.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::ClusterError;

    #[test]
    fn missing_permission_is_told_from_a_policy_and_from_a_token_that_is_being_replaced() {
        let read = |code, message: &str| ClusterError::from_status(code, "", message.to_owned());
        assert!(matches!(read(403, "cannot create"), ClusterError::Forbidden(_)));
        assert!(matches!(
            read(403, "admission webhook \"x\" denied the request"),
            ClusterError::Invalid(_)
        ));
        assert!(matches!(read(401, "Unauthorized"), ClusterError::Unavailable(_)));
    }
}
