//! Whether an agent could take a new order: its targets, and the condition Schedulable.
//!
//! A statement about the moment of creation, for people. Whether an agent gets the order is decided by the
//! claim; agents that join later match too.

use std::sync::Arc;

use brokkr_apis::work::v1alpha1::{Agent, TargetTerm, TargetedAgents, WorkOrderSpec, WorkType, conditions};

/// How many names the status shows.
const NAMES_MAX: usize = 20;

/// What the condition says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) schedulable: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The agents that the order is meant for, whatever they serve.
pub(super) fn targeted<'a>(spec: &WorkOrderSpec, agents: &'a [Arc<Agent>]) -> Vec<&'a Agent> {
    agents
        .iter()
        .map(AsRef::as_ref)
        .filter(|agent| TargetTerm::any_matches(&spec.targets, agent))
        .collect()
}

/// What the status shows of them.
pub(super) fn targeted_agents(targeted: &[&Agent]) -> TargetedAgents {
    TargetedAgents {
        count: i64::try_from(targeted.len()).unwrap_or(i64::MAX),
        names: targeted
            .iter()
            .take(NAMES_MAX)
            .filter_map(|agent| agent.metadata.name.clone())
            .collect(),
    }
}

/// Whether one of the targeted agents could take the order; `fleet` is how many agents there are.
pub(super) fn verdict(spec: &WorkOrderSpec, fleet: usize, targeted: &[&Agent]) -> Verdict {
    let no = |reason, message| Verdict {
        schedulable: false,
        reason,
        message,
    };
    if spec.is_suspended() {
        let message = "spec.suspend is true; set it to false to let the order be claimed".to_owned();
        return no(conditions::SUSPENDED, message);
    }
    if targeted.is_empty() {
        return no(conditions::NO_AGENT_TARGETED, nobody_targeted(spec, fleet));
    }
    let serving: Vec<_> = targeted
        .iter()
        .filter(|agent| serves(agent, &spec.work_type))
        .collect();
    if serving.is_empty() {
        let message = format!(
            "none of the {} targeted agents serves work type {:?}; add it to spec.workTypes of one of them, or let \
             an agent that serves it join",
            targeted.len(),
            spec.work_type
        );
        return no(conditions::WORK_TYPE_NOT_SERVED, message);
    }
    if serving.iter().all(|agent| agent.spec.is_unschedulable()) {
        let message = format!(
            "all {} targeted agents that serve work type {:?} are unschedulable; set spec.unschedulable of one of \
             them to false",
            serving.len(),
            spec.work_type
        );
        return no(conditions::AGENTS_AT_CAPACITY, message);
    }
    let message = "waiting to be claimed".to_owned();
    Verdict {
        schedulable: true,
        reason: conditions::AGENT_AVAILABLE,
        message,
    }
}

fn nobody_targeted(spec: &WorkOrderSpec, fleet: usize) -> String {
    if fleet == 0 {
        return "no agent has joined; create an Agent and start it".to_owned();
    }
    let terms = spec.targets.len();
    format!(
        "none of the {fleet} agents matches a term of spec.targets ({terms}); give an agent the labels and annotations \
         that a term asks for, or create the order again with other targets"
    )
}

/// Whether the agent serves what the word stands for; an agent without a list serves all types.
fn serves(agent: &Agent, work_type: &str) -> bool {
    let wanted = WorkType::canonical(work_type);
    let served = &agent.spec.work_types;
    served.is_empty() || served.iter().any(|word| WorkType::canonical(word) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, work_types: &[&str]) -> Arc<Agent> {
        let mut agent = Agent::default();
        agent.metadata.name = Some(name.to_owned());
        agent.metadata.labels = Some([("region".to_owned(), name.to_owned())].into());
        agent.spec.work_types = work_types.iter().map(|&word| word.to_owned()).collect();
        Arc::new(agent)
    }

    fn spec(region: Option<&str>) -> WorkOrderSpec {
        let term = |region: &str| TargetTerm {
            match_labels: [("region".to_owned(), region.to_owned())].into(),
            ..TargetTerm::default()
        };
        WorkOrderSpec {
            work_type: "shipwright-build".to_owned(),
            targets: region.map(term).into_iter().collect(),
            ..WorkOrderSpec::default()
        }
    }

    fn judged(spec: &WorkOrderSpec, agents: &[Arc<Agent>]) -> Verdict {
        verdict(spec, agents.len(), &targeted(spec, agents))
    }

    #[test]
    fn an_alias_is_served_by_who_serves_its_type() {
        let verdict = judged(&spec(None), &[agent("east", &["build"])]);
        assert!(verdict.schedulable);
        assert_eq!(verdict.reason, "AgentAvailable");
    }

    #[test]
    fn the_first_obstacle_is_named_and_what_to_do_about_it() {
        let fleet = [agent("east", &["workflow"]), agent("west", &[])];
        let cases = [
            (judged(&spec(None), &[]), "NoAgentTargeted", "create an Agent"),
            (
                judged(&spec(Some("north")), &fleet),
                "NoAgentTargeted",
                "none of the 2 agents",
            ),
            (
                judged(&spec(Some("east")), &fleet),
                "WorkTypeNotServed",
                "spec.workTypes",
            ),
        ];
        for (verdict, reason, words) in cases {
            assert!(!verdict.schedulable);
            assert_eq!(verdict.reason, reason);
            assert!(verdict.message.contains(words), "{}", verdict.message);
        }
        let suspended = WorkOrderSpec {
            suspend: Some(true),
            ..spec(None)
        };
        assert_eq!(judged(&suspended, &fleet).reason, "Suspended");
    }

    #[test]
    fn agents_that_take_nothing_are_no_agents_available() {
        let mut east = agent("east", &[]);
        Arc::make_mut(&mut east).spec.unschedulable = Some(true);
        let verdict = judged(&spec(None), &[east.clone()]);
        assert_eq!((verdict.schedulable, verdict.reason), (false, "AgentsAtCapacity"));
        assert!(judged(&spec(None), &[east, agent("west", &[])]).schedulable);
    }

    #[test]
    fn the_status_counts_all_and_names_twenty() {
        let fleet: Vec<_> = (0..25)
            .map(|number| agent(&format!("a{number:02}"), &[]))
            .collect();
        let shown = targeted_agents(&targeted(&spec(None), &fleet));
        assert_eq!((shown.count, shown.names.len()), (25, 20));
        assert_eq!(shown.names[0], "a00");
    }
}
