//! What the server knows of each agent, written into its status: whether it is in touch, and how many
//! orders it holds.
//!
//! A coarse picture for people, refreshed every few seconds; nothing is decided by it. Written as
//! ordinary updates: whoever comes second finds a conflict and leaves it.

use std::collections::BTreeMap;

use brokkr_apis::work::v1alpha1::{Agent, AgentStatus, AgentUsage, conditions};
use generic_apiserver::object::Object;
use generic_apiserver::storage::{
    Freshness, Key, ObjectWrite, Storage, StorageError, Stored, Update, Writes,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Deserialize;
use std::sync::Arc;

use crate::lifecycle::second;
use crate::registry::agent::table::AGENTS;

/// `lastRenewTime` alone is worth an event only this often.
const GRAIN: SignedDuration = SignedDuration::from_secs(60);

/// An idle agent that missed its doorbell polls every 30 seconds: after twice that it is out of touch,
/// however short its lease is.
const POLL: SignedDuration = SignedDuration::from_secs(60);

/// One agent, as the queue's rows show it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    agent: String,
    lease_seconds: i64,
    now: Timestamp,
    last_contact: Option<Timestamp>,
    held: BTreeMap<String, i64>,
}

/// Brings the status of every agent up to date; gives how many were written.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn attend(storage: &Storage) -> Result<usize, StorageError> {
    let query = sqlx::query_scalar(include_str!("seen.sql"));
    let rows: Vec<String> = query
        .fetch_all(storage.pool())
        .await
        .map_err(StorageError::from)?;
    let mut written = 0;
    for row in rows {
        let seen: Seen = serde_json::from_str(&row)
            .map_err(|error| StorageError::Corrupt(format!("row of an agent: {error}")))?;
        let stored = match storage
            .get(AGENTS, &Key::cluster(&seen.agent), Freshness::Any)
            .await
        {
            Ok(stored) => stored,
            // Created a moment ago, or just gone.
            Err(StorageError::NotFound(_)) => continue,
            Err(error) => return Err(error),
        };
        written += usize::from(update(storage, stored, &seen).await?);
    }
    Ok(written)
}

async fn update(storage: &Storage, old: Arc<Stored>, seen: &Seen) -> Result<bool, StorageError> {
    let corrupt =
        |error: serde_json::Error| StorageError::Corrupt(format!("agent {:?}: {error}", seen.agent));
    let mut agent: Agent = serde_json::from_slice(&old.encoded).map_err(corrupt)?;
    let generation = agent.metadata.generation;
    if !seen.note(agent.status.get_or_insert_default(), generation) {
        return Ok(false);
    }
    let object = Object::from_typed(&agent).map_err(corrupt)?;
    let object = ObjectWrite::Replace {
        resource: AGENTS,
        old,
        object,
    };
    match storage
        .update(Update {
            object,
            further: Writes::default(),
        })
        .await
    {
        Ok(_) => Ok(true),
        Err(StorageError::Conflict { .. } | StorageError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Seen {
    /// Notes what has changed; false = nothing worth an event.
    fn note(&self, status: &mut AgentStatus, generation: Option<i64>) -> bool {
        let before = status.clone();
        let usage = AgentUsage {
            total: self.held.values().sum(),
            by_type: self.held.clone(),
        };
        if status.in_use.as_ref() != Some(&usage) && (usage.total > 0 || status.in_use.is_some()) {
            status.in_use = Some(usage);
        }
        self.note_contact(status);
        self.note_ready(status, generation);
        *status != before
    }

    /// Only when something else changes too, or it has become old.
    fn note_contact(&self, status: &mut AgentStatus) {
        let Some(contact) = self.last_contact else { return };
        let known = status.last_renew_time.as_ref().map(|time| time.0);
        if known.is_none_or(|known| contact.duration_since(known) >= GRAIN) {
            status.last_renew_time = Some(second(contact));
        }
    }

    fn note_ready(&self, status: &mut AgentStatus, generation: Option<i64>) {
        let last = self
            .last_contact
            .or_else(|| status.last_renew_time.as_ref().map(|time| time.0));
        // An agent that has never called is neither ready nor lost.
        let Some(last) = last else { return };
        let allowed = SignedDuration::from_secs(self.lease_seconds).max(POLL);
        let ready = self.now.duration_since(last) <= allowed;
        let (word, reason, message) = if ready {
            (
                "True",
                "InTouch",
                "the agent renews its claims or asks for work".to_owned(),
            )
        } else {
            let since = second(last).0;
            (
                "False",
                "OutOfTouch",
                format!("nothing has been heard of the agent since {since}"),
            )
        };
        let present = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == conditions::READY);
        if present.is_some_and(|present| present.status == word) {
            return;
        }
        status
            .conditions
            .retain(|condition| condition.type_ != conditions::READY);
        status.conditions.push(Condition {
            type_: conditions::READY.to_owned(),
            status: word.to_owned(),
            reason: reason.to_owned(),
            message,
            last_transition_time: second(self.now),
            observed_generation: generation,
        });
        status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(seconds_ago: i64) -> Seen {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        Seen {
            agent: "east".to_owned(),
            lease_seconds: 60,
            now,
            last_contact: Some(now - SignedDuration::from_secs(seconds_ago)),
            held: BTreeMap::new(),
        }
    }

    fn ready(status: &AgentStatus) -> &str {
        &status
            .conditions
            .iter()
            .find(|one| one.type_ == conditions::READY)
            .unwrap()
            .status
    }

    #[test]
    fn agent_in_touch_is_ready_and_is_written_once() {
        let mut status = AgentStatus::default();
        assert!(seen(10).note(&mut status, Some(1)));
        assert_eq!(ready(&status), "True");
        assert!(!seen(5).note(&mut status, Some(1)));
    }

    #[test]
    fn silence_makes_it_not_ready_and_keeps_when_it_was_last_heard_of() {
        let mut status = AgentStatus::default();
        seen(10).note(&mut status, None);
        let last = status.last_renew_time.clone();
        let silent = Seen {
            last_contact: None,
            now: "2026-01-01T00:12:00Z".parse().unwrap(),
            ..seen(0)
        };
        assert!(silent.note(&mut status, None));
        assert_eq!(ready(&status), "False");
        assert_eq!(status.last_renew_time, last);
    }

    #[test]
    fn agent_that_never_called_is_left_alone() {
        let never = Seen {
            last_contact: None,
            ..seen(0)
        };
        let mut status = AgentStatus::default();
        assert!(!never.note(&mut status, None));
        assert_eq!(status, AgentStatus::default());
    }

    #[test]
    fn what_it_holds_is_counted() {
        let mut status = AgentStatus::default();
        let busy = Seen {
            held: [("build".to_owned(), 2), ("job".to_owned(), 1)].into(),
            ..seen(1)
        };
        assert!(busy.note(&mut status, None));
        assert_eq!(status.in_use.clone().unwrap().total, 3);
        assert!(!busy.note(&mut status, None));
        assert!(seen(1).note(&mut status, None));
        assert_eq!(status.in_use.unwrap().total, 0);
    }
}
