//! The query of a request as typed options, validated.
//!
//! Upstream concept: `apimachinery/pkg/apis/meta/internalversion` and its validation. Malformed values are
//! 400, values that are well-formed but not allowed 422.

use std::borrow::Cow;

use http::request::Parts;

use super::StatusError;
use super::selectors;
use crate::registry::{FieldError, FieldErrorType};
use crate::request_info::query_values;
use crate::storage::{
    Freshness, ListOptions, ListVersion, ResourceVersion, Selection, WatchOptions, WatchStart,
};

/// The group of the options kinds in errors.
const META_GROUP: &str = "meta.k8s.io";

/// The longest field manager, in characters.
const FIELD_MANAGER_CHARACTERS_MAX: usize = 128;

/// Reads single parameters of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'q>(Option<&'q str>);

impl<'q> Query<'q> {
    /// The query of a request.
    pub(crate) fn of(parts: &'q Parts) -> Self {
        Self(parts.uri.query())
    }

    /// The first value; absent and empty are the same, as in upstream's conversion.
    pub(crate) fn text(self, key: &str) -> Cow<'q, str> {
        query_values(self.0, key).next().unwrap_or_default()
    }

    /// A boolean; what is neither `false` nor `0` counts as true, as in upstream's conversion.
    pub(crate) fn boolean(self, key: &str) -> Option<bool> {
        let value = query_values(self.0, key).next()?;
        Some(!value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// An integer.
    pub(crate) fn integer(self, key: &str) -> Result<Option<i64>, StatusError> {
        let Some(value) = query_values(self.0, key).next() else {
            return Ok(None);
        };
        let parsed = value.parse().map_err(|_| {
            StatusError::bad_request(format!(
                "the query parameter {key} must be an integer, not {value:?}"
            ))
        });
        parsed.map(Some)
    }

    /// All values of a parameter that may be given several times.
    pub(crate) fn texts(self, key: &str) -> Vec<String> {
        query_values(self.0, key).map(Cow::into_owned).collect()
    }
}

/// Options of list, watch and deletecollection before they are turned to one of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    selection: Selection,
    resource_version: String,
    version_match: String,
    limit: usize,
    continue_token: Option<String>,
    bookmarks: bool,
    send_initial_events: Option<bool>,
    /// When a watch ends; `None` = the server decides.
    pub(crate) timeout_seconds: Option<u64>,
}

impl ListQuery {
    /// Reads the query; `fields` are the resource's selectable fields.
    pub(crate) fn parse(query: Query<'_>, fields: &[&str]) -> Result<Self, StatusError> {
        let continue_token = query.text("continue").into_owned();
        Ok(Self {
            selection: Selection {
                labels: selectors::labels(&query.text("labelSelector"))?,
                fields: selectors::fields(&query.text("fieldSelector"), fields)?,
            },
            resource_version: query.text("resourceVersion").into_owned(),
            version_match: query.text("resourceVersionMatch").into_owned(),
            // Below zero means the same as zero: no limit.
            limit: query
                .integer("limit")?
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(0),
            continue_token: (!continue_token.is_empty()).then_some(continue_token),
            bookmarks: query.boolean("allowWatchBookmarks").unwrap_or(false),
            send_initial_events: query.boolean("sendInitialEvents"),
            timeout_seconds: query
                .integer("timeoutSeconds")?
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|&seconds| seconds > 0),
        })
    }

    /// Demands a name, as the legacy watch of one object does.
    pub(crate) fn demand_name(&mut self, name: &str) {
        self.selection
            .fields
            .push(crate::storage::selection::FieldRequirement {
                field: "metadata.name".to_owned(),
                equal: true,
                value: name.to_owned(),
            });
    }

    /// The options of a list.
    pub(crate) fn into_list(self, namespace: Option<String>) -> Result<ListOptions, StatusError> {
        invalid("ListOptions", &self.list_errors())?;
        let version = self.list_version()?;
        Ok(ListOptions {
            namespace,
            selection: self.selection,
            version,
            limit: self.limit,
            continue_token: self.continue_token,
        })
    }

    fn list_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !self.version_match.is_empty() {
            let mut forbid = |why: &str| errors.push(FieldError::forbidden("resourceVersionMatch", why));
            if self.resource_version.is_empty() {
                forbid("may be set only together with resourceVersion");
            }
            if self.continue_token.is_some() {
                forbid("may not be set together with continue");
            }
            if self.version_match == "Exact" && self.resource_version == "0" {
                forbid("Exact needs a resourceVersion other than \"0\"");
            }
            errors.extend(self.unknown_match(&["Exact", "NotOlderThan"]));
        }
        if self.send_initial_events.is_some() {
            errors.push(FieldError::forbidden(
                "sendInitialEvents",
                "is for watches, not for lists",
            ));
        }
        errors
    }

    fn unknown_match(&self, known: &[&str]) -> Option<FieldError> {
        let value = self.version_match.as_str();
        (!known.contains(&value)).then(|| not_supported("resourceVersionMatch", value, known))
    }

    fn list_version(&self) -> Result<ListVersion, StatusError> {
        let freshness =
            freshness(&self.resource_version).map_err(|error| StatusError::bad_request(error.to_string()))?;
        if self.continue_token.is_some() {
            return match freshness {
                Freshness::Latest | Freshness::Any => Ok(ListVersion::Fresh(Freshness::Latest)),
                Freshness::NotOlderThan(_) => Err(StatusError::bad_request(
                    "specifying resource version is not allowed when using continue",
                )),
            };
        }
        Ok(match (freshness, self.version_match.as_str()) {
            // With a limit and no match, upstream has always meant exactly this version.
            (Freshness::NotOlderThan(version), "") if self.limit > 0 => ListVersion::Exact(version),
            (Freshness::NotOlderThan(version), "Exact") => ListVersion::Exact(version),
            (fresh, _) => ListVersion::Fresh(fresh),
        })
    }

    /// The options of a watch.
    pub(crate) fn into_watch(self, namespace: Option<String>) -> Result<WatchOptions, StatusError> {
        let mut errors = self.watch_errors();
        let freshness = freshness(&self.resource_version).map_err(|error| errors.push(error));
        invalid("ListOptions", &errors)?;
        // An error was pushed above, so the default is never used.
        let freshness = freshness.unwrap_or(Freshness::Latest);
        let start = match (self.send_initial_events, freshness) {
            (None | Some(false), Freshness::NotOlderThan(version)) => WatchStart::After(version),
            (Some(false), fresh) => WatchStart::Now(fresh),
            (None | Some(true), fresh) => WatchStart::InitialEvents(fresh),
        };
        Ok(WatchOptions {
            namespace,
            selection: self.selection,
            start,
            bookmarks: self.bookmarks,
        })
    }

    fn watch_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let asked = !self.version_match.is_empty();
        let mut forbid = |why: &str| errors.push(FieldError::forbidden("resourceVersionMatch", why));
        if self.send_initial_events.is_some() && self.version_match != "NotOlderThan" {
            forbid("sendInitialEvents needs resourceVersionMatch NotOlderThan");
        }
        if asked && self.send_initial_events.is_none() {
            forbid("may be set on a watch only together with sendInitialEvents");
        }
        if asked && self.continue_token.is_some() {
            forbid("may not be set together with continue");
        }
        errors.extend(self.unknown_match(&["NotOlderThan"]).filter(|_| asked));
        errors
    }
}

