//! Names, scope, verbs and printer columns of a resource: what discovery and tables show.

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// A verb of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// POST on the collection.
    Create,
    /// DELETE on an object.
    Delete,
    /// DELETE on the collection.
    DeleteCollection,
    /// GET on an object.
    Get,
    /// GET on the collection.
    List,
    /// PATCH on an object.
    Patch,
    /// PUT on an object.
    Update,
    /// GET on the collection with `watch`.
    Watch,
}

impl Verb {
    /// All verbs, in the order discovery shows them.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];

    /// The verb as RBAC and discovery write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// How a resource is called.
#[derive(Clone, Copy, Debug)]
pub struct ResourceNames {
    /// Plural, as in paths: `deployments`.
    pub plural: &'static str,
    /// Singular: `deployment`.
    pub singular: &'static str,
    /// Short names for kubectl.
    pub short_names: &'static [&'static str],
    /// Categories for kubectl, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub scope: Scope,
}

/// One printer column.
#[derive(Clone, Copy, Debug)]
pub struct TableColumn {
    /// The heading in mixed case, such as `Phase`.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, `number`, `boolean`, or `date` for an age.
    pub column_type: &'static str,
    /// OpenAPI format; `name` marks the column of the object's name.
    pub format: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// 0 = always shown, 1 = with `-o wide`.
    pub priority: i32,
}
