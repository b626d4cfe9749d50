//! Events about orders, where people look for them.

use std::time::Duration;

use brokkr_tests::{Installation, TestNamespace, eventually};
use serde_json::json;

use crate::main_job::entry_of;
use crate::undisturbed;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn c310_kubectl_describe_shows_why_an_order_failed() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "events").await;
    let outcome = json!({"outcome": "fail", "failStep": "source-default",
        "errorReason": "GitRemoteRepositoryNotFound", "errorMessage": "repository not found"});
    namespace.play(&[("app", outcome)]).await;
    namespace.build("app").await;
    namespace.order("app", "app", json!({})).await;
    let entry = entry_of(&namespace, "app", LIMIT).await;
    let name = entry["metadata"]["name"].as_str().expect("a name");
    assert_eq!(namespace.get("workorderlog", name).await, Some(entry.clone()));

    for kubectl in [installation.kubectl(), installation.old_kubectl()] {
        let namespace = namespace.by(kubectl);
        // Events follow the change; they are hints.
        let described = eventually("the order is described with its Event", LIMIT, || async {
            let described = namespace.kubectl("describe workorder app").await.ok();
            let (_, events) = described.split_once("\nEvents:")?;
            (!events.contains("<none>")).then(|| events.to_owned())
        })
        .await;
        assert!(
            described.contains("Warning")
                && described.contains("Failed")
                && described.contains("GitConfigError"),
            "{described}"
        );
        let listed = namespace
            .kubectl("get events --field-selector=involvedObject.kind=WorkOrder,involvedObject.name=app,type=Warning")
            .await
            .ok();
        assert!(listed.contains("workorder/app"), "{listed}");
    }
}
