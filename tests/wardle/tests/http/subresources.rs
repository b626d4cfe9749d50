//! Subresources of a version that is not the one stored: kinds of that version.

use std::sync::Arc;

use async_trait::async_trait;
use generic_apiserver::endpoints::{ApiGroup, ApiVersion};
use generic_apiserver::registry::{
    NamedCreater, NamedGetter, RegistryError, RequestContext, ServedVersion, Store,
};
use generic_apiserver::storage::{Key, Storage};
use serde_json::{Value, json};
use wardle::v1alpha1::{Flunder, FlunderBump};
use wardle::{FlunderStrategy, GROUP};

use crate::server::{ALPHA, Server};

/// Sends back what was posted.
struct Echo;

#[async_trait]
impl NamedCreater for Echo {
    type Kind = FlunderBump;

    fn name(&self) -> &'static str {
        "echo"
    }

    async fn create(
        &self,
        _ctx: &RequestContext,
        _parent: &Key,
        body: FlunderBump,
    ) -> Result<FlunderBump, RegistryError> {
        Ok(body)
    }
}

/// Nobody is near.
struct Neighbours;

#[async_trait]
impl NamedGetter for Neighbours {
    fn name(&self) -> &'static str {
        "neighbours"
    }

    fn kind(&self) -> &'static str {
        "FlunderList"
    }

    async fn get(&self, _ctx: &RequestContext, parent: &Key) -> Result<Value, RegistryError> {
        let metadata = json!({"resourceVersion": "1", "continue": parent.name});
        Ok(
            json!({"kind": "FlunderList", "apiVersion": "wardle.example.com/v1alpha1", "metadata": metadata, "items": []}),
        )
    }
}

fn group(storage: &Storage) -> ApiGroup {
    let flunders = Arc::new(Store::new(FlunderStrategy, storage.clone()));
    let served = ServedVersion::<_, Flunder>::of(flunders)
        .creater(Echo)
        .getter(Neighbours);
    ApiGroup {
        name: GROUP.to_owned(),
        versions: vec![ApiVersion {
            name: "v1alpha1".to_owned(),
            resources: vec![Arc::new(served)],
        }],
    }
}

#[tokio::test]
async fn c111_version_that_is_converted_has_subresources_of_its_own() {
    let server = Server::serving(group).await;
    let list = server
        .client
        .get("/apis/wardle.example.com/v1alpha1")
        .await
        .expect(200);
    let names: Vec<&str> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["flunders", "flunders/echo", "flunders/neighbours"]);

    let body = json!({"spec": {"labelKey": "a"}});
    let answer = server
        .client
        .post(&format!("{ALPHA}/a/echo"), &body)
        .await
        .expect(201);
    assert_eq!(answer["apiVersion"], "wardle.example.com/v1alpha1");
    assert_eq!(answer["spec"]["labelKey"], "a");
    let near = server
        .client
        .get(&format!("{ALPHA}/a/neighbours"))
        .await
        .expect(200);
    assert_eq!(near["metadata"]["continue"], "a");
}
