//! What holds a deleted object, and what lets it go.

use serde_json::{Value, json};

use crate::client::{create, delete, get, merge_patch, post, version, widget, widgets};

const HOLD: &str = "test.example.com/hold";

async fn held(namespace: &str, finalizers: Value) -> String {
    let mut body = widget("a", json!({}));
    body["metadata"]["finalizers"] = finalizers;
    post(widgets(namespace), body).send().await.object(201);
    format!("{}/a", widgets(namespace))
}

#[tokio::test]
async fn c171_finalizers_hold_an_object_until_the_last_is_removed() {
    let path = held("c171", json!([HOLD, "test.example.com/more"])).await;
    let marked = delete(&path).send().await.object(200);
    let metadata = &marked["metadata"];
    assert!(metadata["deletionTimestamp"].is_string());
    assert_eq!(
        (&metadata["deletionGracePeriodSeconds"], &metadata["generation"]),
        (&json!(0), &json!(2))
    );
    let again = delete(&path).send().await.object(200);
    assert_eq!(again, marked, "deleting again changes nothing");

    let less = merge_patch(&path, json!({"metadata": {"finalizers": [HOLD]}}))
        .send()
        .await
        .object(200);
    let query = format!("watch=true&resourceVersion={}", version(&less));
    let mut watch = get(format!("{}?{query}", widgets("c171"))).watch().await;
    let released = merge_patch(&path, json!({"metadata": {"finalizers": null}}))
        .send()
        .await
        .object(200);
    assert!(
        released["metadata"].get("finalizers").is_none(),
        "the answer is what was asked for"
    );
    let last = watch.expect("DELETED").await;
    assert_eq!(
        last["metadata"]["finalizers"],
        json!([HOLD]),
        "the last state that was stored"
    );
    assert!(version(&last).parse::<u64>().unwrap() > version(&less).parse().unwrap());
    watch.has_shown_all_of("c171").await;
    get(&path).send().await.failure(404, "NotFound");
}

#[tokio::test]
async fn c172_propagation_policy_sets_the_finalizers_of_garbage_collection() {
    for (index, (policy, finalizers)) in [
        ("Foreground", json!([HOLD, "foregroundDeletion"])),
        ("Orphan", json!([HOLD, "orphan"])),
        ("Background", json!([HOLD])),
    ]
    .into_iter()
    .enumerate()
    {
        let path = held(&format!("c172-{index}"), json!([HOLD])).await;
        let object = delete(format!("{path}?propagationPolicy={policy}"))
            .send()
            .await
            .object(200);
        assert_eq!(object["metadata"]["finalizers"], finalizers, "{policy}");
    }
    let path = held("c172-changed", json!([HOLD, "orphan"])).await;
    let object = delete(format!("{path}?propagationPolicy=Foreground"))
        .send()
        .await
        .object(200);
    assert_eq!(
        object["metadata"]["finalizers"],
        json!([HOLD, "foregroundDeletion"]),
        "the other one goes"
    );

    create("c172", "a").await;
    let waiting = delete(format!("{}/a?propagationPolicy=Foreground", widgets("c172")))
        .send()
        .await
        .object(200);
    assert_eq!(
        waiting["kind"], "Widget",
        "the garbage collector removes the finalizer"
    );
    let orphaned = delete(format!("{}/a?orphanDependents=true", widgets("c172")))
        .send()
        .await
        .object(200);
    assert_eq!(orphaned["metadata"]["finalizers"], json!(["orphan"]));
}

#[tokio::test]
async fn c172_without_a_policy_the_finalizer_that_is_set_decides() {
    for (index, kept) in ["foregroundDeletion", "orphan"].into_iter().enumerate() {
        let path = held(&format!("c172-kept-{index}"), json!([HOLD, kept])).await;
        let marked = delete(&path).send().await.object(200);
        assert_eq!(marked["metadata"]["finalizers"], json!([HOLD, kept]));
        let less = merge_patch(&path, json!({"metadata": {"finalizers": [kept]}}));
        less.send().await.object(200);
        let waiting = get(&path).send().await.object(200);
        assert!(
            waiting["metadata"]["deletionTimestamp"].is_string(),
            "{kept} holds it"
        );
        let released = merge_patch(&path, json!({"metadata": {"finalizers": null}}));
        released.send().await.object(200);
        get(&path).send().await.failure(404, "NotFound");
    }
}

#[tokio::test]
async fn c172_policy_goes_before_the_finalizer_that_is_set() {
    for (index, (set, query, left)) in [
        ("orphan", "propagationPolicy=Background", json!([HOLD])),
        (
            "foregroundDeletion",
            "propagationPolicy=Background",
            json!([HOLD]),
        ),
        ("orphan", "orphanDependents=false", json!([HOLD])),
        ("foregroundDeletion", "orphanDependents=false", json!([HOLD])),
        (
            "foregroundDeletion",
            "orphanDependents=true",
            json!([HOLD, "orphan"]),
        ),
        (
            "foregroundDeletion",
            "propagationPolicy=Orphan",
            json!([HOLD, "orphan"]),
        ),
        ("orphan", "propagationPolicy=Orphan", json!([HOLD, "orphan"])),
    ]
    .into_iter()
    .enumerate()
    {
        let path = held(&format!("c172-before-{index}"), json!([HOLD, set])).await;
        let answer = delete(format!("{path}?{query}")).send().await.json();
        assert_eq!(answer["metadata"]["finalizers"], left, "{set} {query}");
    }
}
