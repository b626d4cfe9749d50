//! What kubectl writes: apply, diff, edit, patch, label, annotate, replace.

use brokkr_tests::{Installation, TestNamespace};
use serde_json::{Value, json};

use crate::undisturbed;

/// An order as a file holds it.
fn file(priority: i64, build: &str) -> String {
    json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder", "metadata": {"name": "app"},
        "spec": {"workType": "build", "buildRef": {"name": build}, "priority": priority,
            "targets": [{"agentNames": ["nobody"]}]}})
    .to_string()
}

async fn stored(namespace: &TestNamespace) -> Value {
    namespace.get("workorder", "app").await.expect("the order")
}

async fn priority(namespace: &TestNamespace) -> Value {
    stored(namespace).await["spec"]["priority"].clone()
}

async fn version(namespace: &TestNamespace) -> String {
    stored(namespace).await["metadata"]["resourceVersion"].to_string()
}

async fn applied(namespace: &TestNamespace, options: &str, file: &str) -> String {
    namespace
        .kubectl_with_input(&format!("apply {options} -f -"), file)
        .await
        .ok()
}

async fn applies(namespace: &TestNamespace) {
    let planned = applied(namespace, "--dry-run=server", &file(1, "app")).await;
    assert!(planned.contains("created (server dry run)"), "{planned}");
    assert!(namespace.get("workorder", "app").await.is_none());
    let created = applied(namespace, "", &file(1, "app")).await;
    assert!(created.contains("created"), "{created}");

    // A difference is shown with exit code 1, and nothing is stored.
    let different = namespace.kubectl_with_input("diff -f -", &file(5, "app")).await;
    assert_eq!(different.code, Some(1), "{different:?}");
    assert!(
        different.stdout.contains("-  priority: 1") && different.stdout.contains("+  priority: 5"),
        "{different:?}"
    );
    let planned = applied(namespace, "--dry-run=server", &file(5, "app")).await;
    assert!(planned.contains("configured (server dry run)"), "{planned}");
    assert_eq!(priority(namespace).await, 1);

    // The change goes as a JSON merge patch: strategic merge patches are not offered.
    let changed = namespace
        .kubectl_with_input("apply -v=8 -f -", &file(5, "app"))
        .await;
    assert!(
        changed.stderr.contains("application/merge-patch+json"),
        "{changed:?}"
    );
    assert!(!changed.stderr.contains("strategic-merge-patch"), "{changed:?}");
    assert!(changed.ok().contains("configured"));
    assert_eq!(priority(namespace).await, 5);
    let before = version(namespace).await;
    let unchanged = applied(namespace, "", &file(5, "app")).await;
    assert!(unchanged.contains("unchanged"), "{unchanged}");
    assert_eq!(version(namespace).await, before);
    assert_eq!(
        namespace
            .kubectl_with_input("diff -f -", &file(5, "app"))
            .await
            .code,
        Some(0)
    );

    let refused = namespace
        .kubectl_with_input("apply -f -", &file(5, "other"))
        .await
        .err();
    assert!(refused.contains("spec.buildRef"), "{refused}");
}

async fn edits(namespace: &TestNamespace) {
    // Only the field of the object has this indentation; the annotation of apply holds it in JSON.
    let edited = namespace
        .edit("workorder/app", "sed -i 's/^  priority: 5$/  priority: 6/'")
        .await;
    assert!(edited.ok().contains("edited"));
    assert_eq!(priority(namespace).await, 6);
    let untouched = namespace.edit("workorder/app", "true").await;
    assert!(
        untouched.stderr.contains("cancelled, no changes made"),
        "{untouched:?}"
    );
}

