//! A hub in memory, on loopback: just enough of the claim protocol for the agent's loops.

mod order;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) use order::Order;

type Body = BoxBody<Bytes, Infallible>;

/// The name of the only agent.
pub(crate) const AGENT: &str = "east-1";

/// What the hub knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) orders: Vec<Order>,
    pub(crate) completions: Vec<Value>,
    /// The header `traceparent` of each completion.
    pub(crate) completion_traces: Vec<String>,
    pub(crate) releases: Vec<Value>,
    pub(crate) claims: Vec<Value>,
    pub(crate) concurrency: Option<Value>,
    /// Answers every call with 503.
    pub(crate) down: bool,
    /// Goes away once it has answered the next renewal.
    pub(crate) down_after_renewal: bool,
    /// Has no Agent object: answers every call about it with 404.
    pub(crate) unregistered: bool,
    /// The paths of calls that were turned away for either.
    pub(crate) turned_away: Vec<String>,
    /// The paths of all other calls.
    pub(crate) answered: Vec<String>,
    /// Grants the next claim, and loses the answer.
    pub(crate) lose_next_claim: bool,
    /// Grants no more orders in one answer than this, whatever was asked for.
    pub(crate) answer_max: Option<usize>,
    /// Refuses reports that say more than they must.
    pub(crate) wants_few_words: bool,
    version: i64,
    wake: i64,
    requests: VecDeque<(String, Value)>,
}

/// The hub, and its address.
#[derive(Clone, Debug)]
pub(crate) struct HubDouble {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<i64>,
    pub(crate) address: String,
}

impl HubDouble {
    /// Starts a hub without orders; it ends with the test's runtime.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let hub = Self {
            state: Arc::default(),
            changes: watch::Sender::new(0),
            address,
        };
        let serving = hub.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let hub = serving.clone();
                let service = service_fn(move |request| {
                    let hub = hub.clone();
                    async move { Ok::<_, Infallible>(hub.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                tokio::spawn(connection);
            }
        });
        hub
    }

    /// What the hub knows, to read or to change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds an order, and rings.
    pub(crate) fn submit(&self, name: &str, work_type: &'static str, side_effects: &'static str) {
        let order = Order::pending(name, work_type, side_effects);
        self.state().orders.push(order);
        self.ring();
    }

    /// Changes one order, and rings.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Order)) {
        let mut state = self.state();
        change(state.orders.iter_mut().find(|order| order.name == name).unwrap());
        drop(state);
        self.ring();
    }

    /// Raises the agent's wake.
    pub(crate) fn ring(&self) {
        let mut state = self.state();
        state.wake += 1;
        state.version += 1;
        self.changes.send_replace(state.version);
    }

    /// Waits until the hub's state answers the question, for at most 20 s.
    pub(crate) async fn until<T>(&self, what: &str, question: impl Fn(&State) -> Option<T>) -> T {
        for _ in 0..1000 {
            if let Some(answer) = question(&self.state()) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not seen in 20 s: {what}; {:#?}", self.state());
    }

    /// Waits until the run of the first order has started, as its agent tells.
    pub(crate) async fn until_started(&self) {
        self.until("the run started", |state| {
            state.orders[0].progress.first().cloned()
        })
        .await;
    }

    /// Waits until an order has a phase.
    pub(crate) async fn until_phase(&self, name: &str, phase: &str) {
        let is_there = |order: &&Order| order.name == name && order.phase == phase;
        let what = format!("{name} is {phase}");
        self.until(&what, |state| state.orders.iter().find(is_there).map(drop))
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let method = request.method().clone();
        let trace = request.headers().get("traceparent").cloned();
        let body = request
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let mut state = self.state();
        if let Some(refusal) = state.turn_away(&path) {
            return refusal;
        }
        state.answered.push(path.clone());
        if query.contains("watch=true") {
            drop(state);
            return self.watch(&query);
        }
        if method == Method::GET {
            return json_body(
                200,
                &json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "AgentList",
                "metadata": {"resourceVersion": state.version.to_string()}, "items": [state.agent()]}),
            );
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        let segments: Vec<&str> = path
            .trim_start_matches("/apis/work.brokkr.io/v1alpha1/")
            .split('/')
            .collect();
        match segments.as_slice() {
            ["agents", _, "status"] => json_body(200, &state.agent()),
            ["agents", _, "claim"] => state.claim(body),
            ["agents", _, "renew"] => state.renew(body),
            ["agents", _, "complete"] => {
                let trace = trace.as_ref().and_then(|trace| trace.to_str().ok());
                state.completion_traces.push(trace.unwrap_or_default().to_owned());
                state.complete(body)
            }
            ["namespaces", _, "workorders", name, "claim"] => state.claim_order(name, body),
            ["namespaces", _, "workorders", _, "release"] => {
                state.releases.push(body.clone());
                json_body(201, &body)
            }
            _ => status(404, &path),
        }
    }

    /// The agent's own object, again with every change since the version that the query names.
    fn watch(&self, query: &str) -> Response<Body> {
        let hub = self.clone();
        let mut changes = self.changes.subscribe();
        let version = query
            .split('&')
            .find_map(|part| part.strip_prefix("resourceVersion="));
        let seen: Option<i64> = version.and_then(|version| version.parse().ok());
        if seen.is_some_and(|seen| seen < *changes.borrow()) {
            changes.mark_changed();
        }
        let frames = stream::unfold((hub, changes), |(hub, mut changes)| async move {
            changes.changed().await.ok()?;
            changes.mark_unchanged();
            let line = format!("{}\n", json!({"type": "MODIFIED", "object": hub.state().agent()}));
            Some((Ok(Frame::data(Bytes::from(line))), (hub, changes)))
        });
        Response::builder()
            .header("content-type", "application/json")
            .body(BodyExt::boxed(StreamBody::new(frames)))
            .unwrap()
    }
}

