//! The test resources, a database each, and short ways to write and to watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use generic_apiserver::object::Object;
use generic_apiserver::storage::selection::FieldRequirement;
use generic_apiserver::storage::{
    ColumnSpec, Companions, Freshness, GroupResource, Key, ListOptions, ListPage, ListVersion, ObjectWrite,
    Residence, ResourceTable, ResourceVersion, Selection, Storage, StorageBuilder, StorageError,
    StorageOptions, Stored, Update, WatchEvent, WatchEventType, WatchOptions, WatchStart, WatchStream,
    Writes, migrator,
};
use serde_json::{Map, Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use test_postgres::{TestDatabase, TestPostgres};
use tokio_util::sync::CancellationToken;

/// No condition in a test takes longer than this, on however busy a machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const NOTES: GroupResource = GroupResource {
    group: "test.example.com",
    resource: "notes",
};
pub(crate) const ENTRIES: GroupResource = GroupResource {
    group: "test.example.com",
    resource: "entries",
};

const SCHEMA: &str = "
    create table notes (namespace text, name text, uid uuid unique, resource_version bigint, object text,
        color text, shelf integer, place text, constraint notes_shelf_free unique (shelf), unique (namespace, name));
    create table entries (namespace text, name text, uid uuid, resource_version bigint unique, object text,
        color text, loud boolean, author uuid, unique (namespace, name));
    create table tags (note text, tag text constraint tags_tag_short check (length(tag) < 20));";

fn field(object: &Object, name: &str) -> Option<Value> {
    object.body.get("spec").and_then(|spec| spec.get(name)).cloned()
}

fn columns_of(object: &Object) -> Map<String, Value> {
    ["color", "shelf"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), field(object, name)?)))
        .collect()
}

fn fields_of(object: &Object) -> BTreeMap<&'static str, String> {
    let color = field(object, "color");
    color
        .iter()
        .filter_map(Value::as_str)
        .map(|color| ("spec.color", color.to_owned()))
        .collect()
}

pub(crate) fn notes() -> ResourceTable {
    ResourceTable {
        resource: NOTES,
        table: "notes",
        residence: Residence::Cached,
        columns: const {
            &[
                ColumnSpec::new("color", "text"),
                ColumnSpec::new("shelf", "integer"),
            ]
        },
        creation_columns: const { &[ColumnSpec::new("place", "text")] },
        companions: Companions {
            columns: const { &[ColumnSpec::new("tag", "text")] },
            statements: &["insert into tags select r.name, r.tag from r where r.tag is not null"],
        },
        columns_of,
        fields: &["spec.color"],
        fields_of,
        field_columns: &[],
    }
}

const TYPED: [&str; 3] = ["color", "loud", "author"];

fn entry_columns_of(object: &Object) -> Map<String, Value> {
    TYPED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), field(object, name)?)))
        .collect()
}

fn entry_fields_of(object: &Object) -> BTreeMap<&'static str, String> {
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = [
        ("spec.color", "color"),
        ("spec.loud", "loud"),
        ("spec.author", "author"),
    ];
    fields
        .iter()
        .filter_map(|(path, name)| Some((*path, text(field(object, name)?))))
        .collect()
}

pub(crate) fn entries() -> ResourceTable {
    const COLUMNS: &[ColumnSpec] = &[
        ColumnSpec::new("color", "text"),
        ColumnSpec::new("loud", "boolean"),
        ColumnSpec::new("author", "uuid"),
    ];
    ResourceTable {
        resource: ENTRIES,
        table: "entries",
        residence: Residence::DatabaseOnly,
        columns: COLUMNS,
        creation_columns: &[],
        companions: Companions::NONE,
        columns_of: entry_columns_of,
        fields: &["spec.color", "spec.loud", "spec.author"],
        fields_of: entry_fields_of,
        field_columns: &[
            ("spec.color", "color"),
            ("spec.loud", "loud"),
            ("spec.author", "author"),
        ],
    }
}

/// A database with the schema, and one replica on it.
pub(crate) struct Fixture {
    pub(crate) database: TestDatabase,
    pub(crate) storage: Storage,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(set: impl FnOnce(&mut StorageOptions)) -> Self {
        Self::on(TestPostgres::shared(), set).await
    }

    pub(crate) async fn on(postgres: &TestPostgres, set: impl FnOnce(&mut StorageOptions)) -> Self {
        let database = postgres.create_database().await.unwrap();
        let mut connection = PgConnection::connect_with(&database.connect_options())
            .await
            .unwrap();
        migrator().run_direct(None, &mut connection, false).await.unwrap();
        connection.execute(SCHEMA).await.unwrap();
        let storage = replica(&database, set, |builder| builder);
        Self { database, storage }
    }

    /// A statement past storage.
    pub(crate) async fn sql(&self, statement: &'static str) {
        let mut connection = PgConnection::connect_with(&self.database.connect_options())
            .await
            .unwrap();
        connection.execute(statement).await.unwrap();
    }

    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        let mut connection = PgConnection::connect_with(&self.database.connect_options())
            .await
            .unwrap();
        sqlx::query_scalar(statement)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }
}

/// One more replica on a database.
pub(crate) fn replica(
    database: &TestDatabase,
    set: impl FnOnce(&mut StorageOptions),
    build: impl FnOnce(StorageBuilder) -> StorageBuilder,
) -> Storage {
    let mut options = StorageOptions::new(database.connect_options());
    options.freshness_timeout = SOON;
    set(&mut options);
    let builder = Storage::builder(options).resource(notes()).resource(entries());
    build(builder).start(&CancellationToken::new())
}

