//! kubectl waits: for conditions, fields, creation and deletion.

use std::time::Duration;

use brokkr_tests::{Installation, TestNamespace};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::undisturbed;

const CANCEL: &str = r#"patch workorder app --type=merge -p {"spec":{"cancel":{"reason":"test"}}}"#;

/// Waits while something else happens; kubectl has its watch, as its log says, before the change is made.
async fn meanwhile(namespace: &TestNamespace, wait: &str, change: &str) {
    let mut kubectl = namespace.command(&format!("{wait} -v=6"));
    let mut waiting = kubectl.spawn().expect("kubectl starts");
    let mut log = BufReader::new(waiting.stderr.take().expect("a pipe")).lines();
    let mut seen = Vec::new();
    let watching = async {
        while let Some(line) = log.next_line().await.expect("a readable line") {
            let watches = line.contains("watch=true") && line.contains("200 OK");
            seen.push(line);
            if watches {
                return true;
            }
        }
        false
    };
    let watching = timeout(Duration::from_secs(60), watching).await;
    assert_eq!(watching, Ok(true), "no watch: {seen:#?}");
    namespace.kubectl(change).await.ok();
    while let Some(line) = log.next_line().await.expect("a readable line") {
        seen.push(line);
    }
    assert!(waiting.wait().await.expect("kubectl ends").success(), "{seen:#?}");
}

async fn order(namespace: &TestNamespace) {
    namespace
        .order("app", "app", json!({"targets": [{"agentNames": ["nobody"]}]}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c309_kubectl_waits_for_creation_fields_conditions_and_deletion() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "waits").await;
    let wait = |what: &str| format!("wait workorder/app --for={what} --timeout=60s");
    tokio::join!(order(&namespace), async {
        namespace.kubectl(&wait("create")).await.ok()
    });
    let phase = |phase: &str| wait(&format!("jsonpath={{.status.phase}}={phase}"));
    namespace.kubectl(&phase("Pending")).await.ok();
    namespace.kubectl(&wait("condition=Schedulable=false")).await.ok();
    meanwhile(&namespace, &phase("Cancelled"), CANCEL).await;
    meanwhile(&namespace, &wait("delete"), "delete workorder app").await;

    let error = namespace
        .kubectl("wait workorder/app --for=condition=Complete --timeout=2s")
        .await
        .err();
    assert!(error.contains("not found"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c309_old_kubectl_waits_for_conditions_and_deletion() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "waits-old").await;
    let namespace = namespace.by(installation.old_kubectl());
    order(&namespace).await;
    namespace
        .kubectl("wait workorder/app --for=condition=Schedulable=false --timeout=60s")
        .await
        .ok();
    meanwhile(
        &namespace,
        "wait workorder/app --for=delete --timeout=60s",
        "delete workorder app",
    )
    .await;
}