impl State {
    fn turn_away(&mut self, path: &str) -> Option<Response<Body>> {
        let refusal = match (self.down, self.unregistered) {
            (true, _) => status(503, "down"),
            (false, true) if path.contains("/agents") => status(404, "no such agent"),
            _ => return None,
        };
        self.turned_away.push(path.to_owned());
        Some(refusal)
    }

    fn agent(&self) -> Value {
        json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "Agent",
            "metadata": {"name": AGENT, "generation": 1, "resourceVersion": self.version.to_string()},
            "spec": {"identity": "agent", "leaseSeconds": 15, "concurrency": self.concurrency},
            "status": {"wake": self.wake}})
    }

    fn claim(&mut self, mut body: Value) -> Response<Body> {
        let spec = body["spec"].clone();
        self.claims.push(spec.clone());
        let request = spec["requestID"].as_str().unwrap().to_owned();
        let replayed = self
            .requests
            .iter()
            .find(|(id, _)| *id == request)
            .map(|(_, items)| items.clone());
        let items = replayed.unwrap_or_else(|| self.grant(&spec));
        self.requests.push_back((request, items.clone()));
        if std::mem::take(&mut self.lose_next_claim) {
            return status(503, "the answer is lost");
        }
        body["status"] = json!({"items": items});
        json_body(201, &body)
    }

    fn grant(&mut self, spec: &Value) -> Value {
        let max = usize::try_from(spec["max"].as_u64().unwrap()).unwrap();
        let holder = spec["holder"].as_str().unwrap();
        let mut items = Vec::new();
        for order in self
            .orders
            .iter_mut()
            .filter(|order| order.phase == "Pending")
            .take(self.answer_max.map_or(max, |most| most.min(max)))
        {
            self.version += 1;
            order.grant(self.version, holder);
            items.push(order.answer());
        }
        items.into()
    }

    fn claim_order(&mut self, name: &str, mut body: Value) -> Response<Body> {
        let holder = body["spec"]["holder"].as_str().unwrap().to_owned();
        let Some(order) = self.orders.iter_mut().find(|order| order.name == name) else {
            return status(404, name);
        };
        if order.phase != "Claimed" || (order.holder != holder && body["spec"]["takeover"] != true) {
            return status(409, "held");
        }
        if order.holder != holder {
            self.version += 1;
            order.grant(self.version, &holder);
        }
        body["status"] = order.answer();
        json_body(201, &body)
    }

    fn renew(&mut self, mut body: Value) -> Response<Body> {
        let holder = body["spec"]["holder"].as_str().unwrap().to_owned();
        let none = Vec::new();
        let items = body["spec"]["items"].as_array().unwrap_or(&none);
        let items: Vec<Value> = items.iter().map(|item| self.renew_one(item, &holder)).collect();
        let claims: Vec<Value> = self
            .orders
            .iter()
            .filter(|order| order.phase == "Claimed")
            .map(Order::held)
            .collect();
        body["status"] = json!({"items": items, "claims": claims});
        self.down |= std::mem::take(&mut self.down_after_renewal);
        json_body(201, &body)
    }

    fn renew_one(&mut self, item: &Value, holder: &str) -> Value {
        let is_current = |order: &&mut Order| {
            item["uid"] == order.uid
                && item["fence"] == order.fence
                && order.holder == holder
                && order.phase == "Claimed"
        };
        let Some(order) = self.orders.iter_mut().find(is_current) else {
            return json!({"code": 409, "message": "spent"});
        };
        order.progress.extend(item.get("progress").cloned());
        match &order.cancel {
            Some(reason) => json!({"code": 200, "cancel": {"reason": reason}}),
            None => json!({"code": 200}),
        }
    }

    fn complete(&mut self, mut body: Value) -> Response<Body> {
        let none = Vec::new();
        let items = body["spec"]["items"].as_array().unwrap_or(&none);
        let items: Vec<Value> = items.iter().map(|item| self.complete_one(item)).collect();
        body["status"] = json!({"items": items});
        json_body(201, &body)
    }

    fn complete_one(&mut self, item: &Value) -> Value {
        if self.wants_few_words && (item.get("sourceReason").is_some() || item.get("results").is_some()) {
            return json!({"code": 422, "message": "too long"});
        }
        self.completions.push(item.clone());
        let is_current = |order: &&mut Order| {
            item["uid"] == order.uid && item["fence"] == order.fence && order.phase == "Claimed"
        };
        let Some(order) = self.orders.iter_mut().find(is_current) else {
            return json!({"code": 409, "message": "spent"});
        };
        order.phase = item["outcome"].as_str().unwrap().to_owned();
        json!({"code": 201, "phase": order.phase})
    }
}

fn json_body(code: u16, body: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_string()));
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(BodyExt::boxed(body))
        .unwrap()
}

fn status(code: u16, message: &str) -> Response<Body> {
    let reason = if code == 409 { "Conflict" } else { "" };
    json_body(
        code,
        &json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
        "message": message, "details": {"name": "named"}}),
    )
}
