//! kubectl, as a person uses it on native resources: the current one, and Debian's, years older.

mod events;
mod reads;
mod waits;
mod writes;

use std::time::Duration;

use brokkr_tests::{Installation, TestNamespace};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::main_job::entry_of;
use crate::undisturbed;

#[tokio::test(flavor = "multi_thread")]
async fn c304_resources_are_listed_with_short_names_and_kinds() {
    let _running = undisturbed().await;
    let kubectl = Installation::shared().await.kubectl();

    let resources = kubectl
        .run("api-resources --api-group=work.brokkr.io --no-headers")
        .await
        .ok();

    for (resource, short, kind) in [
        ("workorders", "wo", "WorkOrder"),
        ("workorderlogs", "wol", "WorkOrderLog"),
        ("agents", "", "Agent"),
    ] {
        let line = resources
            .lines()
            .find(|line| line.starts_with(resource))
            .expect(resource);
        assert!(line.contains(short) && line.ends_with(kind), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c001_api_service_is_available_with_a_ca_bundle() {
    let _running = undisturbed().await;
    let kubectl = Installation::shared().await.kubectl();
    let text = kubectl
        .run("get apiservice v1alpha1.work.brokkr.io -o json")
        .await
        .ok();
    let service: serde_json::Value = serde_json::from_str(&text).expect("JSON");

    let conditions = service["status"]["conditions"].as_array().expect("conditions");
    assert!(
        conditions
            .iter()
            .any(|one| one["type"] == "Available" && one["status"] == "True"),
        "{text}"
    );
    assert!(
        service["spec"]["caBundle"]
            .as_str()
            .is_some_and(|bundle| !bundle.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c002_certificate_names_the_service_and_chains_to_the_bundle() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let service = installation
        .kubectl()
        .run("get apiservice v1alpha1.work.brokkr.io -o json")
        .await
        .ok();
    let service: serde_json::Value = serde_json::from_str(&service).expect("JSON");
    let port = &service["spec"]["service"]["port"];
    let certificate = installation.directory().join("certificates/ca.crt");
    let bundle = std::fs::read(&certificate).expect("the CA");
    assert_eq!(
        service["spec"]["caBundle"],
        base64(&bundle),
        "the APIService has another CA"
    );

    let output = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--noproxy", "*"])
        .args([
            "--resolve",
            &format!("brokkr-apiserver.brokkr-system.svc:{port}:127.0.0.1"),
        ])
        .arg("--cacert")
        .arg(&certificate)
        .arg(format!(
            "https://brokkr-apiserver.brokkr-system.svc:{port}/readyz"
        ))
        .output()
        .await
        .expect("curl runs");

    assert_eq!(
        output.stdout,
        b"ok",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn base64(bytes: &[u8]) -> String {
    brokkr_certs::base64_bundle(&String::from_utf8_lossy(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn order_is_created_shown_described_waited_for_and_deleted() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "kubectl").await;
    namespace.build("app").await;
    namespace.order("app", "app", json!({})).await;

    namespace
        .kubectl("wait workorder/app --for=condition=Complete --timeout=60s")
        .await
        .ok();
    let table = namespace.kubectl("get workorders").await.ok();
    let heading: Vec<_> = table
        .lines()
        .next()
        .expect("a heading")
        .split_whitespace()
        .collect();
    assert_eq!(heading, ["NAME", "TYPE", "PHASE", "AGENT", "RETRIES", "AGE"]);
    assert!(table.contains("Succeeded") && table.contains("local"), "{table}");
    let described = namespace.kubectl("describe workorder app").await.ok();
    assert!(described.contains("Build Run Name:"), "{described}");

    let entries = namespace.kubectl("get workorderlogs").await.ok();
    let heading: Vec<_> = entries
        .lines()
        .next()
        .expect("a heading")
        .split_whitespace()
        .collect();
    assert_eq!(
        heading,
        ["NAME", "TYPE", "OUTCOME", "AGENT", "RETRIES", "DURATION", "AGE"]
    );

    namespace.kubectl("delete workorder app --timeout=30s").await.ok();
    assert!(namespace.get("workorder", "app").await.is_none());
    assert_eq!(
        namespace.entries("app").await.len(),
        1,
        "a finished order is deleted without another entry"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_of_a_running_order_waits_for_the_run_to_stop() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "delete").await;
    namespace.play(&[("app", json!({"outcome": "hang"}))]).await;
    namespace.build("app").await;
    namespace.order("app", "app", json!({})).await;
    brokkr_tests::eventually("the build runs", Duration::from_secs(60), || async {
        let order = namespace.get("workorder", "app").await?;
        (order["status"]["phase"] == "Running").then_some(())
    })
    .await;

    namespace.kubectl("delete workorder app --timeout=50s").await.ok();

    let entry = entry_of(&namespace, "app", Duration::from_secs(5)).await;
    assert_eq!(entry["status"]["outcome"], "Cancelled", "{entry:#}");
    assert_eq!(entry["status"]["cancellation"]["cause"], "Delete");
    let runs = namespace.list("buildruns").await;
    assert_eq!(runs[0]["status"]["conditions"][0]["reason"], "BuildRunCanceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_shows_an_order_through_its_phases() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "watch").await;
    let command = format!("get workorders -n {} --watch --no-headers", namespace.name);
    let mut child = Installation::shared()
        .await
        .kubectl()
        .command(&command)
        .spawn()
        .expect("kubectl starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    namespace.build("app").await;

    namespace.order("app", "app", json!({})).await;

    let mut seen = Vec::new();
    while !seen.iter().any(|line: &String| line.contains("Succeeded")) {
        let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        seen.push(
            line.expect("a line in time")
                .expect("a readable line")
                .expect("the watch goes on"),
        );
    }
    assert!(seen[0].contains("Pending"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_by_field() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "bad-input").await;
    let order = |spec: serde_json::Value| {
        json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder",
            "metadata": {"name": "bad"}, "spec": spec})
        .to_string()
    };
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let cases = [
        (json!({}), "spec.workType"),
        (json!({"workType": "build"}), "spec.buildRef"),
        (
            json!({"workType": "build", "buildRef": {"name": "a"}, "retryPolicy": {"maxRetries": 26}}),
            "maxRetries",
        ),
        (
            json!({"workType": "build", "buildRef": {"name": "a"}, "manifests": [secret]}),
            "spec.manifests[0]",
        ),
        (
            json!({"workType": "build", "buildRef": {"name": "a"}, "nonsense": 1}),
            "spec.nonsense",
        ),
    ];
    for (spec, field) in cases {
        let error = namespace.create_objects(&order(spec)).await.err();
        assert!(error.contains(field), "{field} is not named: {error}");
    }
    assert!(namespace.list("workorders").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn c300_namespace_with_finished_orders_is_deleted() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "going").await;
    namespace.build("app").await;
    namespace.order("app", "app", json!({})).await;
    namespace
        .kubectl("wait workorder/app --for=condition=Complete --timeout=60s")
        .await
        .ok();

    installation
        .kubectl()
        .run(&format!("delete namespace {} --timeout=90s", namespace.name))
        .await
        .ok();
}
