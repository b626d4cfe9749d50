//! Rings for agents that may claim in some namespaces only.
//!
//! Whether one may in the namespace of an order is the authorizer's to say, and nobody is asked under the
//! version lock. So the transaction that makes an order claimable leaves these agents out; the sweeper asks
//! about each, with the identity of its last claim, and rings those that may, a second later at most. It does
//! so beside its other work: an authorizer that is slow holds up nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, stream};
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::Authorizer;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, Storage, StorageError, Versions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RingRow, ring};
use crate::queue::claim::may_claim;
use crate::queue::metrics::{QueueMetrics, RingCause};

/// How many orders one look takes.
const ORDERS_MAX: i64 = 500;

/// How many reviews one look asks for; the rest follows with the next. Answers are cached by the authorizer.
const REVIEWS_MAX: usize = 100;

/// How many reviews are asked for at once.
const REVIEWS_AT_ONCE: usize = 8;

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

/// A row of what waits.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Row {
    Kind(Kind),
    User(AgentUser),
}

/// Orders that are alike, and who could take them.
#[derive(Debug, Deserialize)]
struct Kind {
    namespace: String,
    orders: usize,
    agents: Vec<LimitedAgent>,
}

#[derive(Debug, Deserialize)]
struct LimitedAgent {
    name: String,
    /// Rung a moment ago: if it may claim here, it takes one of the orders.
    rung: bool,
}

/// Who last asked for an agent.
#[derive(Debug, Deserialize)]
struct AgentUser {
    agent: String,
    user: String,
}

/// What one look has found, and how far it has come.
#[derive(Default)]
struct Look {
    kinds: Vec<Kind>,
    users: BTreeMap<String, UserInfo>,
    /// For each kind, how many agents are still to be found.
    wanted: Vec<AtomicUsize>,
    reviews: AtomicUsize,
}

/// Whether an agent may claim orders of a kind.
#[derive(Clone, Copy)]
struct Question<'a> {
    kind: usize,
    agent: &'a LimitedAgent,
}

/// What the sweeper rings limited agents with.
pub(in crate::queue) struct LimitedRings {
    storage: Storage,
    authorizer: Arc<dyn Authorizer>,
    ring: Arc<RingChosen>,
    metrics: QueueMetrics,
}

impl LimitedRings {
    pub(in crate::queue) fn new(storage: Storage, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            storage,
            authorizer,
            ring: Arc::default(),
            metrics: QueueMetrics::default(),
        }
    }

    /// Counts the rings there.
    pub(in crate::queue) fn count_in(&mut self, metrics: QueueMetrics) {
        self.metrics = metrics;
    }

    /// One look: reviews, and a ring for one agent for each order, of those that may claim it; gives how many were
    /// rung.
    pub(in crate::queue) async fn ring(&self) -> Result<usize, StorageError> {
        let look = self.waiting().await?;
        let questions = look.questions().into_iter();
        let reviews: Vec<_> = questions.map(|asked| self.review(&look, asked)).collect();
        let mut reviews = stream::iter(reviews).buffered(REVIEWS_AT_ONCE);
        let (mut chosen, mut rung) = (BTreeSet::new(), 0);
        while let Some(answer) = reviews.next().await {
            let Some(Question { kind, agent }) = answer.filter(|allowed| look.wants(allowed.kind)) else {
                continue;
            };
            if !agent.rung {
                // Nobody is rung for two kinds of orders.
                if !chosen.insert(&agent.name) {
                    continue;
                }
                rung += self.ring_one(&agent.name).await?;
            }
            look.wanted[kind].fetch_sub(1, Ordering::Relaxed);
        }
        Ok(rung)
    }

    /// Rings unless it has been rung, or has asked, since: then it is awake as it is.
    async fn ring_one(&self, agent: &str) -> Result<usize, StorageError> {
        let agent = agent.to_owned();
        let rung = self.storage.run(&self.ring, Chosen { agent }).await?;
        self.metrics.rung(RingCause::Claimable, rung);
        Ok(rung)
    }

    async fn waiting(&self) -> Result<Look, StorageError> {
        let rows: Vec<String> = sqlx::query_scalar(include_str!("limited.sql"))
            .bind(ORDERS_MAX)
            .bind(REVIEWS_MAX as i64)
            .fetch_all(self.storage.pool())
            .await
            .map_err(StorageError::from)?;
        let mut look = Look::default();
        for row in rows {
            let row = serde_json::from_str(&row)
                .map_err(|error| StorageError::Corrupt(format!("orders that wait: {error}")))?;
            look.add(row);
        }
        Ok(look)
    }

    /// The question again, if the answer is yes; not asked when it no longer matters, or too much has been asked.
    async fn review<'a>(&self, look: &'a Look, asked: Question<'a>) -> Option<Question<'a>> {
        let user = look.users.get(&asked.agent.name)?;
        if !look.wants(asked.kind) || look.reviews.fetch_add(1, Ordering::Relaxed) >= REVIEWS_MAX {
            return None;
        }
        let namespace = &look.kinds[asked.kind].namespace;
        self.may_claim(&asked.agent.name, user, namespace)
            .await
            .then_some(asked)
    }

    /// An agent that cannot be asked about is not rung: it polls.
    async fn may_claim(&self, agent: &str, user: &UserInfo, namespace: &str) -> bool {
        let review = may_claim(self.authorizer.as_ref(), user, namespace).await;
        review.unwrap_or_else(|error| {
            tracing::debug!(%error, agent, namespace, "an agent is not rung: nobody says whether it may claim");
            false
        })
    }
}

impl Look {
    fn add(&mut self, row: Row) {
        match row {
            Row::Kind(kind) => {
                self.wanted.push(AtomicUsize::new(kind.orders));
                self.kinds.push(kind);
            }
            Row::User(AgentUser { agent, user }) => match serde_json::from_str(&user) {
                Ok(user) => {
                    self.users.insert(agent, user);
                }
                // The others are rung all the same; it polls, which writes the row anew.
                Err(error) => {
                    tracing::warn!(%error, agent, "an agent is not rung: who it is cannot be read");
                }
            },
        }
    }

    /// What to ask, first about the first agent of each kind.
    fn questions(&self) -> Vec<Question<'_>> {
        let kinds = self.kinds.iter().enumerate();
        let mut questions: Vec<_> = kinds
            .flat_map(|(kind, of)| of.agents.iter().enumerate().map(move |agent| (kind, agent)))
            .collect();
        questions.sort_by_key(|(_, (rank, _))| *rank);
        let question = |(kind, (_, agent))| Question { kind, agent };
        questions.into_iter().map(question).collect()
    }

    fn wants(&self, kind: usize) -> bool {
        self.wanted[kind].load(Ordering::Relaxed) > 0
    }
}
