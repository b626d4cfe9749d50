//! Lists, their versions, pages and selectors.

use serde_json::{Value, json};

use crate::client::{create, get, merge_patch, post, version, widget, widgets};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn c190_list_has_kind_version_and_order() {
    let empty = get(widgets("c190")).send().await.object(200);
    assert_eq!(
        (&empty["kind"], &empty["apiVersion"]),
        (&json!("WidgetList"), &json!("test.example.com/v1"))
    );
    assert_eq!(empty["items"], json!([]));
    assert!(
        version(&empty).parse::<u64>().unwrap() > 0,
        "of an empty list too"
    );
    for name in ["b", "c", "a"] {
        create("c190", name).await;
    }
    let list = get(widgets("c190")).send().await.object(200);
    assert_eq!(names(&list), ["a", "b", "c"]);
    let newest = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| version(item).parse().unwrap())
        .max();
    assert!(version(&list).parse::<u64>().unwrap() >= newest.unwrap());
}

#[tokio::test]
async fn c191_versions_and_matches() {
    let path = widgets("c191");
    let first = create("c191", "a").await;
    create("c191", "b").await;
    let at = version(&first);
    let list = async |query: &str| get(format!("{path}?{query}")).send().await;
    let recent = list(&format!("resourceVersion={at}")).await.object(200);
    assert_eq!(
        names(&recent)[0],
        "a",
        "not older than asked, whatever else is there"
    );
    assert_eq!(names(&list("").await.object(200)), ["a", "b"]);
    let any = list("resourceVersion=0").await.object(200);
    assert_eq!(
        names(&any),
        ["a", "b"],
        "the cache has been brought up to date by the list before"
    );
    let exact = list(&format!("resourceVersion={at}&resourceVersionMatch=Exact"))
        .await
        .object(200);
    assert_eq!((names(&exact), version(&exact)), (vec!["a"], at));
    let not_older = list(&format!("resourceVersion={at}&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(names(&not_older.object(200)), ["a", "b"]);
    let legacy = list(&format!("resourceVersion={at}&limit=5")).await.object(200);
    assert_eq!(
        names(&legacy),
        ["a"],
        "a limit without match means exactly this version"
    );

    for query in [
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=NotOlderThan",
        "resourceVersion=0&resourceVersionMatch=Exact",
        &format!("resourceVersion={at}&resourceVersionMatch=Roughly"),
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0",
        "resourceVersion=0&resourceVersionMatch=NotOlderThan&continue=x",
    ] {
        let status = list(query).await.failure(422, "Invalid");
        assert_eq!(status["details"]["kind"], "ListOptions", "{query}");
    }
    let status = list("resourceVersion=abc").await.failure(400, "BadRequest");
    assert!(
        status["message"].as_str().unwrap().contains("Invalid value"),
        "{status}"
    );
}

#[tokio::test]
async fn c192_pages_of_one_state() {
    let path = widgets("c192");
    for name in ["a", "b", "c", "d", "e"] {
        create("c192", name).await;
    }
    let first = get(format!("{path}?limit=2")).send().await.object(200);
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["a", "b"], &json!(3))
    );
    create("c192", "bb").await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = get(format!("{path}?limit=2&continue={token}"))
        .send()
        .await
        .object(200);
    assert_eq!(names(&second), ["c", "d"], "bb came after the first page");
    assert_eq!(version(&second), version(&first));
    let token = second["metadata"]["continue"].as_str().unwrap();
    let last = get(format!("{path}?limit=2&continue={token}&resourceVersion=0"))
        .send()
        .await
        .object(200);
    assert_eq!(names(&last), ["e"]);
    assert!(last["metadata"].get("continue").is_none());

    let selected = get(format!("{path}?limit=1&labelSelector=name!%3Da"))
        .send()
        .await
        .object(200);
    assert!(
        selected["metadata"].get("remainingItemCount").is_none(),
        "{selected}"
    );
    let status = get(format!("{path}?continue={token}&resourceVersion=7"))
        .send()
        .await
        .failure(400, "BadRequest");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("not allowed when using continue"), "{message}");
    let status = get(format!("{path}?continue=nonsense"))
        .send()
        .await
        .failure(400, "BadRequest");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("continue key is not valid"),
        "{status}"
    );
    let other = get(format!("/apis/test.example.com/v1/racks?continue={token}"))
        .send()
        .await;
    other.failure(400, "BadRequest");
}

