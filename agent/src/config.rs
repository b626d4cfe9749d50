//! The configuration file: how the agent treats work orders.
//!
//! Who the agent is and which clusters it talks to are flags ([`crate::options`]); what it does with orders is this
//! file. Unknown fields are refused, so that a misspelt one does not silently mean its default.
//!
//! ```yaml
//! workOrders:
//!   enabled: true
//!   pollIntervalSeconds: 30
//!   namespace: ""
//!   namespaceMap: {}
//!   build:
//!     serviceAccount: builder-sa
//!     defaultTimeout: 15m
//!     retentionSucceeded: 1h
//!     retentionFailed: 24h
//! ```

use std::collections::BTreeMap;

use brokkr_apis::work::v1alpha1::Duration;
use serde::Deserialize;

/// The file as a whole. An empty file means the defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AgentConfig {
    /// How work orders are taken and run.
    pub work_orders: WorkOrdersConfig,
}

/// How work orders are taken and run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct WorkOrdersConfig {
    /// Whether the agent claims orders. If not, it only reports its status. True by default.
    pub enabled: bool,
    /// How often the agent asks for work if nobody rings, in seconds: 1 to 3600, 30 by default.
    pub poll_interval_seconds: u64,
    /// One namespace for the work of all orders, whatever namespace they are in. For single-tenant clusters only: it
    /// takes away the isolation between the tenants of the hub. Empty, the default, for the namespace of the order.
    pub namespace: String,
    /// Namespaces of the hub whose work runs in a namespace of another name here.
    pub namespace_map: BTreeMap<String, String>,
    /// How builds run.
    pub build: BuildConfig,
}

/// How builds run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct BuildConfig {
    /// The account a build runs as when its order names none: builder-sa by default; empty leaves it to Shipwright.
    pub service_account: String,
    /// How long a build may take when neither order nor Build says: 15m by default.
    pub default_timeout: Duration,
    /// How long the BuildRun of a succeeded build is kept when its Build does not say: 1h by default.
    pub retention_succeeded: Duration,
    /// How long the BuildRun of a failed build is kept when its Build does not say: 24h by default.
    pub retention_failed: Duration,
}

impl Default for WorkOrdersConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            poll_interval_seconds: 30,
            namespace: String::new(),
            namespace_map: BTreeMap::new(),
            build: BuildConfig::default(),
        }
    }
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self {
            service_account: "builder-sa".to_owned(),
            default_timeout: Duration::from_text("15m"),
            retention_succeeded: Duration::from_text("1h"),
            retention_failed: Duration::from_text("24h"),
        }
    }
}

/// A value in the file that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value:?}: {problem}")]
pub struct InvalidField {
    /// The path of the field.
    pub field: String,
    /// What it is set to.
    pub value: String,
    /// What is wrong with it, and what is accepted.
    pub problem: String,
}

impl AgentConfig {
    /// Checks what the types do not say.
    ///
    /// # Errors
    ///
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), InvalidField> {
        let orders = &self.work_orders;
        if !(1..=3600).contains(&orders.poll_interval_seconds) {
            let value = orders.poll_interval_seconds.to_string();
            return Err(invalid(
                "workOrders.pollIntervalSeconds",
                &value,
                "must be between 1 and 3600",
            ));
        }
        let namespaces = orders
            .namespace_map
            .iter()
            .map(|(from, to)| (format!("workOrders.namespaceMap.{from}"), to));
        let fixed = [("workOrders.namespace".to_owned(), &orders.namespace)];
        for (field, namespace) in namespaces.chain(fixed.into_iter().filter(|(_, name)| !name.is_empty())) {
            check_namespace(&field, namespace)?;
        }
        let build = &orders.build;
        for (name, duration) in [
            ("defaultTimeout", &build.default_timeout),
            ("retentionSucceeded", &build.retention_succeeded),
            ("retentionFailed", &build.retention_failed),
        ] {
            check_duration(&format!("workOrders.build.{name}"), duration)?;
        }
        Ok(())
    }
}

impl WorkOrdersConfig {
    /// The namespace of this cluster in which orders of a namespace of the hub run.
    pub fn namespace_of<'a>(&'a self, of_order: &'a str) -> &'a str {
        if !self.namespace.is_empty() {
            return &self.namespace;
        }
        self.namespace_map.get(of_order).map_or(of_order, String::as_str)
    }
}

fn check_namespace(field: &str, name: &str) -> Result<(), InvalidField> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > 63
        || !name.chars().all(word)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        return Err(invalid(field, name, "must be the name of a namespace"));
    }
    if name.starts_with("kube-") {
        return Err(invalid(
            field,
            name,
            "must not be a kube- namespace; no work runs there",
        ));
    }
    Ok(())
}

fn check_duration(field: &str, duration: &Duration) -> Result<(), InvalidField> {
    match duration.parse() {
        Err(problem) => Err(invalid(field, duration.as_str(), &problem.to_string())),
        Ok(length) if length.is_zero() => Err(invalid(field, duration.as_str(), "must be longer than 0")),
        Ok(_) => Ok(()),
    }
}

fn invalid(field: &str, value: &str, problem: &str) -> InvalidField {
    InvalidField {
        field: field.to_owned(),
        value: value.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AgentConfig, String> {
        let config: AgentConfig = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let documented = "workOrders: {enabled: true, pollIntervalSeconds: 30, namespace: '', namespaceMap: {}, \
            build: {serviceAccount: builder-sa, defaultTimeout: 15m, retentionSucceeded: 1h, retentionFailed: 24h}}";
        assert_eq!(parse(documented), Ok(AgentConfig::default()));
        assert_eq!(parse("workOrders: {}"), Ok(AgentConfig::default()));
    }

    #[test]
    fn a_bad_value_is_refused_with_its_field() {
        let rows = [
            (
                "workOrders: {pollIntervalSeconds: 0}",
                "workOrders.pollIntervalSeconds",
            ),
            ("workOrders: {namespace: kube-system}", "kube- namespace"),
            ("workOrders: {namespace: Not_A_Name}", "workOrders.namespace"),
            (
                "workOrders: {namespaceMap: {team-a: ''}}",
                "workOrders.namespaceMap.team-a",
            ),
            (
                "workOrders: {build: {defaultTimeout: 15 minutes}}",
                "workOrders.build.defaultTimeout",
            ),
            (
                "workOrders: {build: {retentionFailed: 0s}}",
                "workOrders.build.retentionFailed",
            ),
            ("workOrders: {pollInterval: 30}", "pollInterval"),
        ];
        for (text, expected) in rows {
            let message = parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
