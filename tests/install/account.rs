//! The server's own account: it does all it has to with the shipped rules, and uses every one of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use brokkr_tests::eventually;
use brokkr_tests::rights::{Right, asked, granted, refused, requests, right};
use serde_json::{Value, json};

use crate::plane::{LIMIT, Plane};
use crate::server::{Caller, json as parse};
use crate::site::Site;

const ACCOUNT: &str = "system:serviceaccount:brokkr-system:brokkr-apiserver";

/// What the account has asked for so far.
fn by_the_server(plane: &Plane) -> Vec<Value> {
    let log = plane.file("logs").join("audit.log");
    requests(&log, |request| request["user"]["username"] == ACCOUNT)
}

fn order(name: &str) -> String {
    json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder", "metadata": {"name": name},
        "spec": {"workType": "build", "buildRef": {"name": "app"}}})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn c010_account_of_the_server_can_do_what_it_must_and_uses_every_rule_it_has() {
    // Given the server with a token of its account and nothing else,
    let site = Site::up("etcd,apiserver").await;
    let (server, _database) = site.available().await;
    let kubectl = site.kubectl();

    // when users work with orders through the aggregator and directly, in namespaces that are and are not,
    kubectl.run("create namespace team-a").await.ok();
    kubectl
        .run_with_input("create -n team-a -f -", &order("app"))
        .await
        .ok();
    kubectl
        .run_with_input("create -n nowhere -f -", &order("app"))
        .await
        .err();
    let mut cancel = kubectl.command("patch workorder app -n team-a --type merge -p");
    let cancelled = cancel
        .arg(r#"{"spec":{"cancel":{"reason":"not wanted"}}}"#)
        .output()
        .await;
    assert!(cancelled.expect("kubectl").status.success());
    let itself = Caller {
        token: Some(site.own_token.clone()),
        ..Caller::default()
    };
    let path = "/apis/work.brokkr.io/v1alpha1/namespaces/team-a/workorders";
    let (status, body) = server
        .get(&site.trusted(), &itself, path)
        .await
        .expect("an answer");
    assert_eq!(
        status, 403,
        "its own account has no rights to its own API: {body}"
    );
    eventually("an Event tells of it", LIMIT, || async {
        let events = parse(
            &kubectl
                .run("get events.events.k8s.io -n team-a -o json")
                .await
                .ok(),
        );
        events["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
            .then_some(())
    })
    .await;

    // then every rule was used, and nothing beyond them was needed.
    let mark = include_str!("../../apiservice/high-water-mark.yaml");
    let mut rules = granted(include_str!("../../apiservice/rbac.yaml"), "brokkr-apiserver");
    rules.extend(granted(mark, "brokkr-apiserver-high-water-mark"));
    let deadline = Instant::now() + LIMIT;
    loop {
        let used = asked(&by_the_server(&site.plane));
        let idle: Vec<_> = rules.difference(&used).collect();
        if idle.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "granted and not used: {idle:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let requests = by_the_server(&site.plane);
    let denied = refused(&requests);
    assert!(denied.is_empty(), "{denied:#?}");
    // The roles that every aggregated server is bound to.
    let reviews = BTreeSet::from([
        right("authentication.k8s.io", "tokenreviews", "create"),
        right("authorization.k8s.io", "subjectaccessreviews", "create"),
    ]);
    let config_map = ["get", "list", "watch"].map(|verb| right("", "configmaps", verb));
    let used = asked(&requests);
    let beyond: BTreeSet<Right> = used.difference(&rules).cloned().collect();
    let shared: BTreeSet<Right> = reviews.iter().chain(&config_map).cloned().collect();
    assert!(beyond.is_subset(&shared), "{beyond:?}");
    assert!(reviews.is_subset(&used), "{used:?}");
}
