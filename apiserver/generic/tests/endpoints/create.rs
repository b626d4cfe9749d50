//! Create and get.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde_json::json;

use crate::client::{create, delete, get, merge_patch, post, put, version, widget, widgets};
use crate::kinds::{UNLUCKY, UNLUCKY_DRAWS};

#[tokio::test]
async fn c160_create_sets_what_the_server_owns() {
    let mut body = widget("a", json!({"size": 5}));
    body["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    body["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    body["metadata"]["deletionTimestamp"] = json!("2001-01-01T00:00:00Z");
    body["metadata"]["generation"] = json!(9);
    body["metadata"]["selfLink"] = json!("/a");
    body["metadata"]["managedFields"] = json!([{"manager": "me", "operation": "Update"}]);
    body["status"] = json!({"phase": "Done"});
    let object = post(widgets("c160"), body).send().await.object(201);
    let metadata = &object["metadata"];
    assert_eq!(
        (&metadata["name"], &metadata["namespace"]),
        (&json!("a"), &json!("c160"))
    );
    assert_eq!(metadata["generation"], 1);
    assert_ne!(metadata["uid"], "00000000-0000-0000-0000-000000000000");
    assert_ne!(metadata["creationTimestamp"], "2001-01-01T00:00:00Z");
    for dropped in ["deletionTimestamp", "selfLink", "managedFields"] {
        assert!(metadata.get(dropped).is_none(), "{dropped}");
    }
    assert!(version(&object).parse::<u64>().unwrap() > 0);
    assert!(object.get("status").is_none(), "the status is the server's");
    assert_eq!(object["spec"]["color"], "grey", "defaults are filled in");
    let read = get(format!("{}/a", widgets("c160"))).send().await.object(200);
    assert_eq!(read, object);
}

#[tokio::test]
async fn c160_version_and_foreign_namespace_are_refused() {
    let mut body = widget("a", json!({}));
    body["metadata"]["resourceVersion"] = json!("7");
    post(widgets("c160b"), body)
        .send()
        .await
        .failure(400, "BadRequest");
    let mut body = widget("a", json!({}));
    body["metadata"]["namespace"] = json!("other");
    let status = post(widgets("c160b"), body.clone())
        .send()
        .await
        .failure(400, "BadRequest");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("(other) does not match"),
        "{status}"
    );
    body["metadata"]["namespace"] = json!("c160b");
    post(widgets("c160b"), body).send().await.object(201);
}

#[tokio::test]
async fn c161_taken_name_is_already_exists() {
    create("c161", "a").await;
    let status = post(widgets("c161"), widget("a", json!({})))
        .send()
        .await
        .failure(409, "AlreadyExists");
    let details = json!({"name": "a", "group": "test.example.com", "kind": "widgets"});
    assert_eq!(status["details"], details);
    assert_eq!(status["message"], "widgets.test.example.com \"a\" already exists");

    let mut held = widget("held", json!({}));
    held["metadata"]["finalizers"] = json!(["test.example.com/hold"]);
    post(widgets("c161"), held).send().await.object(201);
    delete(format!("{}/held", widgets("c161")))
        .send()
        .await
        .object(200);
    let status = post(widgets("c161"), widget("held", json!({})))
        .send()
        .await
        .failure(409, "AlreadyExists");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .starts_with("object is being deleted:"),
        "{status}"
    );
}

/// The five characters that a name generated from this base ends with.
async fn drawn(base: &str) -> String {
    let body = json!({"metadata": {"generateName": base}, "spec": {}});
    let created = post(widgets("c162"), body).send().await.object(201);
    let kept: String = base.chars().take(58).collect();
    let name = created["metadata"]["name"].as_str().unwrap();
    assert_eq!(created["metadata"]["generateName"], base);
    name.strip_prefix(&kept).expect(name).to_owned()
}

#[tokio::test]
async fn c162_generated_names() {
    let mut drawn_names = BTreeSet::new();
    for base in ["w-", &"b".repeat(100)] {
        for _ in 0..20 {
            let drawn = drawn(base).await;
            assert_eq!(drawn.len(), 5, "{drawn}");
            let alphabet = "bcdfghjklmnpqrstvwxz2456789";
            assert!(
                drawn.chars().all(|character| alphabet.contains(character)),
                "{drawn}"
            );
            drawn_names.insert(drawn);
        }
    }
    assert_eq!(drawn_names.len(), 40, "each is another: {drawn_names:?}");
    let both = json!({"metadata": {"name": "own", "generateName": "w-"}, "spec": {}});
    let own = post(widgets("c162"), both).send().await.object(201);
    assert_eq!(own["metadata"]["name"], "own");
}

#[tokio::test]
async fn c162_generated_name_is_drawn_eight_times_before_the_client_must_try_again() {
    let body = json!({"metadata": {"generateName": UNLUCKY}, "spec": {}});
    post(widgets("c162b"), body.clone()).send().await.object(201);
    let before = UNLUCKY_DRAWS.load(Ordering::SeqCst);

    let answer = post(widgets("c162b"), body).send().await;

    let status = answer.failure(409, "AlreadyExists");
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(UNLUCKY_DRAWS.load(Ordering::SeqCst) - before, 8);
}

