//! A cluster that publishes an authentication configuration and reviews tokens and access.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use generic_apiserver::server::{DelegatedAuth, DelegatedAuthOptions};
use serde_json::{Value, json};
use telemetry::MetricsRegistry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::kube_apiserver::{KubeApiserver, Reply};
use crate::pki::Pki;
use crate::server::{Setup, TestServer};

pub(crate) const CONFIG_MAP: &str =
    "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
pub(crate) const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
pub(crate) const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

fn config_map(data: &BTreeMap<String, String>, version: &str) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1", "data": data,
        "metadata": {
            "name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": version,
        },
    })
}

/// Knows tokens `good-*` and one user's permission to get; `changes` is the watch of the ConfigMap.
pub(crate) struct Cluster {
    pub(crate) api: KubeApiserver,
    changes: mpsc::Sender<Value>,
}

impl Cluster {
    pub(crate) async fn start(data: BTreeMap<String, String>) -> Self {
        let (changes, watch) = mpsc::channel(8);
        let watch = Mutex::new(Some(watch));
        let api = KubeApiserver::start(move |asked| match asked.path.as_str() {
            CONFIG_MAP => Reply::Json(200, config_map(&data, "1")),
            CONFIG_MAPS if asked.query.contains("watch=true") => watch
                .lock()
                .expect("not poisoned")
                .take()
                .map_or(Reply::Silence, Reply::Watch),
            CONFIG_MAPS => Reply::Json(
                200,
                json!({
                    "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                    "items": [config_map(&data, "1")],
                }),
            ),
            TOKEN_REVIEWS => Reply::Json(201, review_token(&asked.body)),
            ACCESS_REVIEWS => Reply::Json(201, review_access(&asked.body)),
            other => panic!("unexpected call of {other}"),
        })
        .await;
        Self { api, changes }
    }

    /// A server with the production set of authenticators and authorizer on this cluster.
    pub(crate) async fn serve(&self, pki: Pki) -> TestServer {
        self.serve_with(pki, DelegatedAuthOptions::default()).await
    }

    /// The same with options.
    pub(crate) async fn serve_with(&self, pki: Pki, options: DelegatedAuthOptions) -> TestServer {
        let auth = DelegatedAuth::connect(self.api.client.clone(), options, CancellationToken::new())
            .await
            .expect("connects");
        let mut metrics = MetricsRegistry::default();
        auth.register_metrics(&mut metrics);
        let setup = Setup {
            authenticator: Some(Arc::clone(&auth.authenticator)),
            authorizer: Arc::clone(&auth.authorizer),
            metrics,
            ..Setup::default()
        };
        TestServer::on(pki, setup).await
    }

    pub(crate) async fn publish(&self, data: &BTreeMap<String, String>, version: &str) {
        let event = json!({"type": "MODIFIED", "object": config_map(data, version)});
        self.changes.send(event).await.expect("the server watches");
    }
}

pub(crate) fn review_token(review: &Value) -> Value {
    let token = review["spec"]["token"].as_str().expect("a token");
    let mut review = review.clone();
    review["status"] = match token.strip_prefix("good-") {
        Some(name) => json!({
            "authenticated": true,
            "user": {"username": name, "uid": "u-1", "groups": ["team-a"], "extra": {"k": ["v"]}},
        }),
        None => json!({"authenticated": false, "error": "token expired"}),
    };
    review
}

pub(crate) fn review_access(review: &Value) -> Value {
    let spec = &review["spec"];
    let allowed = spec["user"] == "jane" && spec["resourceAttributes"]["verb"] != "delete";
    let mut review = review.clone();
    review["status"] = json!({"allowed": allowed, "reason": if allowed { "" } else { "RBAC says no" }});
    review
}
