//! Numbers of the whole queue: from the watch cache where that knows them, else from one small statement
//! that runs only while somebody scrapes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use brokkr_apis::work::v1alpha1::WorkType;
use generic_apiserver::storage::{GroupResource, Storage, StorageError, Tally};
use telemetry::{MetricsRegistry, Reading, Readings};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::QueueMetrics;
use crate::registry::work_order::table::WORK_ORDERS;
use crate::registry::work_order_log::table::WORK_ORDER_LOGS;

/// The time between two runs of the statement.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long after a scrape the next one is expected; Prometheus' default is a minute.
const SCRAPED_WITHIN: Duration = Duration::from_secs(150);

/// After this long, what was read is no longer told: the database is away.
const KEPT: Duration = Duration::from_secs(30);

/// What orders are counted by; the last is not selectable.
pub(crate) const ORDER_FIELDS: &[&str] = &["status.phase", "spec.workType", "spec.suspend"];

/// What entries of the log are counted by.
pub(crate) const ENTRY_FIELDS: &[&str] = &["outcome", "workType"];

/// The head of an index, and two tables that hold a row per claim and per idle agent.
const STATEMENT: &str = "
select (select extract(epoch from clock_timestamp() - min(o.ready_since)) from work.work_orders o
        where o.status = 'PENDING' and not o.suspended and o.ready_since is not null)::float8,
    l.held, l.lapsed, i.idle, i.rung
from (select count(*) filter (where not lapsed) as held, count(*) filter (where lapsed) as lapsed
        from work.work_leases) l,
    (select count(*) filter (where rung_at is null) as idle, count(*) filter (where rung_at is not null) as rung
        from work.idle_agents) i";

/// What the statement tells.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    at: Instant,
    /// Age of the order that waits longest; none when no order waits.
    oldest_seconds: Option<f64>,
    /// Claims within their lease, and kept beyond it.
    held: i64,
    lapsed: i64,
    /// Agents that wait for work, and those that were rung and have not asked since.
    idle: i64,
    rung: i64,
}

/// What was read last, and when.
#[derive(Clone, Debug, Default)]
pub struct QueueReadings {
    last: Arc<Mutex<Option<Numbers>>>,
    scraped: Arc<Notify>,
}

impl QueueReadings {
    /// Adds what the queue counts and what is read of it. The numbers of the database are there from the
    /// second scrape on, while [`Self::run`] runs.
    pub fn register(&self, registry: &mut MetricsRegistry, metrics: &QueueMetrics, storage: &Storage) {
        metrics.register(registry);
        register_orders(registry, storage);
        self.register_waiting(registry);
        self.register_holders(registry);
    }

