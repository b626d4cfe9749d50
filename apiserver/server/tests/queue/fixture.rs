//! A database with both schemas, one or more replicas on it, and short ways to create and to ask.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use brokkr_apis::work::defaults::{default_agent, default_work_order};
use brokkr_apis::work::v1alpha1::{
    Agent, WorkOrder, WorkOrderCompletionSpec, WorkOrderCompletionStatus, WorkOrderLog, WorkOrderPhase,
};
use brokkr_apiserver::lifecycle::{Event, Moment, QueueColumns, State, transition};
use brokkr_apiserver::queue::claim::{ClaimAnswer, Grant};
use brokkr_apiserver::queue::metrics::QueueMetrics;
use brokkr_apiserver::queue::report::Completed;
use brokkr_apiserver::queue::{Namespaces, Queue, Sweeper, with_counted_followers};
use brokkr_apiserver::registry::agent::table as agent_table;
use brokkr_apiserver::registry::work_order::table as order_table;
use brokkr_apiserver::registry::work_order_log::table as log_table;
use futures::future::BoxFuture;
use generic_apiserver::object::Object;
use generic_apiserver::registry::RegistryError;
use generic_apiserver::storage::{
    Freshness, Key, ListOptions, ListVersion, ObjectWrite, Selection, Storage, StorageOptions, Stored,
    Update, Writes, migrator,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};
use test_postgres::{TestDatabase, TestPostgres};
use tokio_util::sync::CancellationToken;

use crate::ask::{AllowIn, batch, completion, failure, named};

/// No condition in a test takes longer than this, on however busy a machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The namespace of orders in these tests unless they say otherwise.
pub(crate) const TEAM: &str = "team-a";

/// Namespaces that a test says are being deleted, in a hub that may be away.
#[derive(Debug, Default)]
pub(crate) struct Terminating {
    namespaces: Mutex<Vec<String>>,
    away: AtomicBool,
}

#[async_trait]
impl Namespaces for Terminating {
    fn terminating(&self) -> Vec<String> {
        self.namespaces.lock().unwrap().clone()
    }

    fn is_reachable(&self) -> bool {
        !self.away.load(Ordering::SeqCst)
    }

    async fn uid(&self, name: &str) -> Result<Option<String>, RegistryError> {
        Ok(Some(format!("uid of {name}")))
    }

