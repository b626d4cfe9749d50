//! What a request is counted as. Every part comes from a small closed set: the resources served, the
//! paths served, and upstream's verbs and scopes. What clients make up is counted as one.

use http::header::CONTENT_TYPE;
use http::request::Parts;

use super::series::SeriesLabels;
use crate::endpoints::ServedResource;
use crate::request_info::{RequestInfo, query_values};

/// Paths that are no resource and are told apart; others share an empty subresource.
const PATHS: [&str; 8] = [
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/readyz",
    "/version",
];

/// Stands for every resource that is not served.
const UNKNOWN: &str = "unknown";

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Route {
    target: Target,
    verb: &'static str,
    scope: &'static str,
    dry_run: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Target {
    /// The place in the list of resources.
    Resource(usize),
    UnknownResource,
    Path(&'static str),
}

/// Finds the route of a request.
#[derive(Debug)]
pub(super) struct Routes {
    /// Sorted.
    served: Vec<ServedResource>,
}

impl Routes {
    pub(super) fn new(mut served: Vec<ServedResource>) -> Self {
        served.sort_unstable();
        served.dedup();
        Self { served }
    }

    pub(super) fn of(&self, info: &RequestInfo, parts: &Parts) -> Route {
        Route {
            target: self.target(info),
            verb: verb(info, parts),
            scope: scope(info),
            dry_run: dry_run(parts.uri.query()),
        }
    }

    fn target(&self, info: &RequestInfo) -> Target {
        if !info.is_resource_request {
            let path = info.path.trim_end_matches('/');
            let known = PATHS.into_iter().find(|known| {
                path.strip_prefix(known)
                    .is_some_and(|below| below.is_empty() || below.starts_with('/'))
            });
            return Target::Path(known.unwrap_or_default());
        }
        let asked = (
            info.resource.as_str(),
            info.subresource.as_str(),
            info.group.as_str(),
            info.version.as_str(),
        );
        let found = self
            .served
            .binary_search_by(|served| served.as_tuple().cmp(&asked));
        found.map_or(Target::UnknownResource, Target::Resource)
    }

    pub(super) fn labels(&self, route: Route) -> SeriesLabels {
        let mut labels = SeriesLabels::new(route.verb, route.scope, route.dry_run);
        match route.target {
            Target::Resource(place) => {
                let served = &self.served[place];
                labels.group.clone_from(&served.group);
                labels.version.clone_from(&served.version);
                labels.resource.clone_from(&served.resource);
                labels.subresource.clone_from(&served.subresource);
            }
            Target::UnknownResource => UNKNOWN.clone_into(&mut labels.resource),
            Target::Path(path) => path.clone_into(&mut labels.subresource),
        }
        labels
    }
}

/// Upstream's verb: the method, but for lists, watches, server-side apply and streams.
fn verb(info: &RequestInfo, parts: &Parts) -> &'static str {
    if info.subresource == "log" && info.verb == "get" {
        return "CONNECT";
    }
    match (info.is_resource_request, info.verb.as_str()) {
        (true, "list") => "LIST",
        (true, "watch") => "WATCH",
        (true, "get") | (false, "get" | "head") => "GET",
        (true, "create") | (false, "post") => "POST",
        (true, "update") | (false, "put") => "PUT",
        (true, "patch") if is_apply(parts) => "APPLY",
        (_, "patch") => "PATCH",
        (true, "deletecollection") | (_, "delete") => "DELETE",
        _ => "other",
    }
}

fn is_apply(parts: &Parts) -> bool {
    let content_type = parts.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    content_type.is_some_and(|text| text.starts_with(b"application/apply-patch"))
}

fn scope(info: &RequestInfo) -> &'static str {
    match info {
        info if !info.is_resource_request => "",
        info if info.verb == "create" => "resource",
        info if !info.name.is_empty() && !matches!(info.verb.as_str(), "list" | "watch") => "resource",
        info if !info.namespace.is_empty() => "namespace",
        _ => "cluster",
    }
}

