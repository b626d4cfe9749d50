//! Creates in namespaces that are absent or going.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::SOON;
use crate::namespaces::{Namespaces, SILENT};
use crate::server::{FISCHERS, N, Server, Setup, flunder};

async fn start(given: &[(&str, bool)]) -> (Server, Namespaces) {
    let namespaces = Namespaces::start(given).await;
    let admission = Arc::new(namespaces.lifecycle.clone());
    let server = Server::with(Setup {
        admission,
        ..Setup::default()
    })
    .await;
    (server, namespaces)
}

/// Waits until the server knows that the namespace is going.
async fn refused_soon(server: &Server, url: &str, body: &Value) {
    let refused = async {
        while server.client.post(url, body).await.status == 201 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, refused)
        .await
        .expect("the watch tells of it");
}

#[tokio::test]
async fn c240_what_exists_can_be_changed_and_deleted_while_its_namespace_goes() {
    let (server, namespaces) = start(&[("n", false)]).await;
    server.create("a", json!({})).await;
    namespaces.terminate("n").await;
    refused_soon(&server, &format!("{N}?dryRun=All"), &flunder("b", json!({}))).await;
    server
        .client
        .merge(&format!("{N}/a"), json!({"spec": {"size": 1}}))
        .await
        .expect(200);
    server.client.delete(&format!("{N}/a")).await.expect(200);
}

#[tokio::test]
async fn c240_cluster_scoped_objects_need_no_namespace() {
    let (server, _namespaces) = start(&[("n", false)]).await;
    server
        .client
        .post(FISCHERS, &json!({"metadata": {"name": "f"}}))
        .await
        .expect(201);
}

#[tokio::test]
async fn c233_subresource_that_begins_work_is_admitted_like_a_create() {
    let (server, namespaces) = start(&[("n", false)]).await;
    server.create("a", json!({})).await;
    let polish = format!("{N}/a/polish");
    server.client.post(&polish, &json!({})).await.expect(201);
    namespaces.terminate("n").await;
    refused_soon(&server, &format!("{polish}?dryRun=All"), &json!({})).await;
    let status = server
        .client
        .post(&polish, &json!({}))
        .await
        .refused(403, "Forbidden");
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    server
        .client
        .post(&format!("{N}/a/scrap"), &json!({}))
        .await
        .expect(201);
}

#[tokio::test]
async fn cluster_that_is_away_is_noticed_and_so_is_its_return() {
    let namespaces = Namespaces::start(&[("team", false)]).await;
    let until = async |reachable: bool| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while namespaces.lifecycle.is_reachable() != reachable {
            assert!(std::time::Instant::now() < deadline, "reachable: {}", !reachable);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    until(true).await;

    namespaces.set_away(true);
    until(false).await;
    assert_eq!(
        namespaces.lifecycle.uid("team").await.unwrap().as_deref(),
        Some("team")
    );

    namespaces.set_away(false);
    until(true).await;
}

#[tokio::test]
async fn namespace_is_replaced_when_another_one_has_its_name() {
    let namespaces = Namespaces::start(&[("team", false)]).await;
    let lifecycle = &namespaces.lifecycle;
    let mut replaced = lifecycle.replaced("team", Some("team".to_owned()));
    let mut appeared = lifecycle.replaced("later", None);
    let mut other = lifecycle.replaced("other", None);

    namespaces.delete("team").await;
    namespaces.create("later", "l1").await;
    // Events are applied in order, so that the deletion has been heard of by now.
    tokio::time::timeout(SOON, &mut appeared)
        .await
        .expect("the namespace that was absent is there");
    assert_eq!(
        futures::poll!(&mut replaced),
        Poll::Pending,
        "it is gone, no more"
    );

    namespaces.create("team", "t2").await;
    tokio::time::timeout(SOON, &mut replaced)
        .await
        .expect("another namespace of the name");
    assert_eq!(futures::poll!(&mut other), Poll::Pending);
    let known_before = lifecycle.replaced("team", Some("team".to_owned()));
    tokio::time::timeout(SOON, known_before)
        .await
        .expect("what was replaced already");
}

#[tokio::test]
async fn namespaces_are_followed_while_the_cluster_is_asked_whether_it_is_there() {
    let namespaces = Namespaces::start(&[(SILENT, false)]).await;
    let appeared = namespaces.lifecycle.replaced("new", None);
    let asked = namespaces.probes();
    let begun = tokio::time::Instant::now() + SOON;
    while namespaces.probes() == asked {
        assert!(tokio::time::Instant::now() < begun, "the cluster is not asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // Nobody answers for five seconds from here.
    namespaces.create("new", "n1").await;

    tokio::time::timeout(Duration::from_secs(4), appeared)
        .await
        .expect("the namespace is known before the question is given up");
    assert!(!namespaces.lifecycle.is_reachable());
}
