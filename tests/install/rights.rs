//! What the shipped roles let users do, asked of the real RBAC as a user would ask.

use brokkr_tests::eventually;
use futures::future::join_all;

use crate::plane::LIMIT;
use crate::site::Site;

const ROLES: [&str; 3] = ["view", "edit", "admin"];

/// Which roles may do this in a namespace where they are bound; the others may not.
const RIGHTS: &[(&[&str], &str, &[&str])] = &[
    (
        &ROLES,
        "get",
        &[
            "workorders",
            "workorderlogs",
            "workorders/log",
            "workorders/status",
        ],
    ),
    (&ROLES, "list", &["workorders", "workorderlogs"]),
    (&ROLES, "watch", &["workorders", "workorderlogs"]),
    (
        &ROLES,
        "get",
        &[
            "workorderlogs/log",
            "workorderlogs/attempts",
            "workorderlogs/deliveries",
        ],
    ),
    (&["edit", "admin"], "create", &["workorders"]),
    (&["edit", "admin"], "update", &["workorders"]),
    (&["edit", "admin"], "patch", &["workorders"]),
    (&["edit", "admin"], "delete", &["workorders"]),
    (&["edit", "admin"], "deletecollection", &["workorders"]),
    (
        &[],
        "create",
        &[
            "workorders/claim",
            "workorders/renew",
            "workorders/complete",
            "workorders/release",
            "workorders/log",
        ],
    ),
    (&[], "update", &["workorders/status", "workorderlogs"]),
    (&[], "delete", &["workorderlogs"]),
    (&[], "get", &["agents", "agents/status", "agents/pending"]),
    (
        &[],
        "create",
        &["agents", "agents/claim", "agents/renew", "agents/complete"],
    ),
    (&[], "patch", &["agents", "agents/status"]),
];

/// `kubectl auth can-i`
async fn can_i(site: &Site, user: &str, verb: &str, resource: &str, namespace: &str) -> bool {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, format!("--subresource={subresource}")),
        None => (resource, String::new()),
    };
    let command =
        format!("auth can-i {verb} {resource}.work.brokkr.io {subresource} --as {user} -n {namespace}");
    let output = site.kubectl().run(&command).await;
    assert!(
        !output.stderr.contains("doesn't have a resource type"),
        "{}",
        output.stderr
    );
    match output.stdout.trim() {
        "yes" => true,
        "no" => false,
        other => panic!("{command}: {other:?} {}", output.stderr),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_work_with_orders_as_their_role_says_and_never_with_agents() {
    let site = Site::up("etcd,apiserver,controller-manager").await;
    let (_server, _database) = site.available().await;
    let kubectl = site.kubectl();
    kubectl.run("create namespace rights").await.ok();
    for role in ROLES {
        let binding = format!("create rolebinding {role} -n rights --clusterrole {role} --user {role}-user");
        kubectl.run(&binding).await.ok();
    }
    // The roles are aggregated by a controller.
    eventually("roles are aggregated", LIMIT, || async {
        can_i(&site, "admin-user", "create", "workorders", "rights")
            .await
            .then_some(())
    })
    .await;

    for (allowed, verb, resources) in RIGHTS {
        let pairs = resources
            .iter()
            .flat_map(|resource| ROLES.map(|role| (role, *resource)));
        let asked = pairs.map(async |(role, resource)| {
            (
                role,
                resource,
                can_i(&site, &format!("{role}-user"), verb, resource, "rights").await,
            )
        });
        for (role, resource, answer) in join_all(asked).await {
            assert_eq!(answer, allowed.contains(&role), "{role}: {verb} {resource}");
        }
    }
    assert!(
        !can_i(&site, "edit-user", "create", "workorders", "default").await,
        "elsewhere"
    );
}