pub(crate) fn key(name: &str) -> Key {
    Key::namespaced("shelf", name)
}

pub(crate) fn object(key: &Key, spec: Value) -> Object {
    let metadata = json!({
        "namespace": key.namespace, "name": key.name, "uid": uuid::Uuid::new_v4(),
        "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"color": spec["color"].as_str().unwrap_or("none")},
    });
    let whole =
        json!({"apiVersion": "test.example.com/v1", "kind": "Note", "metadata": metadata, "spec": spec});
    serde_json::from_value(whole).unwrap()
}

pub(crate) fn parse(stored: &Stored) -> Object {
    serde_json::from_slice(&stored.encoded).unwrap()
}

pub(crate) fn alone(object: ObjectWrite) -> Update {
    Update {
        object,
        further: Writes::default(),
    }
}

pub(crate) fn creation(name: &str, spec: Value) -> Update {
    alone(ObjectWrite::Create {
        resource: NOTES,
        object: object(&key(name), spec),
    })
}

pub(crate) fn replacement(old: &Arc<Stored>, spec: Value) -> Update {
    let mut object = parse(old);
    object.metadata.labels = Some(BTreeMap::from([(
        "color".to_owned(),
        spec["color"].as_str().unwrap_or("none").to_owned(),
    )]));
    object.body.insert("spec".to_owned(), spec);
    alone(ObjectWrite::Replace {
        resource: NOTES,
        old: Arc::clone(old),
        object,
    })
}

pub(crate) fn deletion(old: &Arc<Stored>) -> Update {
    alone(ObjectWrite::Delete {
        resource: NOTES,
        old: Arc::clone(old),
        last: None,
    })
}

pub(crate) trait Notes {
    async fn create(&self, name: &str, color: &str) -> Arc<Stored>;
    async fn paint(&self, old: &Arc<Stored>, color: &str) -> Arc<Stored>;
    async fn delete(&self, old: &Arc<Stored>) -> Arc<Stored>;
    async fn record(&self, name: &str, color: &str) -> Arc<Stored>;
    async fn all(&self) -> ListPage;
    async fn watch_from(&self, start: WatchStart) -> WatchStream;
}

impl Notes for Storage {
    async fn create(&self, name: &str, color: &str) -> Arc<Stored> {
        self.update(creation(name, json!({"color": color})))
            .await
            .unwrap()
    }

    async fn paint(&self, old: &Arc<Stored>, color: &str) -> Arc<Stored> {
        self.update(replacement(old, json!({"color": color})))
            .await
            .unwrap()
    }

    async fn delete(&self, old: &Arc<Stored>) -> Arc<Stored> {
        self.update(deletion(old)).await.unwrap()
    }

    async fn record(&self, name: &str, color: &str) -> Arc<Stored> {
        let object = object(&key(name), json!({"color": color}));
        self.update(alone(ObjectWrite::Create {
            resource: ENTRIES,
            object,
        }))
        .await
        .unwrap()
    }

    async fn all(&self) -> ListPage {
        self.list(NOTES, &everything()).await.unwrap()
    }

    async fn watch_from(&self, start: WatchStart) -> WatchStream {
        self.watch(NOTES, watching(start)).await.unwrap()
    }
}

pub(crate) fn everything() -> ListOptions {
    ListOptions {
        namespace: None,
        selection: Selection::default(),
        version: ListVersion::Fresh(Freshness::Latest),
        limit: 0,
        continue_token: None,
    }
}

pub(crate) fn watching(start: WatchStart) -> WatchOptions {
    WatchOptions {
        namespace: None,
        selection: Selection::default(),
        start,
        bookmarks: true,
    }
}

pub(crate) fn colored(color: &str) -> Selection {
    with_field("spec.color", true, color)
}

pub(crate) fn with_field(field: &str, equal: bool, value: &str) -> Selection {
    let field = FieldRequirement {
        field: field.to_owned(),
        equal,
        value: value.to_owned(),
    };
    Selection {
        labels: Vec::new(),
        fields: vec![field],
    }
}

/// An event in short: `+a@2`, `~a@3`, `-a@4`, `=5` (bookmark), `=!5` (end of the initial events).
pub(crate) fn short(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Object(kind, object) => {
            let sign = match kind {
                WatchEventType::Added => '+',
                WatchEventType::Modified => '~',
                WatchEventType::Deleted => '-',
            };
            format!("{sign}{}@{}", object.key.name, object.version)
        }
        WatchEvent::Bookmark {
            version,
            initial_events_end,
        } => {
            format!("={}{version}", if *initial_events_end { "!" } else { "" })
        }
    }
}

pub(crate) async fn next(stream: &mut WatchStream) -> Option<Result<WatchEvent, StorageError>> {
    tokio::time::timeout(SOON, stream.next())
        .await
        .expect("an event soon")
}

/// The next events, in short.
pub(crate) async fn take(stream: &mut WatchStream, count: usize) -> Vec<String> {
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(short(&next(stream).await.expect("a further event").unwrap()));
    }
    events
}

pub(crate) fn names(page: &ListPage) -> Vec<&str> {
    page.items.iter().map(|object| object.key.name.as_str()).collect()
}

pub(crate) fn version(number: u64) -> ResourceVersion {
    ResourceVersion::new(number)
}
