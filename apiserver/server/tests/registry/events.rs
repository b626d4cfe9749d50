//! Events about orders, as kube-apiserver receives them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brokkr_apis::work::v1alpha1::CancelRequest;
use brokkr_apiserver::events::{self, Recorder};
use generic_apiserver::registry::Part;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, SOON, TEAM};

/// Takes Events and refuses names that it has.
#[derive(Clone, Default)]
struct KubeApiserver {
    created: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<Vec<Value>>>,
}

impl KubeApiserver {
    /// Answers on a loopback port until the test ends; gives a client for it.
    async fn start(&self) -> kube::Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(BufReader::new(stream)).await });
            }
        });
        kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap()
    }

    /// One request after the other on a connection, as far as a client of this test goes.
    async fn serve(&self, mut stream: BufReader<TcpStream>) {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_until(b'\n', &mut head).await.unwrap() == 0 {
                    return;
                }
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            assert!(
                head.starts_with(&format!("post /apis/events.k8s.io/v1/namespaces/{TEAM}/events")),
                "{head}"
            );
            let length = head
                .split("content-length: ")
                .nth(1)
                .unwrap()
                .split("\r\n")
                .next()
                .unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).await.unwrap();
            let (status, answer) = self.create(serde_json::from_slice(&body).unwrap());
            let answer = answer.to_string();
            let reply = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len()
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    }

    fn create(&self, event: Value) -> (&'static str, Value) {
        let mut created = self.created.lock().unwrap();
        if created
            .iter()
            .any(|one| one["metadata"]["name"] == event["metadata"]["name"])
        {
            self.refused.lock().unwrap().push(event);
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "reason": "AlreadyExists", "message": "exists", "code": 409});
            return ("409 Conflict", status);
        }
        created.push(event.clone());
        ("201 Created", event)
    }

    /// Waits until so many about the order were created and as many refused.
    async fn wait_for(&self, order: &str, count: usize) {
        let deadline = Instant::now() + SOON;
        while !(about(&self.created, order).len() >= count && about(&self.refused, order).len() >= count) {
            assert!(
                Instant::now() < deadline,
                "{:?} {:?}",
                self.created.lock(),
                self.refused.lock()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The Events about an order.
fn about(events: &Mutex<Vec<Value>>, order: &str) -> Vec<Value> {
    let events = events.lock().unwrap();
    events
        .iter()
        .filter(|event| event["regarding"]["name"] == order)
        .cloned()
        .collect()
}

fn reasons(events: &[Value]) -> BTreeSet<(&str, &str)> {
    events
        .iter()
        .map(|event| (event["reason"].as_str().unwrap(), event["type"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn two_replicas_create_each_event_once() {
    let fixture = Fixture::new().await;
    let server = KubeApiserver::default();
    let token = CancellationToken::new();
    for replica in ["replica-0", "replica-1"] {
        let recorder = Recorder::start(server.start().await, replica, &token);
        tokio::spawn(events::run(fixture.storage.clone(), recorder, token.clone()));
    }
    // What happened before the watches began is not told: an order after the other, until both follow.
    for number in 0.. {
        fixture
            .create(&format!("early-{number}"), json!({}))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        if !server.refused.lock().unwrap().is_empty() {
            break;
        }
    }
    let order = fixture.create("a", json!({})).await.unwrap();
    server.wait_for("a", 1).await;
    fixture
        .change("a", Part::Main, |order| order.spec.priority = Some(1))
        .await
        .unwrap();
    let cancel = |order: &mut brokkr_apis::work::v1alpha1::WorkOrder| {
        order.spec.cancel = Some(CancelRequest {
            reason: "not needed".to_owned(),
        });
    };
    fixture.change("a", Part::Main, cancel).await.unwrap();
    server.wait_for("a", 2).await;
    token.cancel();

    let created = about(&server.created, "a");
    let expected = BTreeSet::from([("Cancelled", "Normal"), ("NoAgentTargeted", "Warning")]);
    assert_eq!(reasons(&created), expected);
    assert_eq!((created.len(), about(&server.refused, "a").len()), (2, 2));
    for event in &created {
        assert_eq!(event["regarding"]["uid"].as_str(), order.metadata.uid.as_deref());
        assert_eq!(event["reportingController"], "work.brokkr.io/apiserver");
    }
    let note = created[1]["note"].as_str().unwrap();
    assert!(note.contains("not needed"), "{note}");
}
