//! `docs/metrics.md`: the metrics of server and agent, as they register them, and what to alert on.

use std::collections::BTreeMap;
use std::fmt::Write;

use brokkr_agent::metrics::AgentMetrics;
use brokkr_apiserver::install;
use brokkr_apiserver::queue::metrics::{QueueMetrics, QueueReadings};
use generic_apiserver::server::describe_metrics;
use sqlx::postgres::PgConnectOptions;
use telemetry::{Described, MetricsRegistry, process};
use tokio_util::sync::CancellationToken;

use crate::repository::check_document;

const INTRODUCTION: &str = "\
# Metrics

What server and agent tell Prometheus, made from what they register; a test fails when this page is not
current.

The server answers at `/metrics` of its secure port, in Prometheus' text format, to whoever may `get` that
path: an account bound to the ClusterRole of [roles-metrics.yaml](../apiservice/roles-metrics.yaml).
Scrape every replica by itself, not the Service. It waits for no database: what is not in memory is not told,
so that the numbers are there when the database is not.

The agent tells its metrics, `/healthz` and `/readyz` over plain HTTP where `--metrics-bind-address` says,
and nowhere without it.

Names of Kubernetes' own API servers stand where the meaning is the same, so that dashboards made for those
work. Labels have few values: resources that are not served count as `unknown`, reasons that are in no table
as `other`; no label names an order, a namespace, a user or an agent. A metric appears with its first sample.
";

/// Name, expression, for how long, what it means and what to do.
const ALERTS: &[(&str, &str, &str, &str)] = &[
    (
        "BrokkrDatabaseUnreachable",
        "max(apiserver_postgres_reachable) == 0",
        "2m",
        "No replica reaches PostgreSQL: writes are 503, reads come from memory.",
    ),
    (
        "BrokkrCacheStale",
        "max by (instance) (apiserver_postgres_tailer_lag_seconds) > 30",
        "1m",
        "A replica serves what was true this long ago; look for its warnings `change log not read`.",
    ),
    (
        "BrokkrWritesQueue",
        "apiserver_postgres_writer_queue_operations / apiserver_postgres_writer_queue_operations_max > 0.5",
        "1m",
        "Writes come faster than the database commits; beyond 1 they are refused with 429. Compare commit and \
         lock-wait times.",
    ),
    (
        "BrokkrRequestErrors",
        "sum(rate(apiserver_request_total{code=~\"5..\"}[5m])) / sum(rate(apiserver_request_total[5m])) > 0.05",
        "5m",
        "One request in twenty fails on our side; their log lines say which.",
    ),
    (
        "BrokkrOrdersWait",
        "max(brokkr_work_oldest_waiting_seconds) > 900",
        "5m",
        "An order waits that nobody claims: its condition Schedulable says why.",
    ),
    (
        "BrokkrLeasesLost",
        "sum(increase(brokkr_work_due_total{event=\"leaseLost\"}[15m])) > 3",
        "0m",
        "Agents die or cannot reach the hub; compare with their brokkr_agent_hub_last_contact_seconds.",
    ),
    (
        "BrokkrClaimsLapsed",
        "max(brokkr_work_leases{state=\"lapsed\"}) > 0",
        "15m",
        "The holder of an order that must not run twice is silent: it waits for the holder, or for a forced \
         release (condition HolderUnreachable).",
    ),
    (
        "BrokkrAgentCutOff",
        "max by (instance) (brokkr_agent_hub_last_contact_seconds) > 120",
        "1m",
        "An agent has not heard of the hub for two minutes; its work goes on, its leases run out.",
    ),
    (
        "BrokkrHistoryChanged",
        "max(changes(apiserver_postgres_epoch[1h])) > 0",
        "0m",
        "The database was restored or failed over; clients list anew, which is load for a while.",
    ),
];

const BACKLOG: &str = "
To scale agents by what waits for them, take the largest of the replicas, such as in a KEDA trigger:

```text
max(brokkr_work_orders_waiting{work_type=\"build\"})
```
";

fn table(page: &mut String, title: &str, described: &[Described]) {
    let _ = writeln!(
        page,
        "\n## {title}\n\n| name | type | labels | meaning |\n|---|---|---|---|"
    );
    let by_name: BTreeMap<_, _> = described.iter().map(|metric| (metric.name, metric)).collect();
    for (name, metric) in by_name {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels, help) = (metric.kind, labels.join(", "), metric.help);
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
}

fn alerts(page: &mut String) {
    page.push_str("\n## What to alert on\n\nThresholds to begin with; a fleet has its own.\n");
    for (name, expression, hold, meaning) in ALERTS {
        let _ = write!(
            page,
            "\n**{name}**, for {hold}: {meaning}\n\n```text\n{expression}\n```\n"
        );
    }
    page.push_str(BACKLOG);
}

/// As `brokkr-apiserver` registers them; the database is never asked.
fn of_server() -> MetricsRegistry {
    let (counts, mut registry) = (QueueMetrics::default(), MetricsRegistry::default());
    let nowhere = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(1);
    let storage = install::storage(nowhere, &counts).start(&CancellationToken::new());
    process::register(&mut registry);
    storage.register_metrics(&mut registry);
    QueueReadings::default().register(&mut registry, &counts, &storage);
    describe_metrics(&mut registry);
    registry
}

fn of_agent() -> MetricsRegistry {
    let mut registry = MetricsRegistry::default();
    process::register(&mut registry);
    AgentMetrics::default().register(&mut registry, BTreeMap::new, || 0);
    registry
}

#[tokio::test]
async fn page_of_metrics_is_what_is_registered() {
    let mut page = INTRODUCTION.to_owned();
    table(&mut page, "Server", of_server().described());
    table(&mut page, "Agent", of_agent().described());
    alerts(&mut page);
    check_document("docs/metrics.md", &page);
}

#[tokio::test]
async fn alerts_are_about_metrics_that_exist() {
    let (server, agent) = (of_server(), of_agent());
    let described = server.described().iter().chain(agent.described());
    let known: Vec<_> = described.collect();
    let expressions = ALERTS.iter().map(|(_, expression, ..)| *expression);
    for expression in expressions.chain([BACKLOG]) {
        let mut found = false;
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("apiserver_") || word.starts_with("brokkr_")) {
            assert!(
                known.iter().any(|metric| metric.name == word),
                "{word} in {expression}"
            );
            found = true;
        }
        assert!(found, "{expression} is about nothing");
    }
}