#[tokio::test]
async fn c163_invalid_metadata_and_spec_name_every_field() {
    let body = json!({
        "metadata": {
            "name": "Not_A_Name",
            "labels": {"ok": "not ok!"},
            "finalizers": ["unqualified finalizer"],
            "ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": ""}],
        },
        "spec": {"size": 101},
    });
    let status = post(widgets("c163"), body).send().await.failure(422, "Invalid");
    assert_eq!(status["details"]["kind"], "Widget", "the kind, not the resource");
    let causes = status["details"]["causes"].as_array().unwrap();
    let has = |field: &str| {
        causes
            .iter()
            .any(|cause| cause["field"].as_str().unwrap().starts_with(field))
    };
    for field in [
        "metadata.name",
        "metadata.labels",
        "metadata.finalizers",
        "metadata.ownerReferences",
        "spec.size",
    ] {
        assert!(has(field), "{field}: {status}");
    }
    let size = causes.iter().find(|cause| cause["field"] == "spec.size").unwrap();
    assert_eq!(size["reason"], "FieldValueInvalid");
    assert_eq!(size["message"], "Invalid value: 101: must be between 0 and 100");
    let nameless = post(widgets("c163"), json!({"metadata": {}})).send().await;
    nameless.failure(422, "Invalid");
}

#[tokio::test]
async fn c165_get_at_a_version() {
    let created = create("c165", "a").await;
    let path = format!("{}/a", widgets("c165"));
    let at = version(&created);
    for query in [
        "",
        "?resourceVersion=",
        "?resourceVersion=0",
        &format!("?resourceVersion={at}"),
    ] {
        assert_eq!(
            get(format!("{path}{query}")).send().await.object(200),
            created,
            "{query}"
        );
    }
    let future = get(format!("{path}?resourceVersion=9007199254740000"))
        .send()
        .await;
    let status = future.failure(504, "Timeout");
    assert_eq!(
        status["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    get(format!("{path}?resourceVersion=abc"))
        .send()
        .await
        .failure(400, "BadRequest");
    get(format!("{path}?export=true"))
        .send()
        .await
        .failure(400, "BadRequest");
    get(format!("{}/absent", widgets("c165")))
        .send()
        .await
        .failure(404, "NotFound");
}

#[tokio::test]
async fn c175_dry_run_stores_nothing() {
    let path = widgets("c175");
    let dry = post(format!("{path}?dryRun=All"), widget("a", json!({"size": 2})))
        .send()
        .await
        .object(201);
    assert!(dry["metadata"]["uid"].is_string());
    get(format!("{path}/a")).send().await.failure(404, "NotFound");
    let status = post(format!("{path}?dryRun=Some"), widget("a", json!({})))
        .send()
        .await
        .failure(422, "Invalid");
    assert_eq!(status["details"]["kind"], "CreateOptions");
    assert_eq!(status["details"]["causes"][0]["field"], "dryRun");
    let invalid = post(format!("{path}?dryRun=All"), widget("a", json!({"size": 500})))
        .send()
        .await;
    invalid.failure(422, "Invalid");

    create("c175", "a").await;
    post(format!("{path}?dryRun=All"), widget("a", json!({})))
        .send()
        .await
        .failure(409, "AlreadyExists");
    delete(format!("{path}/a?dryRun=All")).send().await.object(200);
    let patched = merge_patch(format!("{path}/a?dryRun=All"), json!({"spec": {"size": 9}}));
    assert_eq!(patched.send().await.object(200)["spec"]["size"], 9);
    assert_eq!(
        get(format!("{path}/a")).send().await.object(200)["spec"]["size"],
        1
    );
}

#[tokio::test]
async fn c175_answer_of_a_dry_run_has_no_version_or_the_old_one() {
    let path = widgets("c175b");
    let dry = post(format!("{path}?dryRun=All"), widget("a", json!({"size": 1})));
    let dry = dry.send().await.object(201);
    assert!(dry["metadata"].get("resourceVersion").is_none(), "{dry}");

    let mut body = widget("a", json!({"size": 1}));
    body["metadata"]["finalizers"] = json!(["test.example.com/hold"]);
    let stored = post(&path, body).send().await.object(201);
    let mut larger = stored.clone();
    larger["spec"]["size"] = json!(2);
    let item = format!("{path}/a?dryRun=All");
    let status = json!({"status": {"phase": "Done"}});
    for call in [
        put(&item, larger),
        put(&item, stored.clone()),
        merge_patch(&item, json!({"spec": {"size": 3}})),
        merge_patch(format!("{path}/a/status?dryRun=All"), status),
        delete(&item),
    ] {
        let answer = call.send().await.object(200);
        assert_eq!(version(&answer), version(&stored), "{answer}");
    }
    assert_eq!(get(format!("{path}/a")).send().await.object(200), stored);
}

#[tokio::test]
async fn cluster_scoped_objects_have_no_namespace() {
    let path = "/apis/test.example.com/v1/racks";
    let created = post(path, json!({"metadata": {"name": "r", "namespace": "x"}}))
        .send()
        .await
        .object(201);
    assert!(created["metadata"].get("namespace").is_none(), "{created}");
    let list = get(format!("{path}?fieldSelector=metadata.name%3Dr"))
        .send()
        .await
        .object(200);
    assert_eq!((&list["kind"], &list["items"][0]), (&json!("RackList"), &created));
}