async fn patches(namespace: &TestNamespace) {
    let patch = async |options: &str| namespace.kubectl(&format!("patch workorder app {options}")).await;
    patch(r#"--type=merge -p {"spec":{"priority":7}}"#).await.ok();
    assert_eq!(priority(namespace).await, 7);
    patch(r#"--type=json -p [{"op":"test","path":"/spec/priority","value":7},{"op":"replace","path":"/spec/priority","value":8}]"#)
        .await
        .ok();
    assert_eq!(priority(namespace).await, 8);
    let refused = patch(r#"--type=json -p [{"op":"test","path":"/spec/priority","value":7}]"#)
        .await
        .err();
    assert!(refused.contains("operation 0"), "{refused}");
    let refused = patch(r#"--type=merge -p {"spec":{"priority":"high"}}"#)
        .await
        .err();
    assert!(refused.contains("priority"), "{refused}");
    let refused = patch(r#"--type=strategic -p {"spec":{"priority":9}}"#)
        .await
        .err();
    assert!(refused.contains("application/merge-patch+json"), "{refused}");
    let unchanged = patch(r#"--type=merge -p {"spec":{"priority":8}}"#).await.ok();
    assert!(unchanged.contains("no change"), "{unchanged}");
}

async fn labels_and_annotations(namespace: &TestNamespace) {
    for (verb, field) in [("label", "labels"), ("annotate", "annotations")] {
        let write = async |change: &str| namespace.kubectl(&format!("{verb} workorder app {change}")).await;
        write("team=red").await.ok();
        let refused = write("team=blue").await.err();
        assert!(refused.contains("--overwrite"), "{refused}");
        write("team=blue --overwrite").await.ok();
        assert_eq!(stored(namespace).await["metadata"][field]["team"], "blue");
        write("team-").await.ok();
        assert!(stored(namespace).await["metadata"][field]["team"].is_null());
    }
    namespace.kubectl("label workorders --all done=yes").await.ok();
    assert_eq!(stored(namespace).await["metadata"]["labels"]["done"], "yes");
}

async fn replaces(namespace: &TestNamespace) {
    let replace = async |options: &str, object: &Value| {
        namespace
            .kubectl_with_input(&format!("replace {options} -f -"), &object.to_string())
            .await
    };
    let mut object = stored(namespace).await;
    let stale = object.clone();
    object["spec"]["priority"] = json!(9);
    replace("", &object).await.ok();
    assert_eq!(priority(namespace).await, 9);
    let refused = replace("", &stale).await.err();
    assert!(
        refused.contains("Conflict") && refused.contains("has been modified"),
        "{refused}"
    );

    // By force it is another object of the same name.
    let file: Value = serde_json::from_str(&file(3, "other")).expect("JSON");
    replace("--force", &file).await.ok();
    let other = stored(namespace).await;
    assert_ne!(other["metadata"]["uid"], stale["metadata"]["uid"]);
    assert_eq!(other["spec"]["buildRef"]["name"], "other");
}

async fn writes_everything(namespace: &TestNamespace) {
    applies(namespace).await;
    edits(namespace).await;
    patches(namespace).await;
    labels_and_annotations(namespace).await;
    replaces(namespace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c129_c309_kubectl_applies_edits_patches_and_replaces() {
    let _running = undisturbed().await;
    writes_everything(&TestNamespace::create(Installation::shared().await, "writes").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c129_c309_old_kubectl_applies_edits_patches_and_replaces() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "writes-old").await;
    writes_everything(&namespace.by(installation.old_kubectl())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c217_c309_unknown_fields_are_errors_or_warnings_as_kubectl_asks() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "validate").await;
    let mut wrong: Value = serde_json::from_str(&file(1, "app")).expect("JSON");
    wrong["spec"]["nonsense"] = json!(1);
    let create = async |options: &str| {
        namespace
            .kubectl_with_input(&format!("create {options} -f -"), &wrong.to_string())
            .await
    };
    let refused = create("--validate=strict").await.err();
    assert!(refused.contains("unknown field \"spec.nonsense\""), "{refused}");
    let warned = create("--validate=warn --dry-run=server").await;
    assert!(
        warned.stderr.contains("unknown field \"spec.nonsense\""),
        "{warned:?}"
    );
    assert!(warned.ok().contains("created (server dry run)"));
    let ignored = create("--validate=ignore --dry-run=server").await;
    assert!(ignored.stderr.is_empty(), "{ignored:?}");
    assert!(namespace.list("workorders").await.is_empty());

    // The old one validates by itself, with the document of OpenAPI v2.
    let old = namespace.by(installation.old_kubectl());
    let refused = old
        .kubectl_with_input("create --validate=true -f -", &wrong.to_string())
        .await
        .err();
    assert!(refused.contains("unknown field \"nonsense\""), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c230_c309_kubectl_reads_and_writes_the_status_alone() {
    let _running = undisturbed().await;
    let namespace = TestNamespace::create(Installation::shared().await, "status").await;
    applied(&namespace, "", &file(1, "app")).await;
    let condition = json!({"status": {"phase": "Succeeded", "conditions": [{"type": "Audited", "status": "True",
        "reason": "Seen", "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z"}]}, "spec": {"priority": 9}});

    namespace
        .kubectl(&format!(
            "patch workorder app --subresource=status --type=merge -p {condition}"
        ))
        .await
        .ok();

    let text = namespace
        .kubectl("get workorder app --subresource=status -o json")
        .await
        .ok();
    let order: Value = serde_json::from_str(&text).expect("JSON");
    let conditions = order["status"]["conditions"].as_array().expect("conditions");
    assert!(conditions.iter().any(|one| one["type"] == "Audited"), "{order:#}");
    assert_eq!(order["status"]["phase"], "Pending", "the phase is the server's");
    assert_eq!(
        order["spec"]["priority"], 1,
        "the spec is not written with the status"
    );
    namespace
        .kubectl("wait workorder/app --for=condition=Audited --timeout=5s")
        .await
        .ok();
}
