//! The end of a server, as the kubelet brings it about: what it has taken in is in the database.

use brokkr_tests::{Kubectl, eventually};
use serde_json::{Value, json};

use crate::plane::LIMIT;
use crate::server::{Server, json};
use crate::site::Site;

const API: &str = "/apis/work.brokkr.io/v1alpha1";

/// Creates an object of our group; the answer.
async fn create(kubectl: &Kubectl, path: &str, kind: &str, fields: Value) -> Value {
    let mut object = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": kind});
    let fields = fields.as_object().expect("an object").clone();
    object.as_object_mut().expect("an object").extend(fields);
    let command = format!("create --raw {API}/{path} -f -");
    json(&kubectl.run_with_input(&command, &object.to_string()).await.ok())
}

/// An order that the agent east holds, which is the caller; what a renewal needs of the claim.
async fn claimed(kubectl: &Kubectl) -> Value {
    let whoami = "auth whoami -o jsonpath={.status.userInfo.username}";
    let user = kubectl.run(whoami).await.ok();
    let agent = json!({"metadata": {"name": "east"}, "spec": {"identity": user.trim()}});
    create(kubectl, "agents", "Agent", agent).await;
    kubectl.run("create namespace team-a").await.ok();
    let order =
        json!({"metadata": {"name": "one"}, "spec": {"workType": "build", "buildRef": {"name": "app"}}});
    create(kubectl, "namespaces/team-a/workorders", "WorkOrder", order).await;
    let ask = json!({"spec": {"holder": "p1", "requestID": "r1", "max": 1, "workTypes": ["build"]}});
    let answer = create(kubectl, "agents/east/claim", "AgentClaim", ask).await;
    let granted = &answer["status"]["items"][0];
    json!({"namespace": "team-a", "name": "one", "uid": granted["order"]["metadata"]["uid"], "fence": granted["fence"]})
}

/// What the agent says once of the run.
async fn say(kubectl: &Kubectl, claim: &Value, message: &str) {
    let mut item = claim.clone();
    item["progress"] = json!({"phase": "Running", "message": message});
    let renewal = json!({"spec": {"holder": "p1", "items": [item]}});
    let answer = create(kubectl, "agents/east/renew", "AgentRenewal", renewal).await;
    assert_eq!(answer["status"]["items"][0]["code"], 201, "{answer}");
}

async fn message(kubectl: &Kubectl) -> String {
    let get = "get workorder one -n team-a -o jsonpath={.status.attempts[0].message}";
    eventually("the order is told", LIMIT, || async {
        let told = kubectl.run(get).await;
        told.success.then_some(told.stdout)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_that_was_said_before_the_end_is_told_by_the_next_server() {
    let site = Site::up("etcd,apiserver").await;
    let kubectl = site.kubectl();
    let (server, database) = site.available().await;
    let claim = claimed(&kubectl).await;
    say(&kubectl, &claim, "started").await;

    // Too soon after the first for an event of its own.
    say(&kubectl, &claim, "step 1").await;
    Server::end(server).await;

    let next = site.server(&database);
    assert_eq!(message(&kubectl).await, "step 1");
    drop(next);
}
