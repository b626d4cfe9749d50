//! Which form of an answer the client wants.
//!
//! Upstream concept: `k8s.io/apiserver/pkg/endpoints/handlers/negotiation`. The forms are JSON, and JSON
//! transformed to a Table or to metadata alone. Left out: protobuf, CBOR and YAML answers; a client that
//! lists them before JSON gets JSON.

use http::header::{ACCEPT, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use super::StatusError;
use super::options::Query;

const META_V1: &str = "meta.k8s.io/v1";
const META_V1BETA1: &str = "meta.k8s.io/v1beta1";

/// The kind the client wants an object or list turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    /// The object as it is.
    None,
    /// `as=Table`.
    Table,
    /// `as=PartialObjectMetadata`.
    PartialObjectMetadata,
    /// `as=PartialObjectMetadataList`.
    PartialObjectMetadataList,
}

impl Transform {
    /// What resources offer. The shape is checked when the answer is written: a list cannot be turned into
    /// one object's metadata, and clients must be told so.
    pub(crate) const ALL: [Self; 3] = [
        Self::Table,
        Self::PartialObjectMetadata,
        Self::PartialObjectMetadataList,
    ];
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// The kind.
    pub(crate) transform: Transform,
    /// Group and version of a transformed answer.
    pub(crate) meta_api_version: &'static str,
    /// Indented, for people.
    pub(crate) pretty: bool,
}

/// One clause of an Accept header.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clause<'h> {
    media_type: &'h str,
    parameters: Vec<(&'h str, &'h str)>,
    quality: f32,
}

impl Clause<'_> {
    /// Whether the clause asks for this type of content or any.
    fn accepts_json(&self) -> bool {
        let media_type = self.media_type.to_ascii_lowercase();
        matches!(
            media_type.as_str(),
            "application/json" | "application/*" | "*/*" | "*"
        )
    }

    /// The value of a parameter; empty = not given.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let found = self
            .parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn wildcards(&self) -> usize {
        self.media_type.matches('*').count()
    }
}

/// The clauses that JSON satisfies, the most wanted first; all equal when there is no header.
pub(crate) fn json_clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let header: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if header.iter().all(|value| value.trim().is_empty()) {
        return vec![clause("*/*")];
    }
    let mut clauses: Vec<Clause<'_>> = header
        .iter()
        .flat_map(|value| value.split(','))
        .filter(|text| !text.trim().is_empty())
        .map(clause)
        .filter(|clause| clause.quality > 0.0 && clause.accepts_json())
        .collect();
    // The sort is stable: among equals the order of the client decides.
    clauses.sort_by(|a, b| {
        b.quality
            .total_cmp(&a.quality)
            .then(a.wildcards().cmp(&b.wildcards()))
    });
    clauses
}

fn clause(text: &str) -> Clause<'_> {
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let parameters: Vec<_> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
        .collect();
    let quality = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case("q"));
    let quality = quality.map_or(Some(1.0), |(_, value)| value.parse().ok());
    Clause {
        media_type,
        quality: quality.unwrap_or(1.0),
        parameters,
    }
}

/// Chooses among the forms in `allowed`; [`Transform::None`] is always allowed.
pub(crate) fn negotiate(parts: &Parts, allowed: &[Transform]) -> Result<Negotiated, StatusError> {
    let clauses = json_clauses(&parts.headers);
    clauses
        .iter()
        .find_map(|clause| {
            form(clause, allowed).map(|(transform, meta_api_version)| (clause, transform, meta_api_version))
        })
        .map(|(clause, transform, meta_api_version)| Negotiated {
            transform,
            meta_api_version,
            pretty: wants_pretty(parts, clause),
        })
        .ok_or_else(|| not_acceptable("application/json"))
}

/// The transform a clause asks for, if it is one of the allowed.
fn form(clause: &Clause<'_>, allowed: &[Transform]) -> Option<(Transform, &'static str)> {
    let transform = match clause.parameter("as") {
        "" => return Some((Transform::None, META_V1)),
        "Table" => Transform::Table,
        "PartialObjectMetadata" => Transform::PartialObjectMetadata,
        "PartialObjectMetadataList" => Transform::PartialObjectMetadataList,
        _ => return None,
    };
    let version = match (clause.parameter("g"), clause.parameter("v")) {
        ("meta.k8s.io", "v1") => META_V1,
        ("meta.k8s.io", "v1beta1") => META_V1BETA1,
        _ => return None,
    };
    allowed.contains(&transform).then_some((transform, version))
}

/// No clause of the Accept header can be satisfied.
pub(crate) fn not_acceptable(offered: &str) -> StatusError {
    let message = format!("only the following media types are accepted: {offered}");
    StatusError::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
}

/// People read what curl, wget and browsers show.
fn wants_pretty(parts: &Parts, clause: &Clause<'_>) -> bool {
    if let Some(asked) = Query::of(parts).boolean("pretty") {
        return asked;
    }
    let agent = parts
        .headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    clause.parameter("pretty") == "1"
        || ["curl", "Wget", "Mozilla/5.0"]
            .iter()
            .any(|name| agent.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Transform::{None as Plain, PartialObjectMetadata, Table};

    fn parts(accept: &str) -> Parts {
        http::Request::get("/")
            .header(ACCEPT, accept)
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    fn chosen(accept: &str) -> Result<Transform, u16> {
        negotiate(&parts(accept), &[Table, PartialObjectMetadata])
            .map(|negotiated| negotiated.transform)
            .map_err(|error| error.code().as_u16())
    }

    #[test]
    fn json_is_the_default() {
        for accept in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "application/json; charset=utf-8",
        ] {
            assert_eq!(chosen(accept), Ok(Plain), "{accept}");
        }
    }

    #[test]
    fn first_satisfiable_clause_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(chosen(kubectl), Ok(Table));
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
        assert_eq!(chosen(metadata), Ok(PartialObjectMetadata));
        assert_eq!(
            chosen("application/json;as=Other;g=meta.k8s.io;v=v1,application/json"),
            Ok(Plain)
        );
        assert_eq!(chosen("application/json;as=Table;g=meta.k8s.io;v=v2"), Err(406));
    }

    #[test]
    fn quality_orders_clauses() {
        let accept = "application/json;q=0.5,application/json;as=Table;g=meta.k8s.io;v=v1;q=0.9";
        assert_eq!(chosen(accept), Ok(Table));
        assert_eq!(
            chosen("*/*,application/json;as=Table;g=meta.k8s.io;v=v1"),
            Ok(Table)
        );
        assert_eq!(chosen("application/json;q=0"), Err(406));
    }

    #[test]
    fn other_types_are_not_acceptable() {
        for accept in [
            "text/html",
            "application/vnd.kubernetes.protobuf",
            "application/json;as=Table;g=x;v=v1",
        ] {
            assert_eq!(chosen(accept), Err(406), "{accept}");
        }
    }
}
