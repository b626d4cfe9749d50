//! One order on the hub, and what an agent is told of it.

use serde_json::{Value, json};

use super::AGENT;

/// One order.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) work_type: &'static str,
    pub(crate) side_effects: &'static str,
    pub(crate) phase: String,
    pub(crate) holder: String,
    pub(crate) fence: i64,
    pub(crate) cancel: Option<String>,
    pub(crate) progress: Vec<Value>,
    unfinished: Value,
}

impl Order {
    pub(super) fn pending(name: &str, work_type: &'static str, side_effects: &'static str) -> Self {
        let number = name.trim_start_matches("order-");
        Self {
            name: name.to_owned(),
            uid: format!("{number:0>8}-0000-4000-8000-000000000000"),
            work_type,
            side_effects,
            phase: "Pending".to_owned(),
            holder: String::new(),
            fence: 0,
            cancel: None,
            progress: Vec::new(),
            unfinished: Value::Null,
        }
    }

    /// Is claimed by an agent process.
    pub(crate) fn grant(&mut self, fence: i64, holder: &str) {
        (self.fence, self.holder, self.phase) = (fence, holder.to_owned(), "Claimed".to_owned());
    }

    /// Goes back to the queue, with the run of this agent named as unfinished.
    pub(crate) fn regrant_with_unfinished_child(&mut self) {
        self.phase = "Pending".to_owned();
        self.fence = 0;
        self.unfinished = json!([{"attempt": 1, "name": "earlier", "agent": AGENT}]);
    }

    pub(super) fn answer(&self) -> Value {
        let child = self
            .progress
            .iter()
            .rev()
            .find_map(|progress| progress.get("childRef"));
        let attempt =
            json!({"number": 1, "agent": AGENT, "holder": self.holder, "fence": self.fence, "child": child});
        let order = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder",
            "metadata": {"name": self.name, "namespace": "team-a", "uid": self.uid}, "status": {"attempts": [attempt]},
            "spec": {"workType": self.work_type, "buildRef": {"name": "app"}, "sideEffects": self.side_effects}});
        json!({"namespace": "team-a", "name": self.name, "code": 201, "fence": self.fence, "attempt": 1, "order": order, "unfinishedChildren": self.unfinished})
    }

    pub(super) fn held(&self) -> Value {
        json!({"namespace": "team-a", "name": self.name, "uid": self.uid, "holder": self.holder, "fence": self.fence,
            "attempt": 1, "phase": "Claimed"})
    }
}
