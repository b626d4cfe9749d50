//! Subresources of flunders: `polish` and `scrap` take a request, `friends` is read.

use async_trait::async_trait;
use generic_apiserver::object::Object;
use generic_apiserver::registry::{NamedCreater, NamedGetter, RegistryError, RequestContext};
use generic_apiserver::storage::{Freshness, Key, ObjectWrite, Storage, Update, Writes};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::flunder::{API_VERSION, FLUNDERS, kind, object_meta};

/// FlunderPolish asks to polish one flunder.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FlunderPolish {
    api_version: String,
    kind: String,
    #[serde(default)]
    #[schemars(schema_with = "object_meta")]
    metadata: ObjectMeta,
    /// The request.
    #[serde(default)]
    spec: PolishSpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<PolishStatus>,
}

/// How to polish.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PolishSpec {
    /// How often.
    #[serde(default)]
    times: i64,
}

/// What was polished.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PolishStatus {
    /// How often it has been polished by now.
    polished: i64,
    /// Who asked.
    by: String,
}

kind!(FlunderPolish, SubResourceScope, "polish");

/// Changes its parent: one write for one request.
pub(crate) struct Polish(pub(crate) Storage);

#[async_trait]
impl NamedCreater for Polish {
    type Kind = FlunderPolish;

    fn name(&self) -> &'static str {
        "polish"
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: FlunderPolish,
    ) -> Result<FlunderPolish, RegistryError> {
        let old = self.0.get(FLUNDERS, parent, Freshness::Latest).await?;
        let mut object: Object = serde_json::from_slice(&old.encoded).unwrap();
        let status = &mut object.body["status"];
        let polished = status["polished"].as_i64().unwrap() + body.spec.times;
        status["polished"] = polished.into();
        if !ctx.dry_run {
            let object = ObjectWrite::Replace {
                resource: FLUNDERS,
                old,
                object,
            };
            let further = Writes::default();
            self.0.update(Update { object, further }).await?;
        }
        body.status = Some(PolishStatus {
            polished,
            by: ctx.user.name.clone(),
        });
        Ok(body)
    }
}

/// Ends work, so that it is answered in a terminating namespace too. Changes nothing.
pub(crate) struct Scrap;

#[async_trait]
impl NamedCreater for Scrap {
    type Kind = FlunderPolish;

    fn name(&self) -> &'static str {
        "scrap"
    }

    fn refused_in_terminating_namespace(&self) -> bool {
        false
    }

    async fn create(
        &self,
        _ctx: &RequestContext,
        _parent: &Key,
        body: FlunderPolish,
    ) -> Result<FlunderPolish, RegistryError> {
        Ok(body)
    }
}

/// Nobody has friends.
pub(crate) struct Friends;

#[async_trait]
impl NamedGetter for Friends {
    fn name(&self) -> &'static str {
        "friends"
    }

    fn kind(&self) -> &'static str {
        "FlunderList"
    }

    async fn get(&self, _ctx: &RequestContext, parent: &Key) -> Result<Value, RegistryError> {
        let metadata = json!({"resourceVersion": "1", "continue": parent.name});
        Ok(json!({"kind": "FlunderList", "apiVersion": API_VERSION, "metadata": metadata, "items": []}))
    }
}
