//! A fischer bumps all flunders with a label: one set mutation, whatever their number and namespaces.
//!
//! It is a create of the subresource `fischers/bump`, as a batch claim is one of the object that asks for
//! it: the library serves requests about one object, and the fischer is that object. Who may create
//! `fischers/bump` may so change flunders of all namespaces. All bumps of one moment are decided together;
//! a flunder that several of them meet is written once and counts each.

use std::sync::Arc;

use async_trait::async_trait;
use generic_apiserver::object::Object;
use generic_apiserver::registry::metadata::is_qualified_name;
use generic_apiserver::registry::{FieldError, NamedCreater, RegistryError, RequestContext};
use generic_apiserver::storage::mutation::{SetOutcome, VersionedWrite};
use generic_apiserver::storage::selection::{LabelOperator, LabelRequirement};
use generic_apiserver::storage::{
    Freshness, Key, ListOptions, ListVersion, ObjectWrite, ResourceVersion, Selection, SetMutation, Storage,
    StorageError, Versions,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fischer::FISCHERS;
use crate::flunder::{self, FLUNDERS};
use crate::v1alpha1::{FlunderBump, FlunderBumpSpec, FlunderBumpStatus};

/// The annotation that counts how often a flunder was bumped.
const BUMPS: &str = "wardle.example.com/bumps";

/// The set mutation.
struct BumpFlunders;

/// One caller's label.
#[derive(Debug, Serialize)]
struct Label {
    /// `key=value`, as in the column.
    label: String,
    #[serde(skip)]
    key: String,
    #[serde(skip)]
    value: String,
}

/// A flunder that carries a label of the batch.
#[derive(Debug, Deserialize)]
struct Row {
    version: u64,
    object: String,
}

impl Label {
    fn of(spec: FlunderBumpSpec) -> Self {
        Self {
            label: format!("{}={}", spec.label_key, spec.label_value),
            key: spec.label_key,
            value: spec.label_value,
        }
    }

    fn is_on(&self, flunder: &Object) -> bool {
        let labels = flunder.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(&self.key)) == Some(&self.value)
    }
}

impl SetMutation for BumpFlunders {
    type Input = Label;
    type Row = Row;
    type Output = i64;

    fn name(&self) -> &'static str {
        "bump"
    }

    fn statement(&self) -> &'static str {
        "select json_build_object('version', f.resource_version, 'object', f.object)::text
         from wardle.flunders as f
         where f.labels && array(select asked ->> 'label' from json_array_elements($1::json) as asked)
         order by f.namespace, f.name"
    }

    fn decide(
        &self,
        inputs: &[Label],
        rows: Vec<Row>,
        versions: &mut Versions,
        _now: Timestamp,
    ) -> Result<SetOutcome<i64>, StorageError> {
        let mut outcome = SetOutcome {
            objects: Vec::new(),
            rows: Vec::new(),
            new_rows: Vec::new(),
            outputs: vec![0; inputs.len()],
        };
        for row in rows {
            let old = flunder::table().stored(ResourceVersion::new(row.version), row.object)?;
            let mut object: Object = serde_json::from_slice(&old.encoded)
                .map_err(|error| StorageError::Corrupt(format!("{}: {error}", old.key)))?;
            let mut met = 0;
            for (input, output) in inputs.iter().zip(&mut outcome.outputs) {
                let one = i64::from(input.is_on(&object));
                *output += one;
                met += one;
            }
            bump(&mut object, met);
            let write = ObjectWrite::Replace {
                resource: FLUNDERS,
                old,
                object,
            };
            let version = versions.draw();
            outcome.objects.push(VersionedWrite { version, write });
        }
        Ok(outcome)
    }
}

fn bump(flunder: &mut Object, times: i64) {
    let annotations = flunder.metadata.annotations.get_or_insert_default();
    let before = annotations.get(BUMPS).and_then(|count| count.parse().ok());
    annotations.insert(BUMPS.to_owned(), (before.unwrap_or(0) + times).to_string());
}

/// The subresource `fischers/bump`.
pub(crate) struct Bump {
    storage: Storage,
    mutation: Arc<BumpFlunders>,
}

impl Bump {
    /// Bumps flunders of this storage.
    pub(crate) fn new(storage: Storage) -> Self {
        let mutation = Arc::new(BumpFlunders);
        Self { storage, mutation }
    }

    /// How many flunders carry the label now.
    async fn count(&self, label: Label) -> Result<i64, StorageError> {
        let carries = LabelRequirement {
            key: label.key,
            operator: LabelOperator::In,
            values: vec![label.value],
        };
        let options = ListOptions {
            namespace: None,
            selection: Selection {
                labels: vec![carries],
                fields: Vec::new(),
            },
            version: ListVersion::Fresh(Freshness::Latest),
            limit: 0,
            continue_token: None,
        };
        let page = self.storage.list(FLUNDERS, &options).await?;
        Ok(i64::try_from(page.items.len()).unwrap_or(i64::MAX))
    }
}

#[async_trait]
impl NamedCreater for Bump {
    type Kind = FlunderBump;

    fn name(&self) -> &'static str {
        "bump"
    }

    async fn create(
        &self,
        ctx: &RequestContext,
        parent: &Key,
        mut body: FlunderBump,
    ) -> Result<FlunderBump, RegistryError> {
        validate(parent, &body.spec)?;
        self.storage.get(FISCHERS, parent, Freshness::Latest).await?;
        let label = Label::of(body.spec.clone());
        let bumped = if ctx.dry_run {
            self.count(label).await?
        } else {
            self.storage.run(&self.mutation, label).await?
        };
        body.metadata.name = Some(parent.name.clone());
        body.status = Some(FlunderBumpStatus { bumped });
        Ok(body)
    }
}

fn validate(parent: &Key, spec: &FlunderBumpSpec) -> Result<(), RegistryError> {
    if is_qualified_name(&spec.label_key) {
        return Ok(());
    }
    let key = format!("{:?}", spec.label_key);
    Err(RegistryError::Invalid {
        kind: "FlunderBump".to_owned(),
        name: parent.name.clone(),
        errors: vec![FieldError::invalid(
            "spec.labelKey",
            key,
            "must be the key of a label",
        )],
    })
}
