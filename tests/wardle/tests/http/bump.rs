//! The set mutation: one request changes every flunder with a label.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::{ALPHA, BETA, FISCHERS, Server};

const EVERYWHERE: &str = "/apis/wardle.example.com/v1beta1/flunders";
const OTHER: &str = "/apis/wardle.example.com/v1beta1/namespaces/o/flunders";

fn bump(key: &str, value: &str) -> Value {
    json!({"spec": {"labelKey": key, "labelValue": value}})
}

/// Namespace, name and number of bumps of every flunder.
async fn bumps(server: &Server) -> Vec<(String, u64)> {
    let list = server.client.get(EVERYWHERE).await.expect(200);
    let one = |flunder: &Value| {
        let metadata = &flunder["metadata"];
        let count = metadata["annotations"]["wardle.example.com/bumps"].as_str();
        let text = |field: &str| metadata[field].as_str().unwrap();
        let name = format!("{}/{}", text("namespace"), text("name"));
        (name, count.map_or(0, |count| count.parse().unwrap()))
    };
    list["items"].as_array().unwrap().iter().map(one).collect()
}

async fn start() -> Server {
    let server = Server::start().await;
    server
        .client
        .post(FISCHERS, &json!({"metadata": {"name": "f"}}))
        .await
        .expect(201);
    for (collection, name, labels) in [
        (BETA, "a", json!({"size": "s", "color": "red"})),
        (BETA, "b", json!({"size": "m"})),
        (ALPHA, "c", json!({"color": "red"})),
        (OTHER, "d", json!({"size": "s"})),
    ] {
        let body = json!({"metadata": {"name": name, "labels": labels}});
        server.client.post(collection, &body).await.expect(201);
    }
    server
}

fn named(counts: [u64; 4]) -> Vec<(String, u64)> {
    let names = ["n/a", "n/b", "n/c", "o/d"].map(str::to_owned);
    names.into_iter().zip(counts).collect()
}

#[tokio::test]
async fn one_bump_changes_all_flunders_with_the_label_at_once() {
    let server = start().await;
    let version = server.client.get(EVERYWHERE).await.expect(200)["metadata"]["resourceVersion"].clone();
    let version = version.as_str().unwrap();
    let mut events = server
        .client
        .watch(&format!("{EVERYWHERE}?watch=true&resourceVersion={version}"))
        .await;

    let answer = server
        .client
        .post(&format!("{FISCHERS}/f/bump"), &bump("size", "s"))
        .await
        .expect(201);
    assert_eq!(
        (&answer["kind"], &answer["status"]["bumped"]),
        (&json!("FlunderBump"), &json!(2))
    );
    assert_eq!(bumps(&server).await, named([1, 0, 0, 1]));
    assert_eq!(events.short(2).await, ["MODIFIED a", "MODIFIED d"]);
}

#[tokio::test]
async fn concurrent_bumps_lose_nothing() {
    let server = start().await;
    let path = format!("{FISCHERS}/f/bump");
    let requests: Vec<_> = (0..20)
        .map(|i| {
            let (client, path) = (server.client.clone(), path.clone());
            let body = if i % 2 == 0 {
                bump("size", "s")
            } else {
                bump("color", "red")
            };
            tokio::spawn(
                async move { client.post(&path, &body).await.expect(201)["status"]["bumped"].clone() },
            )
        })
        .collect();
    let mut answers = BTreeSet::new();
    for request in requests {
        answers.insert(request.await.unwrap().as_i64().unwrap());
    }
    assert_eq!(answers, BTreeSet::from([2]));
    assert_eq!(bumps(&server).await, named([20, 0, 10, 10]));
}

#[tokio::test]
async fn bump_and_ordinary_update_meet_in_one_order() {
    let server = start().await;
    let path = format!("{BETA}/a");
    let before = server.client.get(&path).await.expect(200);
    server
        .client
        .post(&format!("{FISCHERS}/f/bump"), &bump("size", "s"))
        .await
        .expect(201);
    server.client.put(&path, &before).await.refused(409, "Conflict");
    // A label set by an update is found by the next bump.
    server
        .client
        .merge(
            &format!("{ALPHA}/b"),
            json!({"metadata": {"labels": {"size": "s"}}}),
        )
        .await
        .expect(200);
    let answer = server
        .client
        .post(&format!("{FISCHERS}/f/bump"), &bump("size", "s"))
        .await
        .expect(201);
    assert_eq!(answer["status"]["bumped"], 3);
    assert_eq!(bumps(&server).await, named([2, 1, 0, 2]));
}

#[tokio::test]
async fn bump_is_refused_precisely_and_tried_dry() {
    let server = start().await;
    let nobody = format!("{FISCHERS}/nobody/bump");
    server
        .client
        .post(&nobody, &bump("size", "s"))
        .await
        .refused(404, "NotFound");
    let path = format!("{FISCHERS}/f/bump");
    let status = server
        .client
        .post(&path, &bump("", "s"))
        .await
        .refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.labelKey");
    let dry = server
        .client
        .post(&format!("{path}?dryRun=All"), &bump("size", "s"))
        .await
        .expect(201);
    assert_eq!(dry["status"]["bumped"], 2);
    let none = server.client.post(&path, &bump("size", "xl")).await.expect(201);
    assert_eq!(none["status"]["bumped"], 0);
    assert_eq!(bumps(&server).await, named([0, 0, 0, 0]));
}