    fn replaced(&self, _: &str, _: Option<String>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A replica on a database of its own.
pub(crate) struct Fixture {
    database: Option<Arc<TestDatabase>>,
    pub(crate) connect: PgConnectOptions,
    pub(crate) storage: Storage,
    pub(crate) queue: Arc<Queue>,
    pub(crate) sweeper: Sweeper,
    pub(crate) terminating: Arc<Terminating>,
    pub(crate) metrics: QueueMetrics,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::on_server(TestPostgres::shared()).await
    }

    pub(crate) async fn on_server(server: &TestPostgres) -> Self {
        let database = server.create_database().await.unwrap();
        let mut connection = PgConnection::connect_with(&database.connect_options())
            .await
            .unwrap();
        migrator().run_direct(None, &mut connection, false).await.unwrap();
        brokkr_apiserver::migrate::migrator()
            .run_direct(None, &mut connection, false)
            .await
            .unwrap();
        Self::on(database.connect_options(), Some(Arc::new(database)))
    }

    /// A replica on a database that somebody else has prepared.
    pub(crate) fn beside(connect: PgConnectOptions) -> Self {
        Self::on(connect, None)
    }

    /// Another replica on the same database.
    pub(crate) fn replica(&self) -> Self {
        Self::on(self.connect.clone(), self.database.clone())
    }

    fn on(connect: PgConnectOptions, database: Option<Arc<TestDatabase>>) -> Self {
        let builder = Storage::builder(StorageOptions::new(connect.clone()))
            .resource(order_table::table())
            .resource(log_table::table())
            .resource(agent_table::table());
        let metrics = QueueMetrics::default();
        let storage = with_counted_followers(builder, &metrics).start(&CancellationToken::new());
        let terminating = Arc::new(Terminating::default());
        let queue = Queue::new(storage.clone(), terminating.clone()).counting(metrics.clone());
        let authorizer = Arc::new(AllowIn(vec![TEAM]));
        let sweeper =
            Sweeper::new(storage.clone(), terminating.clone(), authorizer).counting(metrics.clone());
        Self {
            database,
            connect,
            storage,
            queue: Arc::new(queue),
            sweeper,
            terminating,
            metrics,
        }
    }

    pub(crate) fn terminate(&self, namespace: &str) {
        self.terminating
            .namespaces
            .lock()
            .unwrap()
            .push(namespace.to_owned());
    }

    /// The hub goes, or is back.
    pub(crate) fn set_hub_away(&self, away: bool) {
        self.terminating.away.store(away, Ordering::SeqCst);
    }

    /// Creates an agent whose identity is its name.
    pub(crate) async fn agent(&self, name: &str) {
        self.agent_with(name, |_| {}).await;
    }

    pub(crate) async fn agent_with(&self, name: &str, change: impl FnOnce(&mut Agent)) {
        let mut agent = Agent::default();
        agent.metadata.name = Some(name.to_owned());
        agent.spec.identity = name.to_owned();
        default_agent(&mut agent);
        agent.spec.concurrency.as_mut().unwrap().total = Some(1000);
        change(&mut agent);
        self.create(agent_table::AGENTS, &agent).await;
    }

    /// Creates a build in [`TEAM`].
    pub(crate) async fn order(&self, name: &str) -> WorkOrder {
        self.order_with(name, |_| {}).await
    }

    pub(crate) async fn order_with(&self, name: &str, change: impl FnOnce(&mut WorkOrder)) -> WorkOrder {
        let mut order = WorkOrder::default();
        order.metadata.name = Some(name.to_owned());
        order.metadata.namespace = Some(TEAM.to_owned());
        order.spec.work_type = "build".to_owned();
        change(&mut order);
        default_work_order(&mut order);
        order.status.get_or_insert_default();
        let stored = self.create(order_table::WORK_ORDERS, &order).await;
        read(&stored)
    }

    async fn create(
        &self,
        resource: generic_apiserver::storage::GroupResource,
        typed: &impl serde::Serialize,
    ) -> Arc<Stored> {
        let mut object = Object::from_typed(typed).unwrap();
        object.metadata.uid = Some(uuid::Uuid::new_v4().to_string());
        object.metadata.creation_timestamp = Some(Time(jiff::Timestamp::now()));
        let object = ObjectWrite::Create { resource, object };
        let update = Update {
            object,
            further: Writes::default(),
        };
        let stored = self.storage.update(update).await.unwrap();
        // What reads the cache in a test finds the object there.
        let fresh = Freshness::NotOlderThan(stored.version);
        self.storage.get(resource, &stored.key, fresh).await.unwrap();
        stored
    }

    /// Changes an order as its resource would.
    pub(crate) async fn change_order(&self, name: &str, change: impl FnOnce(&mut WorkOrder)) {
        let old = self.stored(name).await.unwrap();
        let mut order: WorkOrder = read(&old);
        change(&mut order);
        let object = Object::from_typed(&order).unwrap();
        let object = ObjectWrite::Replace {
            resource: order_table::WORK_ORDERS,
            old,
            object,
        };
        self.storage
            .update(Update {
                object,
                further: Writes::default(),
            })
            .await
            .unwrap();
    }

    pub(crate) async fn change_agent(&self, name: &str, change: impl FnOnce(&mut Agent)) {
        let old = self.stored_agent(name).await;
        let mut agent: Agent = read(&old);
        change(&mut agent);
        let object = Object::from_typed(&agent).unwrap();
        let object = ObjectWrite::Replace {
            resource: agent_table::AGENTS,
            old,
            object,
        };
        self.storage
            .update(Update {
                object,
                further: Writes::default(),
            })
            .await
            .unwrap();
    }

    pub(crate) async fn delete_agent(&self, name: &str) {
        let old = self.stored_agent(name).await;
        let object = ObjectWrite::Delete {
            resource: agent_table::AGENTS,
            old,
            last: None,
        };
        self.storage
            .update(Update {
                object,
                further: Writes::default(),
            })
            .await
            .unwrap();
    }

    async fn stored_agent(&self, name: &str) -> Arc<Stored> {
        self.storage
            .get(agent_table::AGENTS, &Key::cluster(name), Freshness::Latest)
            .await
            .unwrap()
    }

    async fn stored(&self, name: &str) -> Option<Arc<Stored>> {
        let key = Key::namespaced(TEAM, name);
        self.storage
            .get(order_table::WORK_ORDERS, &key, Freshness::Latest)
            .await
            .ok()
    }

    /// Cancels a claimed order as its resource does.
    pub(crate) async fn cancel(&self, name: &str, reason: &str) {
        let old = self.stored(name).await.unwrap();
        let mut order: WorkOrder = read(&old);
        let event = Event::CancelRequested {
            by: "user".to_owned(),
            reason: reason.to_owned(),
        };
        let now = jiff::Timestamp::now();
        let state = State::of(&order, &QueueColumns::default());
        let transition = transition(&state, &event, Moment { now, jitter: 0.0 }).unwrap();
        transition.apply(&mut order, &event, now);
        let object = Object::from_typed(&order).unwrap();
        let object = ObjectWrite::Replace {
            resource: order_table::WORK_ORDERS,
            old,
            object,
        };
        self.storage
            .update(Update {
                object,
                further: Writes::default(),
            })
            .await
            .unwrap();
        let uid = order.metadata.uid.unwrap();
        let deadline = "clock_timestamp() + interval '60 seconds'";
        self.sql(&format!(
            "update work.work_orders set cancel_deadline = {deadline} where id = '{uid}'"
        ))
        .await;
    }

    /// The order as it is now, if it still exists.
    pub(crate) async fn find(&self, name: &str) -> Option<WorkOrder> {
        self.stored(name).await.map(|stored| read(&stored))
    }

    pub(crate) async fn phase(&self, name: &str) -> WorkOrderPhase {
        self.find(name)
            .await
            .expect("the order exists")
            .status
            .unwrap()
            .phase
    }

    pub(crate) async fn find_agent(&self, name: &str) -> Agent {
        read(&*self.stored_agent(name).await)
    }

    /// How often the agent has been rung.
    pub(crate) async fn wake(&self, agent: &str) -> i64 {
        read::<Agent>(&*self.stored_agent(agent).await)
            .status
            .map_or(0, |status| status.wake)
    }

    /// Every log entry of an order.
    pub(crate) async fn entries(&self, order: &str) -> Vec<WorkOrderLog> {
        let options = ListOptions {
            namespace: None,
            selection: Selection::default(),
            version: ListVersion::Fresh(Freshness::Latest),
            limit: 0,
            continue_token: None,
        };
        let page = self
            .storage
            .list(log_table::WORK_ORDER_LOGS, &options)
            .await
            .unwrap();
        let entries = page.items.iter().map(|stored| read::<WorkOrderLog>(stored));
        entries.filter(|entry| entry.spec.order_name == order).collect()
    }

    /// A batch claim of this many, anywhere.
    pub(crate) async fn claim(&self, agent: &str, want: usize) -> Vec<Grant> {
        self.queue.claim(batch(agent, want)).await.unwrap().unwrap()
    }

    pub(crate) async fn claim_named(&self, agent: &str, holder: &str, name: &str) -> ClaimAnswer {
        self.queue.claim(named(agent, holder, name)).await.unwrap()
    }

    /// A claim that must be granted.
    pub(crate) async fn claimed(&self, agent: &str, name: &str) -> Grant {
        self.claim_named(agent, "p1", name).await.unwrap().remove(0)
    }

    pub(crate) async fn complete(
        &self,
        grant: &Grant,
        agent: &str,
        report: WorkOrderCompletionSpec,
    ) -> Completed {
        self.queue
            .complete(completion(grant, agent, report))
            .await
            .unwrap()
    }

    /// A completion that must be accepted.
    pub(crate) async fn fail(&self, grant: &Grant, agent: &str, reason: &str) -> WorkOrderCompletionStatus {
        self.complete(grant, agent, failure(grant, reason)).await.unwrap()
    }

    /// Lets the leases of an order, or all, have run out long ago.
    pub(crate) async fn age_lease(&self, uid: &str) {
        self.sql(&format!(
            "update work.work_leases set expires_at = clock_timestamp() - interval '1 second' where order_uid = '{uid}'"
        ))
        .await;
    }

    pub(crate) async fn sql(&self, statement: &str) {
        sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(self.storage.pool())
            .await
            .unwrap();
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(self.storage.pool())
            .await
            .unwrap()
    }

    /// One look of the sweeper.
    pub(crate) async fn sweep(&self) {
        self.sweeper.serve().await.unwrap();
    }

    /// One look for agents that may claim in some namespaces only; gives how many were rung.
    pub(crate) async fn ring_limited(&self) -> usize {
        self.sweeper.ring_limited().await.unwrap()
    }
}

pub(crate) fn read<T: DeserializeOwned>(stored: &Stored) -> T {
    serde_json::from_slice(&stored.encoded).unwrap()
}
