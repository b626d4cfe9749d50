//! Rings for agents that may claim in some namespaces only.
//!
//! Whether one may in the namespace of an order is the authorizer's to say, and nobody is asked under the
//! version lock. So the transaction that makes an order claimable leaves these agents out; the sweeper asks
//! about each, with the identity of its last claim, and rings those that may, a second later at most.

use std::collections::BTreeSet;
use std::sync::Arc;

use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::Authorizer;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, Storage, StorageError, Versions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RingRow, ring};
use crate::queue::claim::may_claim;

/// How many orders one look takes.
const ORDERS_MAX: i64 = 500;

/// How many reviews one look asks for; the rest follows with the next. Answers are cached by the authorizer.
const REVIEWS_MAX: usize = 100;

/// Rings agents that have been chosen outside the lock, unless they have asked since.
#[derive(Clone, Copy, Debug, Default)]
struct RingChosen;

/// An agent to be rung.
#[derive(Clone, Debug, Serialize)]
struct Chosen {
    agent: String,
}

impl SetMutation for RingChosen {
    type Input = Chosen;
    type Row = RingRow;
    type Output = usize;

    fn name(&self) -> &'static str {
        "ring-chosen"
    }

    fn statement(&self) -> &'static str {
        include_str!("chosen.sql")
    }

    fn decide(
        &self,
        inputs: &[Chosen],
        rows: Vec<RingRow>,
        versions: &mut Versions,
        _now: Timestamp,
    ) -> Result<SetOutcome<usize>, StorageError> {
        let mut outcome = ring(rows, &BTreeSet::new(), versions, Vec::new())?;
        outcome.outputs = vec![outcome.objects.len(); inputs.len()];
        Ok(outcome)
    }
}

/// Orders that are alike, and who could take them.
#[derive(Debug, Deserialize)]
struct Waiting {
    namespace: String,
    orders: usize,
    agents: Vec<LimitedAgent>,
}

#[derive(Debug, Deserialize)]
struct LimitedAgent {
    name: String,
    user: UserInfo,
}

/// What the sweeper rings limited agents with.
pub(in crate::queue) struct LimitedRings {
    storage: Storage,
    authorizer: Arc<dyn Authorizer>,
    ring: Arc<RingChosen>,
}

impl LimitedRings {
    pub(in crate::queue) fn new(storage: Storage, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            storage,
            authorizer,
            ring: Arc::default(),
        }
    }

    /// One look: reviews, and rings for those that may claim; gives how many were rung.
    pub(in crate::queue) async fn ring(&self) -> Result<usize, StorageError> {
        let mut rung = 0;
        for agent in self.choose(self.waiting().await?).await {
            rung += self.storage.run(&self.ring, Chosen { agent }).await?;
        }
        Ok(rung)
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, StorageError> {
        let rows: Vec<String> = sqlx::query_scalar(include_str!("limited.sql"))
            .bind(ORDERS_MAX)
            .fetch_all(self.storage.pool())
            .await
            .map_err(StorageError::from)?;
        let parse = |row: String| {
            serde_json::from_str(&row)
                .map_err(|error| StorageError::Corrupt(format!("an idle agent's user: {error}")))
        };
        rows.into_iter().map(parse).collect()
    }

    /// One agent for each order, of those that may claim it.
    async fn choose(&self, waiting: Vec<Waiting>) -> BTreeSet<String> {
        let mut chosen = BTreeSet::new();
        let mut reviews = 0;
        for Waiting {
            namespace,
            orders,
            agents,
        } in waiting
        {
            let mut wanted = orders;
            for agent in agents {
                if wanted == 0 || reviews == REVIEWS_MAX {
                    break;
                }
                reviews += 1;
                if !chosen.contains(&agent.name) && self.may_claim(&agent, &namespace).await {
                    chosen.insert(agent.name);
                    wanted -= 1;
                }
            }
        }
        chosen
    }

    /// An agent that cannot be asked about is not rung: it polls.
    async fn may_claim(&self, agent: &LimitedAgent, namespace: &str) -> bool {
        let review = may_claim(self.authorizer.as_ref(), &agent.user, namespace).await;
        review.unwrap_or_else(|error| {
            tracing::debug!(%error, agent = agent.name, namespace, "an agent is not rung: nobody says whether it may claim");
            false
        })
    }
}
