//! The resource of orders on a database of its own, its queue, and short ways to ask.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use brokkr_apis::work::defaults::default_agent;
use brokkr_apis::work::v1alpha1::{
    Agent, CompletionOutcome, WorkOrder, WorkOrderCompletionSpec, WorkOrderLog, WorkOrderStatus, WorkType,
};
use brokkr_apiserver::queue::claim::{ClaimInput, Grant, NamedClaim};
use brokkr_apiserver::queue::report::{ClaimKey, CompleteInput, Completed};
use brokkr_apiserver::queue::{Namespaces, Queue, Sweeper, with_followers};
use brokkr_apiserver::registry::agent::table as agent_table;
use brokkr_apiserver::registry::work_order::WorkOrderStrategy;
use brokkr_apiserver::registry::work_order::table as order_table;
use brokkr_apiserver::registry::work_order_log::WorkOrderLogStrategy;
use brokkr_apiserver::registry::work_order_log::table as log_table;
use futures::future::BoxFuture;
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};
use generic_apiserver::object::Object;
use generic_apiserver::registry::{
    DeleteRequest, Deleted, ObjectChange, Part, RegistryError, RequestContext, RestStorage, Store,
};
use generic_apiserver::storage::{
    Freshness, Key, ListOptions, ListVersion, ObjectWrite, Selection, Storage, StorageError, StorageOptions,
    Update, Writes, migrator,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use test_postgres::{TestDatabase, TestPostgres};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// No condition in a test takes longer than this, on however busy a machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The namespace of all orders here.
pub(crate) const TEAM: &str = "team-a";

/// The user who asks unless a test says otherwise.
pub(crate) const USER: &str = "ada";

pub(crate) struct Fixture {
    pub(crate) storage: Storage,
    pub(crate) orders: Arc<Store<WorkOrderStrategy>>,
    pub(crate) log: Store<WorkOrderLogStrategy>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) sweeper: Sweeper,
    _database: TestDatabase,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with_clock("0 seconds").await
    }

    /// On a database whose clock is ahead of this machine's by so much.
    pub(crate) async fn with_clock(ahead: &str) -> Self {
        let database = TestPostgres::shared().create_database().await.unwrap();
        let mut connection = PgConnection::connect_with(&database.connect_options())
            .await
            .unwrap();
        set_clock(&mut connection, database.name(), ahead).await;
        migrator().run_direct(None, &mut connection, false).await.unwrap();
        brokkr_apiserver::migrate::migrator()
            .run_direct(None, &mut connection, false)
            .await
            .unwrap();
        let builder = Storage::builder(StorageOptions::new(database.connect_options()))
            .resource(order_table::table())
            .resource(log_table::table())
            .resource(agent_table::table());
        let storage = with_followers(builder).start(&CancellationToken::new());
        storage.wait_until_filled().await.unwrap();
        let cluster = Arc::new(Cluster::default());
        let orders = WorkOrderStrategy::new(storage.clone(), cluster.clone());
        let log = WorkOrderLogStrategy::new(cluster.clone());
        Self {
            orders: Arc::new(Store::new(orders, storage.clone())),
            log: Store::new(log, storage.clone()),
            queue: Arc::new(Queue::new(storage.clone(), cluster.clone())),
            sweeper: Sweeper::new(storage.clone(), cluster.clone(), Arc::new(AllowAll)),
            cluster,
            storage,
            _database: database,
        }
    }

    /// Creates an agent that serves these types; none = all.
    pub(crate) async fn agent(&self, name: &str, work_types: &[&str]) {
        let mut agent = Agent::default();
        agent.metadata.name = Some(name.to_owned());
        agent.metadata.uid = Some(uuid::Uuid::new_v4().to_string());
        agent.metadata.creation_timestamp = Some(Time(Timestamp::now()));
        agent.spec.identity = name.to_owned();
        agent.spec.work_types = work_types.iter().map(|&word| word.to_owned()).collect();
        default_agent(&mut agent);
        let object = Object::from_typed(&agent).unwrap();
        let object = ObjectWrite::Create {
            resource: agent_table::AGENTS,
            object,
        };
        let stored = self
            .storage
            .update(Update {
                object,
                further: Writes::default(),
            })
            .await
            .unwrap();
        // What the cache does not have yet is not targeted.
        let fresh = Freshness::NotOlderThan(stored.version);
        self.storage
            .get(agent_table::AGENTS, &Key::cluster(name), fresh)
            .await
            .unwrap();
    }

    /// Creates a build, changed so.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Result<WorkOrder, RegistryError> {
        self.create_as(&context(USER), name, spec).await
    }

    pub(crate) async fn create_as(
        &self,
        ctx: &RequestContext,
        name: &str,
        spec: Value,
    ) -> Result<WorkOrder, RegistryError> {
        let mut body = json!({
            "apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder", "metadata": {"name": name},
            "spec": {"workType": "build", "buildRef": {"name": "app"}},
        });
        let (Value::Object(into), Value::Object(from)) = (&mut body["spec"], spec) else {
            panic!("a spec is an object")
        };
        into.extend(from);
        let object = self.orders.decode(body).unwrap().object;
        self.orders
            .create(ctx, TEAM, object)
            .await
            .map(|object| object.to_typed().unwrap())
    }

    /// Changes an order as a patch does.
    pub(crate) async fn change(
        &self,
        name: &str,
        part: Part,
        change: impl Fn(&mut WorkOrder) + Send + Sync,
    ) -> Result<WorkOrder, RegistryError> {
        let changed = self
            .orders
            .update(&context(USER), &key(name), part, &Typed(change))
            .await;
        changed.map(|object| object.to_typed().unwrap())
    }

    pub(crate) async fn delete(&self, name: &str, grace: Option<i64>) -> Result<Deleted, RegistryError> {
        let request = DeleteRequest {
            grace_period_seconds: grace,
            ..DeleteRequest::default()
        };
        self.orders.delete(&context(USER), &key(name), &request).await
    }

    /// The order as it is now, if it still exists.
    pub(crate) async fn find(&self, name: &str) -> Option<WorkOrder> {
        match self.orders.get(&key(name), Freshness::Latest).await {
            Ok(stored) => Some(serde_json::from_slice(&stored.encoded).unwrap()),
            Err(RegistryError::Storage(StorageError::NotFound(_))) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn status(&self, name: &str) -> WorkOrderStatus {
        self.find(name).await.expect("the order exists").status.unwrap()
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
        let entries = page
            .items
            .iter()
            .map(|stored| serde_json::from_slice(&stored.encoded).unwrap());
        entries
            .filter(|entry: &WorkOrderLog| entry.spec.order_name == order)
            .collect()
    }

    /// Claims the order for an agent, if it may be claimed.
    pub(crate) async fn claim(&self, agent: &str, name: &str) -> Option<Grant> {
        let named = NamedClaim {
            namespace: TEAM.to_owned(),
            name: name.to_owned(),
            takeover: false,
        };
        let input = ClaimInput {
            agent: agent.to_owned(),
            holder: "p1".to_owned(),
            request_id: None,
            body_hash: name.to_owned(),
            want: 1,
            work_types: WorkType::ALL.iter().map(ToString::to_string).collect(),
            namespaces: None,
            limited_user: None,
            named: Some(named),
            terminating: Vec::new(),
            dry_run: false,
        };
        self.queue
            .claim(input)
            .await
            .unwrap()
            .ok()
            .map(|mut grants| grants.remove(0))
    }

    pub(crate) async fn complete(&self, agent: &str, grant: &Grant) -> Completed {
        let report = WorkOrderCompletionSpec {
            outcome: CompletionOutcome::Succeeded,
            results: [("digest".to_owned(), json!("sha256:1"))].into(),
            ..WorkOrderCompletionSpec::default()
        };
        self.report(agent, grant, report).await
    }

    /// Reports a failure that is tried again.
    pub(crate) async fn fail(&self, agent: &str, grant: &Grant) -> Completed {
        let report = WorkOrderCompletionSpec {
            outcome: CompletionOutcome::Failed,
            reason: Some("GitRemoteFailed".to_owned()),
            execution_started: Some(true),
            child_confirmed_ended: Some(true),
            ..WorkOrderCompletionSpec::default()
        };
        self.report(agent, grant, report).await
    }

    async fn report(&self, agent: &str, grant: &Grant, mut report: WorkOrderCompletionSpec) -> Completed {
        let fence = grant.fence.unwrap();
        report.uid.clone_from(&grant.uid);
        report.fence = fence;
        let key = ClaimKey {
            uid: grant.uid.clone(),
            fence: Some(fence),
            namespace: grant.namespace.clone(),
            name: grant.name.clone(),
            agent: Some(agent.to_owned()),
            user: agent.to_owned(),
            namespace_terminating: false,
            dry_run: false,
        };
        self.queue.complete(CompleteInput { key, report }).await.unwrap()
    }

    /// How often the agent has been rung.
    pub(crate) async fn wake(&self, agent: &str) -> i64 {
        let stored = self
            .storage
            .get(agent_table::AGENTS, &Key::cluster(agent), Freshness::Latest)
            .await
            .unwrap();
        let agent: Agent = serde_json::from_slice(&stored.encoded).unwrap();
        agent.status.map_or(0, |status| status.wake)
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
}

/// Namespaces, none of which is being deleted. One of any name exists; it may be deleted and created anew.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    generation: watch::Sender<u64>,
}

impl Cluster {
    /// Deletes every namespace and creates another one of the same name.
    pub(crate) fn recreate_namespaces(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn uid_in(name: &str, generation: u64) -> String {
        format!("{name}-{generation}")
    }
}

#[async_trait]
impl Namespaces for Cluster {
    fn terminating(&self) -> Vec<String> {
        Vec::new()
    }

    async fn uid(&self, name: &str) -> Result<Option<String>, RegistryError> {
        Ok(Some(Self::uid_in(name, *self.generation.borrow())))
    }

    fn replaced(&self, name: &str, uid: Option<String>) -> BoxFuture<'static, ()> {
        let (name, mut generation) = (name.to_owned(), self.generation.subscribe());
        Box::pin(async move {
            let other = |generation: &u64| Some(Self::uid_in(&name, *generation)) != uid;
            drop(generation.wait_for(other).await);
        })
    }
}

/// Puts another clock before the built-in one, for every session to come.
async fn set_clock(connection: &mut PgConnection, database: &str, ahead: &str) {
    let statements = format!(
        "create schema clock;
         create function clock.clock_timestamp() returns timestamptz language sql volatile
             return pg_catalog.clock_timestamp() + interval '{ahead}';
         alter database {database} set search_path = clock, pg_catalog, public"
    );
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await
        .unwrap();
}

/// A change of the typed order.
struct Typed<F>(F);

impl<F: Fn(&mut WorkOrder) + Send + Sync> ObjectChange for Typed<F> {
    fn apply(&self, current: &Object) -> Result<Object, RegistryError> {
        let mut order: WorkOrder = current.to_typed().unwrap();
        (self.0)(&mut order);
        Ok(Object::from_typed(&order).unwrap())
    }
}

struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: &UserInfo, _: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(Decision::Allow)
    }
}

pub(crate) fn context(user: &str) -> RequestContext {
    let user = UserInfo {
        name: user.to_owned(),
        ..UserInfo::default()
    };
    RequestContext::new(user, Arc::new(AllowAll))
}

pub(crate) fn key(name: &str) -> Key {
    Key::namespaced(TEAM, name)
}

/// The fields that an error says are invalid.
pub(crate) fn invalid_fields<T: std::fmt::Debug>(result: Result<T, RegistryError>) -> Vec<String> {
    match result.unwrap_err() {
        RegistryError::Invalid { errors, .. } => errors.into_iter().map(|error| error.field).collect(),
        other => panic!("not invalid: {other}"),
    }
}

/// The message of a conflict.
pub(crate) fn conflict<T: std::fmt::Debug>(result: Result<T, RegistryError>) -> String {
    match result.unwrap_err() {
        RegistryError::Conflict { message, .. } => message,
        other => panic!("no conflict: {other}"),
    }
}
