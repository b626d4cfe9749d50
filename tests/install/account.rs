//! The server's own account: it does all it has to with the shipped rules, and uses every one of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use brokkr_tests::eventually;
use serde_json::{Value, json};

use crate::plane::{LIMIT, Plane, repository};
use crate::server::{Caller, json as parse};
use crate::site::Site;

const ACCOUNT: &str = "system:serviceaccount:brokkr-system:brokkr-apiserver";

/// Group, resource with subresource, verb.
type Right = (String, String, String);

/// What the account asked kube-apiserver for, and what of it was refused.
fn asked(plane: &Plane) -> (BTreeSet<Right>, Vec<Value>) {
    let log = plane.log("audit.log");
    // The last line may be half written.
    let records = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own: Vec<_> = records
        .filter(|record| record["user"]["username"] == ACCOUNT)
        .collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rights = own.iter().map(|record| {
        let object = &record["objectRef"];
        let resource = match object["subresource"].as_str() {
            Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        (text(&object["apiGroup"]), resource, text(&record["verb"]))
    });
    let rights = rights.collect();
    let refused = own
        .into_iter()
        .filter(|record| record["responseStatus"]["code"] == 403)
        .collect();
    (rights, refused)
}

/// What the Role or ClusterRole of a file grants.
fn granted(file: &str, role: &str) -> BTreeSet<Right> {
    let text = std::fs::read_to_string(repository().join(file)).expect("a manifest");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let found = objects.iter().find(|object| {
        object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"))
            && object["metadata"]["name"] == role
    });
    let list = |rule: &Value, field: &str| -> Vec<String> {
        let items = rule[field].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| item.as_str().expect("text").to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in found.expect("the role")["rules"].as_array().expect("rules") {
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                rights.extend(
                    list(rule, "verbs")
                        .into_iter()
                        .map(|verb| (group.clone(), resource.clone(), verb)),
                );
            }
        }
    }
    rights
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
    let mark = "brokkr-apiserver-high-water-mark";
    let mut rules = granted("apiservice/rbac.yaml", "brokkr-apiserver");
    rules.extend(granted("apiservice/high-water-mark.yaml", mark));
    assert!(!rules.is_empty());
    let deadline = Instant::now() + LIMIT;
    loop {
        let (used, _) = asked(&site.plane);
        let idle: Vec<_> = rules.difference(&used).collect();
        if idle.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "granted and not used: {idle:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (used, refused) = asked(&site.plane);
    assert!(refused.is_empty(), "{refused:#?}");
    let built_in: BTreeSet<Right> = [
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ("", "configmaps", "get"),
        ("", "configmaps", "list"),
        ("", "configmaps", "watch"),
    ]
    .map(|(group, resource, verb)| (group.to_owned(), resource.to_owned(), verb.to_owned()))
    .into();
    let beyond: Vec<_> = used
        .difference(&rules)
        .filter(|right| !built_in.contains(right))
        .collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    for right in built_in.iter().filter(|right| right.2 == "create") {
        assert!(used.contains(right), "{right:?} was not used");
    }
}
