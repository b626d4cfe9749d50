//! Names and labels of what the agent starts, by which it knows its own.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::DynamicObject;

use super::Run;

const HUB_ID: &str = "work.brokkr.io/hub-id";
const ORDER_UID: &str = "work.brokkr.io/order-uid";
const ORDER_NAME: &str = "work.brokkr.io/order-name";
const ATTEMPT: &str = "work.brokkr.io/attempt";

/// The longest label value.
const LABEL_LENGTH_MAX: usize = 63;

/// The name of the run of one attempt: short enough for a label, and the same whoever computes it.
pub fn child_name(uid: &str, attempt: i64) -> String {
    let hex: String = uid.chars().filter(|c| *c != '-').take(12).collect();
    format!("wo-{hex}-a{attempt}")
}

/// The labels of what is started for an order. They never carry an ownerReference: the order is in another cluster.
pub fn child_labels(run: Run<'_>) -> BTreeMap<String, String> {
    let claim = run.claim;
    let labels = [
        (ORDER_UID, Some(claim.uid.clone())),
        (ORDER_NAME, Some(label_value(&claim.name))),
        (ATTEMPT, Some(claim.attempt.to_string())),
        (HUB_ID, run.hub_id.map(ToOwned::to_owned)),
    ];
    labels
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Whether an object was started for the order of that uid.
pub fn is_child_of(object: &DynamicObject, uid: &str) -> bool {
    object.labels().get(ORDER_UID).is_some_and(|label| label == uid)
}

/// A name as a label value: cut, and ending in a letter or digit as the first character of a name always is.
fn label_value(name: &str) -> String {
    let cut: String = name.chars().take(LABEL_LENGTH_MAX).collect();
    cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_named_after_the_order_and_the_attempt() {
        assert_eq!(
            child_name("0192f0c1-7d3a-7000-8000-0123456789ab", 3),
            "wo-0192f0c17d3a-a3"
        );
    }

    #[test]
    fn a_long_order_name_becomes_a_legal_label() {
        let name = format!("{}.-rest", "a".repeat(62));
        assert_eq!(label_value(&name), "a".repeat(62));
        assert_eq!(label_value("build-my-app"), "build-my-app");
    }
}