    /// Reads while scrapes come, until the token is cancelled. What fails is tried again and not told: the
    /// sweeper says in the log that the database is away.
    pub async fn run(self, storage: Storage, token: CancellationToken) {
        let work = async {
            loop {
                self.scraped.notified().await;
                let until = Instant::now() + SCRAPED_WITHIN;
                while Instant::now() < until {
                    if let Ok(numbers) = read(&storage).await {
                        *self.last() = Some(numbers);
                    }
                    sleep(INTERVAL).await;
                }
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = work => {}
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<Numbers>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read lately; asking makes the reading go on.
    fn recent(&self) -> Option<Numbers> {
        self.scraped.notify_one();
        self.last().filter(|numbers| numbers.at.elapsed() < KEPT)
    }

    fn register_waiting(&self, registry: &mut MetricsRegistry) {
        let readings = self.clone();
        let oldest = move || {
            let numbers = readings.recent()?;
            let age = |seconds| seconds + numbers.at.elapsed().as_secs_f64();
            Some(Reading::plain(numbers.oldest_seconds.map_or(0.0, age)))
        };
        registry.register(
            "brokkr_work_oldest_waiting_seconds",
            &[],
            "Age of the order that has waited longest to be claimed, 0 when none waits; max over replicas",
            Readings::gauge(move || oldest().into_iter().collect()),
        );
    }

    fn register_holders(&self, registry: &mut MetricsRegistry) {
        self.gauge(
            registry,
            "brokkr_work_leases",
            "Claims: held within their lease, or lapsed, kept because the work must not run twice; max over replicas",
            |numbers| [("held", numbers.held), ("lapsed", numbers.lapsed)],
        );
        self.gauge(
            registry,
            "brokkr_work_agents_waiting",
            "Agents that asked for more than they got: idle, or rung and not heard of since; max over replicas",
            |numbers| [("idle", numbers.idle), ("rung", numbers.rung)],
        );
    }

    fn gauge(
        &self,
        registry: &mut MetricsRegistry,
        name: &'static str,
        help: &'static str,
        states: fn(Numbers) -> [(&'static str, i64); 2],
    ) {
        let readings = self.clone();
        let read = move || {
            let numbers = readings.recent();
            let reading = |(state, count): (&str, i64)| Reading {
                labels: vec![("state", state.to_owned())],
                value: count as f64,
            };
            numbers.into_iter().flat_map(states).map(reading).collect()
        };
        registry.register(name, &["state"], help, Readings::gauge(read));
    }
}

async fn read(storage: &Storage) -> Result<Numbers, StorageError> {
    let (oldest_seconds, held, lapsed, idle, rung) = sqlx::query_as(STATEMENT)
        .fetch_one(storage.pool())
        .await
        .map_err(StorageError::from)?;
    Ok(Numbers {
        at: Instant::now(),
        oldest_seconds,
        held,
        lapsed,
        idle,
        rung,
    })
}

/// What the watch cache counts along.
fn register_orders(registry: &mut MetricsRegistry, storage: &Storage) {
    let orders = storage.clone();
    let by_phase = move || {
        let present = tally(&orders, WORK_ORDERS).present;
        let reading = |(values, count): (Vec<String>, usize)| {
            let names = ["phase", "work_type", "suspended"];
            Reading {
                labels: names.into_iter().zip(values).collect(),
                value: count as f64,
            }
        };
        present.into_iter().map(reading).collect()
    };
    registry.register(
        "brokkr_work_orders",
        &["phase", "work_type", "suspended"],
        "Orders that are there, finished ones until their TTL; max over replicas",
        Readings::gauge(by_phase),
    );
    let orders = storage.clone();
    let waiting = move || {
        let present = tally(&orders, WORK_ORDERS).present;
        let waits = |work_type: &str| {
            let waiting = ["Pending", work_type, "false"];
            let counts = present.iter().filter(|(values, _)| **values == waiting);
            counts.map(|(_, count)| *count).sum::<usize>()
        };
        let reading = |work_type: &WorkType| Reading {
            labels: vec![("work_type", work_type.as_str().to_owned())],
            value: waits(work_type.as_str()) as f64,
        };
        WorkType::ALL.iter().map(reading).collect()
    };
    registry.register(
        "brokkr_work_orders_waiting",
        &["work_type"],
        "Orders that wait to be claimed and are not suspended: the backlog to scale agents by; max over replicas",
        Readings::gauge(waiting),
    );
    let orders = storage.clone();
    registry.register(
        "brokkr_work_orders_created_total",
        &["work_type"],
        "Orders created since this replica started, on whichever replica; max over replicas",
        Readings::counter(move || {
            let created = tally(&orders, WORK_ORDERS).created.into_iter();
            let mut by_type = BTreeMap::<String, u64>::new();
            for (values, count) in created {
                *by_type.entry(values[1].clone()).or_default() += count;
            }
            let reading = |(work_type, count): (String, u64)| Reading {
                labels: vec![("work_type", work_type)],
                value: count as f64,
            };
            by_type.into_iter().map(reading).collect()
        }),
    );
    let entries = storage.clone();
    registry.register(
        "brokkr_work_orders_finished_total",
        &["outcome", "work_type"],
        "Orders finished since this replica started, on whichever replica, by the outcome in the log; max over replicas",
        Readings::counter(move || {
            let created = tally(&entries, WORK_ORDER_LOGS).created.into_iter();
            let reading = |(values, count): (Vec<String>, u64)| Reading {
                labels: ["outcome", "work_type"].into_iter().zip(values).collect(),
                value: count as f64,
            };
            created.map(reading).collect()
        }),
    );
}

fn tally(storage: &Storage, resource: GroupResource) -> Tally {
    storage.tally(resource).unwrap_or_default()
}
