//! Permissions that kube-apiserver decides, and how often it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::subject_access_review::DecisionLifetimes;
use generic_apiserver::authorization::{
    Attributes, Authorizer, Decision, LocallyAllowed, SubjectAccessReviewAuthorizer,
};
use http::{Method, StatusCode};
use serde_json::json;

use crate::client::Protocol;
use crate::cluster::{ACCESS_REVIEWS, Cluster, review_access};
use crate::kube_apiserver::{KubeApiserver, Reply, failure};
use crate::pki::Pki;
use crate::server::published;

const FLUNDERS: &str = "/apis/g.io/v1/flunders";

#[tokio::test]
async fn c042_review_says_who_asks_for_what() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    let client = server.client(Protocol::Http2).with(&server.pki.aggregator());
    let headers = [
        ("x-remote-user", "jane"),
        ("x-remote-uid", "7"),
        ("x-remote-group", "team-a"),
        ("x-remote-extra-k", "v"),
    ];
    let path = "/apis/g.io/v1/namespaces/n/flunders/x/claim";
    assert_eq!(
        client.request(Method::POST, path, &headers).await.status,
        StatusCode::OK
    );
    let denied = client
        .request(Method::GET, "/openapi/v2", &[("x-remote-user", "joe")])
        .await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert!(denied.text.contains("RBAC says no"), "{denied:?}");

    let asked = cluster.api.asked(ACCESS_REVIEWS);
    assert_eq!(
        asked[0].body["spec"],
        json!({
            "user": "jane", "uid": "7", "groups": ["team-a", "system:authenticated"], "extra": {"k": ["v"]},
            "resourceAttributes": {
                "namespace": "n", "verb": "create", "group": "g.io", "version": "v1", "resource": "flunders",
                "subresource": "claim", "name": "x",
            },
        })
    );
    assert_eq!(
        asked[1].body["spec"],
        json!({
            "user": "joe", "groups": ["system:authenticated"],
            "nonResourceAttributes": {"path": "/openapi/v2", "verb": "get"},
        })
    );
}