/// The freshness a `resourceVersion` asks for.
fn freshness(resource_version: &str) -> Result<Freshness, FieldError> {
    match resource_version {
        "" => Ok(Freshness::Latest),
        "0" => Ok(Freshness::Any),
        text => text
            .parse::<ResourceVersion>()
            .map(Freshness::NotOlderThan)
            .map_err(|error| FieldError::invalid("resourceVersion", format!("{text:?}"), error)),
    }
}

/// How fresh a get must be.
pub(crate) fn get_freshness(query: Query<'_>) -> Result<Freshness, StatusError> {
    if query.boolean("export").unwrap_or(false) {
        return Err(StatusError::bad_request(
            "the query parameter export is no longer supported: leave it out",
        ));
    }
    freshness(&query.text("resourceVersion")).map_err(|error| StatusError::bad_request(error.to_string()))
}

/// What is done about fields that the type does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped and the client is warned.
    Warn,
    /// The request is refused.
    Strict,
}

/// The options of create, update and patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteOptions {
    /// Nothing is stored.
    pub(crate) dry_run: bool,
    /// Who writes; empty = not given.
    pub(crate) field_manager: String,
    /// What is done about unknown fields.
    pub(crate) field_validation: FieldValidation,
}

impl WriteOptions {
    /// Reads the query; `kind` names the options in errors, such as `CreateOptions`.
    pub(crate) fn parse(query: Query<'_>, kind: &str) -> Result<Self, StatusError> {
        let mut errors = Vec::new();
        let dry_run = dry_run(&query.texts("dryRun"), &mut errors);
        let field_manager = query.text("fieldManager").into_owned();
        check_field_manager(&field_manager, &mut errors);
        let field_validation = match query.text("fieldValidation").as_ref() {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                errors.push(not_supported(
                    "fieldValidation",
                    other,
                    &["Ignore", "Strict", "Warn"],
                ));
                FieldValidation::Warn
            }
        };
        if kind == "PatchOptions" && query.boolean("force").is_some() {
            errors.push(FieldError::forbidden(
                "force",
                "may be set only on an apply patch",
            ));
        }
        invalid(kind, &errors)?;
        Ok(Self {
            dry_run,
            field_manager,
            field_validation,
        })
    }
}

fn check_field_manager(manager: &str, errors: &mut Vec<FieldError>) {
    if manager.chars().count() > FIELD_MANAGER_CHARACTERS_MAX {
        let message = format!("Too long: may not be more than {FIELD_MANAGER_CHARACTERS_MAX} characters");
        errors.push(FieldError::new("fieldManager", FieldErrorType::TooLong, message));
    }
    if manager.chars().any(char::is_control) {
        errors.push(FieldError::invalid(
            "fieldManager",
            format!("{manager:?}"),
            "may contain printable characters only",
        ));
    }
}

/// Whether nothing may be stored.
pub(crate) fn dry_run(values: &[String], errors: &mut Vec<FieldError>) -> bool {
    let unknown = values.iter().find(|value| *value != "All");
    errors.extend(unknown.map(|value| not_supported("dryRun", value, &["All"])));
    !values.is_empty()
}

/// A value that is none of the known ones.
pub(crate) fn not_supported(field: &str, value: &str, known: &[&str]) -> FieldError {
    let known: Vec<String> = known.iter().map(|value| format!("{value:?}")).collect();
    let message = format!(
        "Unsupported value: {value:?}: supported values: {}",
        known.join(", ")
    );
    FieldError::new(field, FieldErrorType::NotSupported, message)
}

/// Refuses options with errors.
pub(crate) fn invalid(kind: &str, errors: &[FieldError]) -> Result<(), StatusError> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(StatusError::invalid(META_GROUP, kind, "", errors))
}
