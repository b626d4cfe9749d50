//! kube-rs: typed clients, discovery, watchers, a reflector and a controller.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brokkr_apis::work::v1alpha1::{
    BuildReference, TargetTerm, WorkOrder, WorkOrderClaim, WorkOrderClaimSpec, WorkOrderSpec,
};
use brokkr_tests::{Installation, TestNamespace, eventually};
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::Resource;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::reflector::{self, Store, reflector};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

use crate::agents::{agent, may_claim};
use crate::undisturbed;

fn order(name: &str, agent: &str) -> WorkOrder {
    let spec = WorkOrderSpec {
        work_type: "build".to_owned(),
        build_ref: Some(BuildReference {
            name: "app".to_owned(),
        }),
        targets: vec![TargetTerm {
            agent_names: vec![agent.to_owned()],
            ..TargetTerm::default()
        }],
        ..WorkOrderSpec::default()
    };
    WorkOrder::new(name, spec)
}

#[tokio::test(flavor = "multi_thread")]
async fn c306_kube_rs_creates_lists_and_watches() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "kube-rs").await;
    let orders: Api<WorkOrder> = Api::namespaced(installation.client().await, &namespace.name);

    let empty = orders.list(&ListParams::default()).await.expect("a list");
    let version = empty
        .metadata
        .resource_version
        .clone()
        .expect("a version of an empty list");
    orders
        .create(&PostParams::default(), &order("one", "nobody"))
        .await
        .expect("it is created");

    let mut events = orders
        .watch(&WatchParams::default(), &version)
        .await
        .expect("a watch")
        .boxed();
    let event = tokio::time::timeout(Duration::from_secs(10), events.next())
        .await
        .expect("in time");
    let event = event.expect("an event").expect("no error");
    assert!(
        matches!(&event, WatchEvent::Added(one) if one.metadata.name.as_deref() == Some("one")),
        "{event:?}"
    );
    let selected = ListParams::default().fields("status.phase=Pending,spec.workType=build");
    assert_eq!(orders.list(&selected).await.expect("a list").items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_claims_as_an_agent() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "kube-rs-claim").await;
    let orders: Api<WorkOrder> = Api::namespaced(installation.client().await, &namespace.name);
    let name = format!("{}-typed", namespace.name);
    agent(installation, &namespace, &name).await;
    may_claim(&namespace, &name).await;
    orders
        .create(&PostParams::default(), &order("one", &name))
        .await
        .expect("it is created");

    let client = installation.client_as(&namespace.name, &name).await;
    let own: Api<WorkOrder> = Api::namespaced(client, &namespace.name);
    let claim = WorkOrderClaim {
        spec: WorkOrderClaimSpec {
            agent: name.clone(),
            holder: "h1".to_owned(),
            ..WorkOrderClaimSpec::default()
        },
        ..WorkOrderClaim::default()
    };
    let answer: WorkOrderClaim = own
        .create_subresource("claim", "one", &PostParams::default(), &claim)
        .await
        .expect("it is claimed");

    let status = answer.status.expect("a status");
    assert_eq!(status.attempt, Some(1));
    let held = orders
        .get("one")
        .await
        .expect("the order")
        .status
        .expect("a status")
        .claim
        .expect("a claim");
    assert_eq!((&held.agent, held.fence), (&name, status.fence.expect("a fence")));
    let by_agent = ListParams::default().fields(&format!("status.claim.agent={name}"));
    assert_eq!(orders.list(&by_agent).await.expect("a list").items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c306_kube_rs_discovers_the_group_in_both_ways() {
    let _running = undisturbed().await;
    let client = Installation::shared().await.client().await;
    let ours = || Discovery::new(client.clone()).filter(&[WorkOrder::GROUP]);
    for found in [
        ours().run().await.expect("one document after the other"),
        ours().run_aggregated().await.expect("all in one"),
    ] {
        let kind = GroupVersionKind::gvk(WorkOrder::GROUP, WorkOrder::VERSION, WorkOrder::KIND);
        let (resource, capabilities) = found.resolve_gvk(&kind).expect("the kind");
        assert_eq!(resource.plural, "workorders");
        assert_eq!(capabilities.scope, Scope::Namespaced);
        for verb in [verbs::LIST, verbs::WATCH, verbs::DELETE_COLLECTION] {
            assert!(capabilities.supports_operation(verb), "{verb}");
        }
    }
}

/// One event of one object; the version of a deletion is known to watchers only.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Applied(String, String),
    Deleted(String),
}

impl Change {
    fn applied(order: &WorkOrder) -> Self {
        Self::Applied(order.name_any(), order.resource_version().unwrap_or_default())
    }
}