fn dry_run(query: Option<&str>) -> &'static str {
    let mut given = query_values(query, "dryRun");
    match given.next() {
        None => "",
        Some(first) if first == "All" && given.all(|value| value == "All") => "All",
        Some(_) => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::{Method, Request};

    use super::*;

    fn routes() -> Routes {
        let served = |resource: &str, subresource: &str| ServedResource {
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            group: "g.io".to_owned(),
            version: "v1".to_owned(),
        };
        Routes::new(vec![
            served("flunders", "status"),
            served("flunders", ""),
            served("flunders", "log"),
        ])
    }

    fn labels(method: &str, uri: &str, content_type: &str) -> SeriesLabels {
        let routes = routes();
        routes.labels(route(&routes, method, uri, content_type))
    }

    fn route(routes: &Routes, method: &str, uri: &str, content_type: &str) -> Route {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header(CONTENT_TYPE, content_type).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let info = RequestInfo::parse(&parts.method, &parts.uri).unwrap();
        routes.of(&info, &parts)
    }

    #[test]
    fn c084_request_is_counted_under_upstreams_labels() {
        let all = "/apis/g.io/v1/flunders";
        let own = "/apis/g.io/v1/namespaces/n/flunders";
        let one = &format!("{own}/a");
        let rows = [
            ("GET", one.clone(), "GET", "resource"),
            ("HEAD", one.clone(), "GET", "resource"),
            ("GET", own.to_owned(), "LIST", "namespace"),
            ("GET", format!("{all}?watch=1"), "WATCH", "cluster"),
            (
                "GET",
                format!("{own}?watch=1&fieldSelector=metadata.name%3Da"),
                "WATCH",
                "namespace",
            ),
            ("POST", own.to_owned(), "POST", "resource"),
            ("PUT", one.clone(), "PUT", "resource"),
            ("PATCH", one.clone(), "PATCH", "resource"),
            ("DELETE", one.clone(), "DELETE", "resource"),
            ("DELETE", own.to_owned(), "DELETE", "namespace"),
            ("GET", format!("{one}/log"), "CONNECT", "resource"),
        ];
        for (method, uri, verb, scope) in rows {
            let labels = labels(method, &uri, "application/json");
            assert_eq!((labels.verb, labels.scope), (verb, scope), "{method} {uri}");
            assert_eq!(
                (labels.group.as_str(), labels.resource.as_str()),
                ("g.io", "flunders")
            );
        }
        assert_eq!(labels("PATCH", one, "application/apply-patch+yaml").verb, "APPLY");
        assert_eq!(labels("PUT", &format!("{one}/status"), "").subresource, "status");
        for (query, dry_run) in [
            ("", ""),
            ("?dryRun=All", "All"),
            ("?dryRun=All&dryRun=All", "All"),
            ("?dryRun=Some", "invalid"),
            ("?dryRun=", "invalid"),
        ] {
            assert_eq!(labels("POST", &format!("{own}{query}"), "").dry_run, dry_run);
        }
    }

    #[test]
    fn c084_what_clients_make_up_makes_no_series() {
        let routes = routes();
        let mut seen = HashSet::new();
        for made_up in 0..1000 {
            for uri in [
                format!("/apis/g.io/v1/made{made_up}"),
                format!("/apis/g.io/v{made_up}/flunders"),
                format!("/apis/g.io/v1/namespaces/n/flunders/a/sub{made_up}"),
                format!("/made/{made_up}"),
                format!("/metrics/{made_up}"),
                format!("/apis/g.io/v1/namespaces/n{made_up}/flunders/a{made_up}?dryRun={made_up}"),
            ] {
                let method = Method::from_bytes(format!("M{made_up}").as_bytes()).unwrap();
                for method in ["GET", "POST", method.as_str()] {
                    seen.insert(route(&routes, method, &uri, ""));
                }
            }
        }
        assert!(seen.len() < 30, "{seen:?}");
        let unknown = labels("GET", "/apis/g.io/v1/made-up", "");
        assert_eq!((unknown.group.as_str(), unknown.resource.as_str()), ("", UNKNOWN));
        assert_eq!(labels("GET", "/livez/ping", "").subresource, "/livez");
    }
}
