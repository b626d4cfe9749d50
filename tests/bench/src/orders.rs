//! Bodies and paths: the order that is created, the same for every contestant, and the agents that claim it.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

/// The namespace of all orders; `cluster.yaml` makes it.
const NAMESPACE: &str = "brokkr-bench";

/// Bytes of an order as it is sent.
const ORDER_BYTES: usize = 1024;

/// Where orders are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// The server under test.
    Ours,
    /// The custom resource of the same shape.
    Custom,
}

impl Api {
    const fn group_version(self) -> &'static str {
        match self {
            Self::Ours => "work.brokkr.io/v1alpha1",
            Self::Custom => "bench.brokkr.io/v1alpha1",
        }
    }

    /// The path of the collection of orders.
    pub(crate) fn orders_path(self) -> String {
        format!("/apis/{}/namespaces/{NAMESPACE}/workorders", self.group_version())
    }
}

/// The path of one order's subresource.
pub(crate) fn order_path(name: &str, subresource: &str) -> String {
    format!("{}/{name}/{subresource}", Api::Ours.orders_path())
}

/// The path of an agent, or below it.
pub(crate) fn agent_path(rest: &str) -> String {
    format!("/apis/{}/agents{rest}", Api::Ours.group_version())
}

/// The text of an order around its name.
#[derive(Clone, Debug)]
pub(crate) struct OrderTemplate {
    before: String,
    after: String,
}

impl OrderTemplate {
    /// An order of 1 KiB: a build with labels, a policy, and a note that fills it up.
    pub(crate) fn new(api: Api) -> Self {
        let order = json!({
            "apiVersion": api.group_version(),
            "kind": "WorkOrder",
            "metadata": {
                "name": "@",
                "labels": {"app.kubernetes.io/name": "my-app", "app.kubernetes.io/part-of": "shop", "team": "a"},
                "annotations": {"example.com/note": "#"},
            },
            "spec": {
                "workType": "build",
                "buildRef": {"name": "my-app-build"},
                "serviceAccount": "builder-sa",
                "retryPolicy": {"maxRetries": 3, "backoffSeconds": 60, "maxBackoffSeconds": 3600},
                "sideEffects": "Idempotent",
                "timeout": "15m",
                "claimTimeoutSeconds": 3600,
                "ttlSecondsAfterFinished": 3600,
                "priority": 0,
            },
        });
        let text = order.to_string();
        let note = "n".repeat(ORDER_BYTES.saturating_sub(text.len() + NAME_BYTES - "@#".len()));
        let text = text.replace('#', &note);
        let (before, after) = text.split_once('@').unwrap_or((&text, ""));
        Self {
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    /// The order of this name.
    pub(crate) fn order(&self, name: &str) -> Bytes {
        let mut text = BytesMut::with_capacity(ORDER_BYTES);
        for part in [self.before.as_str(), name, self.after.as_str()] {
            text.put_slice(part.as_bytes());
        }
        text.freeze()
    }
}

/// The length of the names below, without which an order would not have exactly its size.
const NAME_BYTES: usize = "order-000000000000".len();

/// The name of the order with this number.
pub(crate) fn order_name(number: u64) -> String {
    format!("order-{number:012}")
}

/// The user an agent calls with.
pub(crate) fn identity(agent: &str) -> String {
    format!("bench:{agent}")
}

/// An agent that may hold as much as there can be.
pub(crate) fn agent(name: &str) -> Bytes {
    let agent = json!({
        "apiVersion": Api::Ours.group_version(),
        "kind": "Agent",
        "metadata": {"name": name},
        "spec": {"identity": identity(name), "workTypes": ["build"], "concurrency": {"total": 1000}},
    });
    text(&agent)
}

/// A claim of up to `max` orders.
pub(crate) fn claim(agent: &str, request_id: &str, max: usize) -> Bytes {
    let spec = json!({"holder": holder(agent), "requestID": request_id, "max": max});
    text(&json!({"apiVersion": Api::Ours.group_version(), "kind": "AgentClaim", "spec": spec}))
}

/// The report that one order has succeeded.
pub(crate) fn completion(uid: &str, fence: &Value) -> Bytes {
    let spec = json!({"uid": uid, "fence": fence, "outcome": "Succeeded"});
    text(&json!({"apiVersion": Api::Ours.group_version(), "kind": "WorkOrderCompletion", "spec": spec}))
}

/// The report that many have.
pub(crate) fn completions<'a>(
    agent: &str,
    orders: impl Iterator<Item = (&'a str, &'a str, &'a Value)>,
) -> Bytes {
    let items: Vec<_> = orders
        .map(|(name, uid, fence)| {
            json!({"namespace": NAMESPACE, "name": name, "uid": uid, "fence": fence, "outcome": "Succeeded"})
        })
        .collect();
    let spec = json!({"holder": holder(agent), "items": items});
    text(&json!({"apiVersion": Api::Ours.group_version(), "kind": "AgentCompletion", "spec": spec}))
}

/// One process per agent.
fn holder(agent: &str) -> String {
    format!("{agent}-process")
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_has_its_size_and_is_the_same_for_every_contestant_but_its_group() {
        let ours = OrderTemplate::new(Api::Ours).order(&order_name(7));
        let custom = OrderTemplate::new(Api::Custom).order(&order_name(7));
        assert_eq!((ours.len(), custom.len()), (ORDER_BYTES, ORDER_BYTES));
        let parse = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        assert_eq!(parse(&ours)["spec"], parse(&custom)["spec"]);
        assert_eq!(parse(&ours)["metadata"]["name"], "order-000000000007");
    }
}
