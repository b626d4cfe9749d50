//! Tables and metadata-only answers.

use serde_json::{Value, json};

use crate::client::{TABLE, create, delete, get, merge_patch, post, version, widget, widgets};

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

#[tokio::test]
async fn c250_table_of_a_list() {
    let path = widgets("c250");
    let created = create("c250", "a").await;
    create("c250", "b").await;
    let table = get(&path).accept(TABLE).send().await.object(200);
    assert_eq!(
        (&table["kind"], &table["apiVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1"))
    );
    assert!(version(&table).parse::<u64>().unwrap() > 0);
    let columns = table["columnDefinitions"].as_array().unwrap();
    let names: Vec<&Value> = columns.iter().map(|column| &column["name"]).collect();
    assert_eq!(names, ["Name", "Size", "Color", "Age"]);
    assert_eq!(
        (&columns[0]["format"], &columns[0]["type"]),
        (&json!("name"), &json!("string"))
    );
    assert_eq!(
        (&columns[2]["priority"], &columns[3]["type"]),
        (&json!(1), &json!("date"))
    );
    let row = &table["rows"][0];
    assert_eq!(
        (&row["cells"][0], &row["cells"][1], &row["cells"][2]),
        (&json!("a"), &json!(1), &json!("grey"))
    );
    assert!(
        row["cells"][3].as_str().unwrap().ends_with('s'),
        "a fresh object is seconds old: {row}"
    );
    let object = &row["object"];
    assert_eq!(
        (&object["kind"], &object["apiVersion"]),
        (&json!("PartialObjectMetadata"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(object["metadata"], created["metadata"]);
    assert!(object.get("spec").is_none());
}

#[tokio::test]
async fn c250_include_object_pages_and_single_objects() {
    let path = widgets("c250b");
    let created = create("c250b", "a").await;
    create("c250b", "b").await;
    let table = async |query: &str| get(format!("{path}{query}")).accept(TABLE).send().await;
    let whole = table("?includeObject=Object").await.object(200);
    assert_eq!(whole["rows"][0]["object"], created);
    let bare = table("?includeObject=None").await.object(200);
    assert!(bare["rows"][0].get("object").is_none());
    table("?includeObject=Most").await.failure(400, "BadRequest");
    let page = table("?limit=1").await.object(200);
    assert!(page["metadata"]["continue"].is_string());
    assert_eq!(page["metadata"]["remainingItemCount"], 1);
    let single = table("/a").await.object(200);
    assert_eq!(
        (single["rows"].as_array().unwrap().len(), version(&single)),
        (1, version(&created))
    );
    let beta = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
    let beta = get(&path).accept(beta).send().await.object(200);
    assert_eq!(beta["apiVersion"], "meta.k8s.io/v1beta1");
    let empty = get(widgets("c250c")).accept(TABLE).send().await.object(200);
    assert_eq!(
        (
            &empty["rows"],
            empty["columnDefinitions"].as_array().unwrap().len()
        ),
        (&json!([]), 4)
    );
}

#[tokio::test]
async fn c251_metadata_only() {
    let path = widgets("c251");
    let created = post(&path, widget("a", json!({})))
        .accept(METADATA)
        .send()
        .await
        .object(201);
    assert_eq!(created["kind"], "PartialObjectMetadata");
    let read = get(format!("{path}/a")).accept(METADATA).send().await.object(200);
    assert_eq!(read["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(read["metadata"], created["metadata"]);
    assert!(read.get("spec").is_none());
    let patch = merge_patch(
        format!("{path}/a"),
        json!({"metadata": {"finalizers": ["test.example.com/hold"]}}),
    );
    let patched = patch.accept(METADATA).send().await.object(200);
    assert_eq!(
        patched["metadata"]["finalizers"],
        json!(["test.example.com/hold"])
    );
    let marked = delete(format!("{path}/a"))
        .accept(METADATA)
        .send()
        .await
        .object(200);
    assert_eq!(marked["kind"], "PartialObjectMetadata");

    let list = get(&path).accept(METADATA_LIST).send().await.object(200);
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("PartialObjectMetadataList"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert!(version(&list).parse::<u64>().unwrap() > 0);
    get(&path)
        .accept(METADATA)
        .send()
        .await
        .failure(406, "NotAcceptable");
    get(format!("{path}/a"))
        .accept(METADATA_LIST)
        .send()
        .await
        .failure(406, "NotAcceptable");
}

#[tokio::test]
async fn c252_a_success_status_is_not_transformed() {
    create("c252b", "a").await;
    let status = delete(format!("{}/a", widgets("c252b")))
        .accept(TABLE)
        .send()
        .await
        .object(200);
    assert_eq!(
        (&status["kind"], &status["status"]),
        (&json!("Status"), &json!("Success"))
    );
}
