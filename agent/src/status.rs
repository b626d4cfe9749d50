//! What the agent reports about itself on its own object: its version, and whether the engines it needs are there.
//!
//! Looked at every minute, written only when it has changed: every write is an event for everybody who watches agents.
//! The condition Ready is the hub's, which sees whether renewals arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use brokkr_apis::work::v1alpha1::{AgentStatus, conditions};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::cluster::ClusterError;
use crate::doorbell::OwnAgent;
use crate::handler::Prerequisite;
use crate::worker::Worker;

const INTERVAL: Duration = Duration::from_secs(60);

/// What was found out about the engines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Findings {
    capabilities: BTreeMap<String, String>,
    reason: &'static str,
    message: String,
}

/// Reports once the agent's object is seen, and whenever a look every minute finds something else.
pub async fn report_until(worker: &Worker, mut own: watch::Receiver<OwnAgent>, end: &CancellationToken) {
    tokio::select! {
        () = end.cancelled() => return,
        _ = own.wait_for(|own| own.registered) => {}
    }
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = tick.tick() => report(worker, &own).await,
        }
    }
}

async fn report(worker: &Worker, own: &watch::Receiver<OwnAgent>) {
    let findings = match look(worker).await {
        Ok(findings) => findings,
        Err(error) => {
            warn!(%error, "cannot see what the cluster serves");
            return;
        }
    };
    let own = own.borrow().clone();
    if !own.registered || !differs(&findings, &own) {
        return;
    }
    info!(
        prerequisites = findings.reason,
        message = findings.message,
        "reporting on the agent itself"
    );
    match worker.hub.report_status(&status(&findings, &own)).await {
        Ok(_) => debug!("own status reported"),
        Err(error) => warn!(%error, "own status not reported; trying again in a minute"),
    }
}

/// Asks every handler for its engines.
async fn look(worker: &Worker) -> Result<Findings, ClusterError> {
    let mut found = Vec::new();
    for handler in worker.handlers.iter() {
        found.extend(handler.prerequisites(&worker.cluster).await?);
    }
    Ok(findings(found))
}

fn findings(found: Vec<Prerequisite>) -> Findings {
    let missing: Vec<_> = found
        .iter()
        .filter(|engine| engine.version.is_none())
        .map(|engine| engine.name)
        .collect();
    let (reason, message) = if missing.is_empty() {
        (
            "Installed",
            "every engine of the agent's work types is served".to_owned(),
        )
    } else {
        (
            "Missing",
            format!("not served by the cluster: {}; install it", missing.join(", ")),
        )
    };
    let capabilities = found
        .into_iter()
        .filter_map(|engine| Some((engine.name.to_owned(), engine.version?)))
        .collect();
    Findings {
        capabilities,
        reason,
        message,
    }
}

fn differs(findings: &Findings, own: &OwnAgent) -> bool {
    let same_condition = |condition: &Condition| {
        condition.reason == findings.reason
            && condition.message == findings.message
            && condition.observed_generation == own.generation
    };
    let status = &own.status;
    status.capabilities != findings.capabilities
        || status.version.as_deref() != Some(env!("CARGO_PKG_VERSION"))
        || !prerequisites(status).is_some_and(same_condition)
}

fn prerequisites(status: &AgentStatus) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == conditions::PREREQUISITES)
}

/// The status to merge. A merge replaces the list of conditions, so those of others go along as they were seen.
fn status(findings: &Findings, own: &OwnAgent) -> Value {
    let word = if findings.reason == "Installed" {
        "True"
    } else {
        "False"
    };
    let unchanged = prerequisites(&own.status).filter(|condition| condition.status == word);
    let condition = Condition {
        type_: conditions::PREREQUISITES.to_owned(),
        status: word.to_owned(),
        reason: findings.reason.to_owned(),
        message: findings.message.clone(),
        observed_generation: own.generation,
        last_transition_time: unchanged
            .map_or_else(|| Time(Timestamp::now()), |old| old.last_transition_time.clone()),
    };
    let others = own
        .status
        .conditions
        .iter()
        .filter(|condition| condition.type_ != conditions::PREREQUISITES);
    let conditions: Vec<&Condition> = others.chain([&condition]).collect();
    // An engine that has gone must be taken out by name: a merge keeps what it does not mention.
    let gone = own
        .status
        .capabilities
        .keys()
        .map(|name| (name.clone(), Value::Null));
    let present = findings
        .capabilities
        .iter()
        .map(|(name, version)| (name.clone(), version.clone().into()));
    let capabilities: BTreeMap<String, Value> = gone.chain(present).collect();
    json!({
        "observedGeneration": own.generation,
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": capabilities,
        "conditions": conditions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(version: Option<&str>) -> Findings {
        findings(vec![Prerequisite {
            name: "shipwright",
            version: version.map(ToOwned::to_owned),
        }])
    }

    #[test]
    fn a_missing_engine_is_named_and_taken_out_of_the_capabilities() {
        let mut own = OwnAgent {
            generation: Some(2),
            ..OwnAgent::default()
        };
        own.status
            .capabilities
            .insert("shipwright".to_owned(), "v1beta1".to_owned());
        let status = status(&engine(None), &own);
        assert_eq!(status["capabilities"], json!({"shipwright": null}));
        assert_eq!(status["conditions"][0]["status"], "False");
        assert!(
            status["conditions"][0]["message"]
                .as_str()
                .unwrap()
                .contains("shipwright")
        );
    }

    #[test]
    fn what_was_reported_is_not_reported_again() {
        let findings = engine(Some("v1beta1"));
        let mut own = OwnAgent {
            generation: Some(2),
            ..OwnAgent::default()
        };
        assert!(differs(&findings, &own));
        own.status = serde_json::from_value(status(&findings, &own)).unwrap();
        assert!(!differs(&findings, &own));
        own.generation = Some(3);
        assert!(differs(&findings, &own));
    }
}
