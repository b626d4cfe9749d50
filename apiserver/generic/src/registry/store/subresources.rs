//! Subresources with their types taken off.

use async_trait::async_trait;
use k8s_openapi::Resource;
use serde_json::Value;

use super::decode;
use crate::object::Object;
use crate::registry::context::RequestContext;
use crate::registry::error::RegistryError;
use crate::registry::names::Verb;
use crate::registry::rest::{Decoded, KindSchema, RestSubresource};
use crate::registry::subresource::{NamedCreater, NamedGetter};
use crate::storage::Key;

/// A subresource to which a body is posted.
pub(super) struct Creater<C>(pub(super) C);

/// A subresource that is read.
pub(super) struct Getter<G>(pub(super) G);

#[async_trait]
impl<C: NamedCreater> RestSubresource for Creater<C> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn kind(&self) -> &'static str {
        C::Kind::KIND
    }

    fn verb(&self) -> Verb {
        Verb::Create
    }

    fn schema(&self) -> Option<KindSchema> {
        Some(decode::schema::<C::Kind>())
    }

    fn decode(&self, body: Value) -> Result<Decoded, serde_json::Error> {
        decode::decode::<C::Kind, C::Kind>(&body)
    }

    fn refused_in_terminating_namespace(&self) -> bool {
        self.0.refused_in_terminating_namespace()
    }

    async fn answer(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        body: Option<Object>,
    ) -> Result<Value, RegistryError> {
        let body =
            body.ok_or_else(|| RegistryError::BadRequest(format!("{} needs a body", C::Kind::KIND)))?;
        let typed = body
            .to_typed()
            .map_err(|e| RegistryError::BadRequest(e.to_string()))?;
        let answer = self.0.create(ctx, parent, typed).await?;
        serde_json::to_value(answer).map_err(|e| RegistryError::Internal(e.to_string()))
    }
}

#[async_trait]
impl<G: NamedGetter> RestSubresource for Getter<G> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn verb(&self) -> Verb {
        Verb::Get
    }

    fn schema(&self) -> Option<KindSchema> {
        None
    }

    fn decode(&self, _body: Value) -> Result<Decoded, serde_json::Error> {
        Err(serde::de::Error::custom("a get takes no body"))
    }

    fn refused_in_terminating_namespace(&self) -> bool {
        false
    }

    async fn answer(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        _body: Option<Object>,
    ) -> Result<Value, RegistryError> {
        self.0.get(ctx, parent).await
    }
}
