//! Watches of a selection: what comes into it, what stays and what leaves.

use serde_json::{Value, json};

use crate::client::{Watch, delete, get, merge_patch, post, version, widget, widgets};

const EVERYWHERE: &str = "/apis/test.example.com/v1/widgets";

async fn now() -> String {
    version(&get(EVERYWHERE).send().await.object(200)).to_owned()
}

async fn watch(collection: &str, from: &str, selectors: &str) -> Watch {
    let path = format!("{collection}?watch=true&resourceVersion={from}&{selectors}");
    get(path).watch().await
}

/// An object as it was, at the version of what happened to it.
fn at(object: &Value, event: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = event["metadata"]["resourceVersion"].clone();
    object
}

#[tokio::test]
async fn c280_name_label_and_both_select_in_one_namespace_and_across_all() {
    let from = now().await;
    let one = "fieldSelector=metadata.name%3Dc280-one";
    let left = "labelSelector=c280%3Dleft";
    let (here, there) = (widgets("c280-here"), widgets("c280-there"));
    let everywhere = EVERYWHERE.to_owned();
    let mut watches = Vec::new();
    // By number: 0 and 1 are here, 2 and 3 there; 0 and 2 are called so, 0 and 3 are on the left.
    for (collection, selectors, expected) in [
        (&here, one, &[0][..]),
        (&there, one, &[2]),
        (&everywhere, one, &[0, 2]),
        (&here, left, &[0]),
        (&everywhere, left, &[0, 3]),
        (&here, &format!("{one}&{left}"), &[0]),
        (&there, &format!("{one}&{left}"), &[]),
        (&everywhere, &format!("{one}&{left}"), &[0]),
        (
            &everywhere,
            &format!("{one},metadata.namespace%3Dc280-there"),
            &[2],
        ),
        (
            &everywhere,
            "fieldSelector=metadata.name%3Dc280-two&labelSelector=c280+in+(left,right)",
            &[1, 3],
        ),
    ] {
        watches.push((
            watch(collection, &from, selectors).await,
            selectors.to_owned(),
            expected,
        ));
    }
    let mut created = Vec::new();
    for (collection, name, side) in [
        (&here, "c280-one", "left"),
        (&here, "c280-two", "right"),
        (&there, "c280-one", "right"),
        (&there, "c280-two", "left"),
    ] {
        let body = json!({"metadata": {"name": name, "labels": {"c280": side}}});
        created.push(post(collection, body).send().await.object(201));
    }
    for (watch, selectors, expected) in &mut watches {
        for number in expected.iter() {
            assert_eq!(watch.expect("ADDED").await, created[*number], "{selectors}");
        }
    }
    // What follows is all that comes next: nothing else had been shown.
    for object in &created {
        let name = object["metadata"]["name"].as_str().unwrap();
        let namespace = object["metadata"]["namespace"].as_str().unwrap();
        delete(format!("{}/{name}", widgets(namespace)))
            .send()
            .await
            .object(200);
    }
    for (watch, selectors, expected) in &mut watches {
        for number in expected.iter() {
            let gone = watch.expect("DELETED").await;
            assert_eq!(gone, at(&created[*number], &gone), "{selectors}");
        }
    }
}

#[tokio::test]
async fn c277_fields_turn_changes_into_arrivals_and_departures() {
    let path = widgets("c277-fields");
    let from = now().await;
    let both = "fieldSelector=spec.color%3Dred,status.phase%3DDone&labelSelector=name%3Dc277-fields";
    let mut red = watch(&path, &from, "fieldSelector=spec.color%3Dred").await;
    let mut other = watch(&path, &from, "fieldSelector=spec.color!%3Dred").await;
    let mut done = watch(EVERYWHERE, &from, both).await;
    let item = format!("{path}/c277-fields");
    let change = async |change: Value| merge_patch(&item, change).send().await.object(200);
    let set_phase = async |phase: &str| {
        let status = json!({"status": {"phase": phase}});
        merge_patch(format!("{item}/status"), status)
            .send()
            .await
            .object(200)
    };

    let body = widget("c277-fields", json!({"color": "blue"}));
    let blue = post(&path, body).send().await.object(201);
    assert_eq!(other.expect("ADDED").await, blue);
    let came = change(json!({"spec": {"color": "red"}})).await;
    assert_eq!(red.expect("ADDED").await, came);
    assert_eq!(other.expect("DELETED").await, at(&blue, &came));

    let finished = set_phase("Done").await;
    assert_eq!(red.expect("MODIFIED").await, finished);
    assert_eq!(done.expect("ADDED").await, finished);
    let larger = change(json!({"spec": {"size": 2}})).await;
    assert_eq!(red.expect("MODIFIED").await, larger);
    assert_eq!(done.expect("MODIFIED").await, larger);
    let again = set_phase("Waiting").await;
    assert_eq!(red.expect("MODIFIED").await, again);
    assert_eq!(done.expect("DELETED").await, at(&larger, &again));

    let left = change(json!({"spec": {"color": "blue"}})).await;
    assert_eq!(red.expect("DELETED").await, at(&again, &left));
    assert_eq!(other.expect("ADDED").await, left);
    delete(&item).send().await.object(200);
    let gone = other.expect("DELETED").await;
    assert_eq!(gone, at(&left, &gone));
    let body = widget("c277-fields", json!({"color": "red"}));
    let anew = post(&path, body).send().await.object(201);
    assert_eq!(red.expect("ADDED").await, anew, "what did not match does not go");
    let finished = set_phase("Done").await;
    assert_eq!(done.expect("ADDED").await, finished);
}