/// Programs that follow orders with kube-rs, each recording what it sees, and the changes made meanwhile.
pub(crate) struct Followers {
    orders: Api<WorkOrder>,
    made: Vec<Change>,
    seen: Vec<(&'static str, Arc<Mutex<Vec<Change>>>)>,
    store: Store<WorkOrder>,
    controller: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

const FINALIZER: &str = "example.com/kube-rs";

/// How long a follower may take: it waits between attempts while the server is away.
const LIMIT: Duration = Duration::from_secs(90);

impl Followers {
    /// A watcher with each way to list, a reflector, and a controller with a finalizer.
    pub(crate) async fn start(installation: &Installation, namespace: &TestNamespace) -> Self {
        let client = installation.client().await;
        let orders: Api<WorkOrder> = Api::namespaced(client, &namespace.name);
        let mut tasks = JoinSet::new();
        let mut seen = Vec::new();
        let listed = watcher::Config::default();
        let streamed = watcher::Config::default().streaming_lists();
        for (name, config) in [("listing watcher", listed), ("streaming watcher", streamed)] {
            let record = Arc::default();
            let events = watcher(orders.clone(), config).default_backoff();
            tasks.spawn(follow(events.boxed(), Arc::clone(&record)));
            seen.push((name, record));
        }
        let (store, writer) = reflector::store();
        let mirrored = reflector(
            writer,
            watcher(orders.clone(), watcher::Config::default()).default_backoff(),
        );
        tasks.spawn(mirrored.for_each(|_| std::future::ready(())));
        let controller = Arc::default();
        tasks.spawn(control(orders.clone(), Arc::clone(&controller)));
        store.wait_until_ready().await.expect("the reflector lives");
        Self {
            orders,
            made: Vec::new(),
            seen,
            store,
            controller,
            _tasks: tasks,
        }
    }

    /// Makes changes, and expects all to have seen every one of them once.
    pub(crate) async fn change(&mut self, first: &str, second: &str) {
        for name in [first, second] {
            let created = self
                .orders
                .create(&PostParams::default(), &order(name, "nobody"))
                .await;
            self.applied(&created.expect("it is created"));
            // The controller's finalizer is the next change of the order.
            let held = self.held(name).await;
            self.applied(&held);
        }
        for step in 0..3 {
            let label = json!({"metadata": {"labels": {"step": step.to_string()}}});
            let patched = self
                .orders
                .patch(second, &PatchParams::default(), &Patch::Merge(label))
                .await;
            self.applied(&patched.expect("it is labelled"));
        }
        self.delete(first).await;
        self.all_saw_everything().await;
    }

    fn applied(&mut self, order: &WorkOrder) {
        self.made.push(Change::applied(order));
    }

    /// Waits until the controller holds the order by its finalizer and has acted on it.
    async fn held(&self, name: &str) -> WorkOrder {
        eventually(&format!("the controller holds {name}"), LIMIT, || async {
            let order = self.orders.get(name).await.ok()?;
            let acted = self.acted().contains(&format!("applied {name}"));
            (acted && order.finalizers().iter().any(|one| one == FINALIZER)).then_some(order)
        })
        .await
    }

    fn acted(&self) -> Vec<String> {
        self.controller.lock().expect("no panic").clone()
    }

    /// Deletes an order; the controller lets it go, which ends it.
    async fn delete(&mut self, name: &str) {
        let deleted = self
            .orders
            .delete(name, &DeleteParams::default())
            .await
            .expect("a deletion");
        self.applied(&deleted.left().expect("the finalizer holds it"));
        self.made.push(Change::Deleted(name.to_owned()));
        eventually(&format!("the controller lets {name} go"), LIMIT, || async {
            self.orders.get_opt(name).await.ok()?.is_none().then_some(())
        })
        .await;
        let acted = self.acted();
        assert!(acted.contains(&format!("cleaned up {name}")), "{acted:?}");
    }

    async fn all_saw_everything(&self) {
        for (name, seen) in &self.seen {
            eventually(&format!("the {name} saw the last change"), LIMIT, || async {
                (seen.lock().expect("no panic").len() >= self.made.len()).then_some(())
            })
            .await;
            assert_eq!(*seen.lock().expect("no panic"), self.made, "{name}");
        }
        let listed = self.orders.list(&ListParams::default()).await.expect("a list");
        let wanted: BTreeSet<_> = listed.items.iter().map(version_of).collect();
        eventually("the reflector holds what is there", LIMIT, || async {
            let held: BTreeSet<_> = self.store.state().iter().map(|order| version_of(order)).collect();
            (held == wanted).then_some(())
        })
        .await;
    }
}

fn version_of(order: &WorkOrder) -> (String, String) {
    (order.name_any(), order.resource_version().unwrap_or_default())
}

/// Records every event of a watcher. Its errors are what it tries again after.
async fn follow(
    mut events: BoxStream<'static, watcher::Result<Event<WorkOrder>>>,
    record: Arc<Mutex<Vec<Change>>>,
) {
    while let Some(event) = events.next().await {
        let change = match event {
            Ok(Event::Apply(order) | Event::InitApply(order)) => Change::applied(&order),
            Ok(Event::Delete(order)) => Change::Deleted(order.name_any()),
            Ok(Event::Init | Event::InitDone) | Err(_) => continue,
        };
        record.lock().expect("no panic").push(change);
    }
}

/// A controller that holds every order by a finalizer, and records what it does.
async fn control(orders: Api<WorkOrder>, acted: Arc<Mutex<Vec<String>>>) {
    let api = orders.clone();
    let reconcile = move |order: Arc<WorkOrder>, acted: Arc<Mutex<Vec<String>>>| {
        let api = api.clone();
        async move {
            finalizer(&api, FINALIZER, order, |event| async move {
                let act = match event {
                    finalizer::Event::Apply(order) => format!("applied {}", order.name_any()),
                    finalizer::Event::Cleanup(order) => format!("cleaned up {}", order.name_any()),
                };
                acted.lock().expect("no panic").push(act);
                Ok::<_, Infallible>(Action::await_change())
            })
            .await
        }
    };
    Controller::new(orders, watcher::Config::default())
        .run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_secs(1)),
            acted,
        )
        .for_each(|_| std::future::ready(()))
        .await;
}