#[tokio::test]
async fn c195_label_selectors() {
    let path = widgets("c195");
    for (name, labels) in [
        ("a", json!({"tier": "gold", "rank": "3"})),
        ("b", json!({"tier": "silver", "rank": "10"})),
        ("c", json!({})),
    ] {
        post(&path, json!({"metadata": {"name": name, "labels": labels}}))
            .send()
            .await
            .object(201);
    }
    for (selector, selected) in [
        ("tier%3Dgold", &["a"][..]),
        ("tier%3D%3Dgold", &["a"]),
        ("tier!%3Dgold", &["b", "c"]),
        ("tier+in+(gold,silver)", &["a", "b"]),
        ("tier+notin+(gold)", &["b", "c"]),
        ("tier", &["a", "b"]),
        ("!tier", &["c"]),
        ("rank%3E5", &["b"]),
        ("rank%3C5,tier", &["a"]),
        ("", &["a", "b", "c"]),
    ] {
        let list = get(format!("{path}?labelSelector={selector}"))
            .send()
            .await
            .object(200);
        assert_eq!(names(&list), selected, "{selector}");
    }
    for selector in ["tier+in+gold", "tier%3Da%3Db", "%3Dgold", "tier,", "rank%3Efive"] {
        get(format!("{path}?labelSelector={selector}"))
            .send()
            .await
            .failure(400, "BadRequest");
    }
}

#[tokio::test]
async fn c195_field_selectors() {
    let path = widgets("c195b");
    for (name, color) in [("a", "red"), ("b", "blue")] {
        post(&path, widget(name, json!({ "color": color })))
            .send()
            .await
            .object(201);
    }
    merge_patch(format!("{path}/a/status"), json!({"status": {"phase": "Done"}}))
        .send()
        .await
        .object(200);
    for (selector, selected) in [
        ("metadata.name%3Db", &["b"][..]),
        ("metadata.namespace%3Dc195b", &["a", "b"]),
        ("spec.color%3D%3Dred", &["a"]),
        ("spec.color!%3Dred", &["b"]),
        ("status.phase%3DDone,spec.color%3Dred", &["a"]),
        ("status.phase%3DDone,spec.color%3Dblue", &[]),
    ] {
        let list = get(format!("{path}?fieldSelector={selector}"))
            .send()
            .await
            .object(200);
        assert_eq!(names(&list), selected, "{selector}");
    }
    for selector in ["spec.size%3D1", "metadata.name", "metadata.name%3Da%3Db"] {
        get(format!("{path}?fieldSelector={selector}"))
            .send()
            .await
            .failure(400, "BadRequest");
    }
}

#[tokio::test]
async fn c196_list_of_all_namespaces_and_of_one_by_field() {
    create("c196-a", "here").await;
    create("c196-b", "there").await;
    let all = "/apis/test.example.com/v1/widgets?labelSelector=name+in+(here,there)";
    assert_eq!(names(&get(all).send().await.object(200)), ["here", "there"]);
    let narrowed = get(format!("{all}&fieldSelector=metadata.namespace%3Dc196-b"))
        .send()
        .await
        .object(200);
    assert_eq!(names(&narrowed), ["there"]);
}

#[tokio::test]
async fn c197_list_of_an_absent_namespace_is_empty() {
    let list = get(widgets("absent")).send().await.object(200);
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn c199_first_list_of_a_reflector() {
    create("c199", "a").await;
    // Brings the cache up to date, whose state "any version" shows.
    get(widgets("c199")).send().await.object(200);
    let list = get(format!("{}?limit=500&resourceVersion=0", widgets("c199")))
        .send()
        .await
        .object(200);
    assert_eq!(names(&list), ["a"]);
    assert!(version(&list).parse::<u64>().unwrap() > 0);
}