#[tokio::test]
async fn c041_superusers_and_probes_need_no_review() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    let client = server.client(Protocol::Http2).with(&server.pki.aggregator());
    let headers = [
        ("x-remote-user", "system:kube-aggregator"),
        ("x-remote-group", "system:masters"),
    ];
    for path in ["/apis", "/apis/g.io/v1", FLUNDERS] {
        assert_eq!(
            client.request(Method::GET, path, &headers).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    assert_eq!(
        server.client(Protocol::Http1).get("/readyz").await.status,
        StatusCode::OK
    );
    assert!(cluster.api.asked(ACCESS_REVIEWS).is_empty());
}

fn user(name: &str) -> UserInfo {
    UserInfo {
        name: name.to_owned(),
        ..UserInfo::default()
    }
}

fn to(verb: &str, name: &str) -> Attributes {
    Attributes::Resource {
        verb: verb.to_owned(),
        group: "g.io".to_owned(),
        version: "v1".to_owned(),
        resource: "flunders".to_owned(),
        subresource: String::new(),
        namespace: "n".to_owned(),
        name: name.to_owned(),
    }
}

async fn reviewing(lifetimes: DecisionLifetimes) -> (KubeApiserver, impl Authorizer) {
    let api = KubeApiserver::start(|asked| Reply::Json(201, review_access(&asked.body))).await;
    let reviews = SubjectAccessReviewAuthorizer::new(api.client.clone(), lifetimes).expect("randomness");
    (api, LocallyAllowed::or(reviews))
}

#[tokio::test]
async fn c044_decisions_are_remembered_per_question_and_shared() {
    let (api, authorizer) = reviewing(DecisionLifetimes::default()).await;
    let jane = user("jane");
    let (get, delete) = (to("get", "a"), to("delete", "a"));
    let together = (0..20).map(|_| authorizer.authorize(&jane, &get));
    for decision in futures::future::join_all(together).await {
        assert_eq!(decision.expect("decided"), Decision::Allow);
    }
    for _ in 0..3 {
        let denied = authorizer.authorize(&jane, &delete).await.expect("decided");
        assert_eq!(denied, Decision::Deny("RBAC says no".to_owned()));
    }
    assert_eq!(api.asked(ACCESS_REVIEWS).len(), 2, "one per question");

    // Another user, group, uid, extra or attribute is another question.
    let mut other = jane.clone();
    other.groups.push("g".to_owned());
    authorizer.authorize(&other, &get).await.expect("decided");
    other.uid = Some("u".to_owned());
    authorizer.authorize(&other, &get).await.expect("decided");
    authorizer.authorize(&user("joe"), &get).await.expect("decided");
    authorizer
        .authorize(&jane, &to("get", "b"))
        .await
        .expect("decided");
    assert_eq!(api.asked(ACCESS_REVIEWS).len(), 6);
}

#[tokio::test]
async fn c044_decisions_are_forgotten_each_after_its_time() {
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(50));
    for (allow, deny, asked_again) in [(long, short, "delete"), (short, long, "get")] {
        let (api, authorizer) = reviewing(DecisionLifetimes { allow, deny }).await;
        let jane = user("jane");
        for _ in 0..2 {
            for (verb, decided) in [
                ("get", Decision::Allow),
                ("delete", Decision::Deny("RBAC says no".to_owned())),
            ] {
                let decision = authorizer.authorize(&jane, &to(verb, "a")).await;
                assert_eq!(decision.expect("decided"), decided);
            }
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
        let asked = api.asked(ACCESS_REVIEWS);
        let verbs: Vec<_> = asked
            .iter()
            .map(|asked| asked.body["spec"]["resourceAttributes"]["verb"].clone())
            .collect();
        assert_eq!(verbs, ["get", "delete", asked_again]);
    }
}

#[tokio::test]
async fn c044_new_answer_counts_once_the_old_one_is_forgotten() {
    let permitted = Arc::new(AtomicBool::new(true));
    let api = {
        let permitted = Arc::clone(&permitted);
        KubeApiserver::start(move |asked| {
            let mut review = asked.body.clone();
            review["status"] = json!({"allowed": permitted.load(Ordering::SeqCst)});
            Reply::Json(201, review)
        })
        .await
    };
    let lifetime = Duration::from_millis(50);
    let lifetimes = DecisionLifetimes {
        allow: lifetime,
        deny: lifetime,
    };
    let authorizer = SubjectAccessReviewAuthorizer::new(api.client.clone(), lifetimes).expect("randomness");
    for answer in [true, false, true] {
        permitted.store(answer, Ordering::SeqCst);
        let decision = authorizer.authorize(&user("jane"), &to("get", "a")).await;
        assert_eq!(decision.expect("decided") == Decision::Allow, answer);
        tokio::time::sleep(2 * lifetime).await;
    }
}

#[tokio::test]
async fn c044_questions_too_long_to_keep_are_asked_each_time() {
    let (api, authorizer) = reviewing(DecisionLifetimes::default()).await;
    let long = to("get", &"x".repeat(10_001));
    for _ in 0..2 {
        authorizer.authorize(&user("jane"), &long).await.expect("decided");
    }
    assert_eq!(api.asked(ACCESS_REVIEWS).len(), 2);
}

#[tokio::test]
async fn c044_failed_review_is_an_error_and_not_remembered() {
    let calls = Arc::new(AtomicUsize::new(0));
    let api = {
        let calls = Arc::clone(&calls);
        KubeApiserver::start(move |asked| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => failure(403, "Forbidden", "no system:auth-delegator"),
            1 => {
                let mut review = asked.body.clone();
                review["status"] = json!({"allowed": true, "denied": true});
                Reply::Json(201, review)
            }
            _ => Reply::Json(201, review_access(&asked.body)),
        })
        .await
    };
    let lifetimes = DecisionLifetimes::default();
    let authorizer = SubjectAccessReviewAuthorizer::new(api.client.clone(), lifetimes).expect("randomness");
    let get = to("get", "a");
    let error = authorizer
        .authorize(&user("jane"), &get)
        .await
        .expect_err("forbidden to ask");
    assert!(error.to_string().contains("auth-delegator"), "{error}");
    authorizer
        .authorize(&user("jane"), &get)
        .await
        .expect_err("contradiction");
    assert_eq!(
        authorizer.authorize(&user("jane"), &get).await.expect("decided"),
        Decision::Allow
    );
}
