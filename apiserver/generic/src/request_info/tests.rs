//! Tables of request lines and what they ask, after the cases upstream decides.

use super::*;

fn parse(method: &str, uri: &str) -> RequestInfo {
    let method: Method = method.parse().expect("a method");
    RequestInfo::parse(&method, &uri.parse().expect("a URI")).expect("a request line")
}

/// method, URI, then: verb, namespace, resource, subresource, name.
type Row = (&'static str, &'static str, [&'static str; 5]);

fn check(rows: &[Row]) {
    for (method, uri, [verb, namespace, resource, subresource, name]) in rows {
        let info = parse(method, uri);
        assert!(info.is_resource_request, "{method} {uri}");
        assert_eq!(info.group, "g.io", "{method} {uri}");
        assert_eq!(info.version, "v1", "{method} {uri}");
        let found = [
            &info.verb,
            &info.namespace,
            &info.resource,
            &info.subresource,
            &info.name,
        ];
        assert_eq!(
            found.map(String::as_str),
            [*verb, *namespace, *resource, *subresource, *name],
            "{method} {uri}"
        );
    }
}

#[test]
fn c040_verb_follows_method_and_name() {
    check(&[
        ("GET", "/apis/g.io/v1/pods", ["list", "", "pods", "", ""]),
        ("HEAD", "/apis/g.io/v1/pods", ["list", "", "pods", "", ""]),
        ("GET", "/apis/g.io/v1/pods/", ["list", "", "pods", "", ""]),
        ("GET", "/apis/g.io/v1/pods/a", ["get", "", "pods", "", "a"]),
        (
            "GET",
            "/apis/g.io/v1/namespaces/n/pods",
            ["list", "n", "pods", "", ""],
        ),
        (
            "GET",
            "/apis/g.io/v1/namespaces/n/pods/a",
            ["get", "n", "pods", "", "a"],
        ),
        (
            "HEAD",
            "/apis/g.io/v1/namespaces/n/pods/a",
            ["get", "n", "pods", "", "a"],
        ),
        (
            "POST",
            "/apis/g.io/v1/namespaces/n/pods",
            ["create", "n", "pods", "", ""],
        ),
        (
            "PUT",
            "/apis/g.io/v1/namespaces/n/pods/a",
            ["update", "n", "pods", "", "a"],
        ),
        (
            "PATCH",
            "/apis/g.io/v1/namespaces/n/pods/a",
            ["patch", "n", "pods", "", "a"],
        ),
        (
            "DELETE",
            "/apis/g.io/v1/namespaces/n/pods/a",
            ["delete", "n", "pods", "", "a"],
        ),
        (
            "DELETE",
            "/apis/g.io/v1/namespaces/n/pods",
            ["deletecollection", "n", "pods", "", ""],
        ),
        (
            "DELETE",
            "/apis/g.io/v1/nodes",
            ["deletecollection", "", "nodes", "", ""],
        ),
        ("OPTIONS", "/apis/g.io/v1/pods", ["", "", "pods", "", ""]),
    ]);
}

#[test]
fn c040_subresources_and_segments_behind_them() {
    check(&[
        (
            "GET",
            "/apis/g.io/v1/namespaces/n/pods/a/status",
            ["get", "n", "pods", "status", "a"],
        ),
        (
            "POST",
            "/apis/g.io/v1/namespaces/n/pods/a/binding",
            ["create", "n", "pods", "binding", "a"],
        ),
        (
            "POST",
            "/apis/g.io/v1/pods/a/binding",
            ["create", "", "pods", "binding", "a"],
        ),
        (
            "GET",
            "/apis/g.io/v1/namespaces/n/pods/a/log/x/y",
            ["get", "n", "pods", "log", "a"],
        ),
        (
            "PUT",
            "/apis/g.io/v1/namespaces/n/status",
            ["update", "n", "namespaces", "status", "n"],
        ),
        (
            "PUT",
            "/apis/g.io/v1/namespaces/n/finalize",
            ["update", "n", "namespaces", "finalize", "n"],
        ),
        (
            "GET",
            "/apis/g.io/v1/namespaces/n",
            ["get", "n", "namespaces", "", "n"],
        ),
        (
            "GET",
            "/apis/g.io/v1/namespaces",
            ["list", "", "namespaces", "", ""],
        ),
    ]);
}

#[test]
fn c040_watch_by_parameter_and_by_legacy_prefix() {
    check(&[
        (
            "GET",
            "/apis/g.io/v1/pods?watch=true",
            ["watch", "", "pods", "", ""],
        ),
        ("GET", "/apis/g.io/v1/pods?watch=1", ["watch", "", "pods", "", ""]),
        ("GET", "/apis/g.io/v1/pods?watch", ["watch", "", "pods", "", ""]),
        (
            "GET",
            "/apis/g.io/v1/pods?watch=yes",
            ["watch", "", "pods", "", ""],
        ),
        ("GET", "/apis/g.io/v1/pods?watch=0", ["list", "", "pods", "", ""]),
        (
            "GET",
            "/apis/g.io/v1/pods?watch=FALSE",
            ["list", "", "pods", "", ""],
        ),
        (
            "GET",
            "/apis/g.io/v1/pods?watch=true&limit=many",
            ["watch", "", "pods", "", ""],
        ),
        (
            "GET",
            "/apis/g.io/v1/pods?watch=false&watch=true",
            ["list", "", "pods", "", ""],
        ),
        (
            "GET",
            "/apis/g.io/v1/namespaces/n/pods/a?watch=true",
            ["get", "n", "pods", "", "a"],
        ),
        ("GET", "/apis/g.io/v1/watch/pods", ["watch", "", "pods", "", ""]),
        (
            "GET",
            "/apis/g.io/v1/watch/namespaces/n/pods",
            ["watch", "n", "pods", "", ""],
        ),
        (
            "GET",
            "/apis/g.io/v1/watch/namespaces/n/pods/a",
            ["watch", "n", "pods", "", "a"],
        ),
        (
            "DELETE",
            "/apis/g.io/v1/watch/pods",
            ["watch", "", "pods", "", ""],
        ),
    ]);
}

#[test]
fn c040_field_selector_on_name_sets_the_name() {
    let list = |query: &str| parse("GET", &format!("/apis/g.io/v1/pods?{query}")).name;

    assert_eq!(list("fieldSelector=metadata.name=a"), "a");
    assert_eq!(list("fieldSelector=metadata.name%3Da"), "a");
    assert_eq!(list("fieldSelector=metadata.name==a"), "a");
    assert_eq!(list("watch=true&fieldSelector=metadata.name=a"), "a");
    assert_eq!(list("fieldSelector=status.phase=b,metadata.name=a"), "a");
    assert_eq!(
        list("fieldSelector=metadata.name=a&fieldSelector=metadata.name=b"),
        "a"
    );
    assert_eq!(list("fieldSelector=metadata.name=a%5C,b"), "a,b");
    assert_eq!(list("fieldSelector=,metadata.name=a,"), "a");

    assert_eq!(list("fieldSelector=metadata.name!=a"), "", "not equal is no name");
    assert_eq!(list("fieldSelector=metadata.name=a,broken"), "", "malformed");
    assert_eq!(list("fieldSelector=metadata.name=a=b"), "", "bare equals sign");
    assert_eq!(list("fieldSelector=metadata.name=a%5Cb"), "", "unknown escape");
    assert_eq!(list("fieldSelector=metadata.name=.."), "", "no path segment");
    assert_eq!(list("fieldSelector=metadata.name=a/b"), "", "no path segment");
    assert_eq!(list("fieldSelector=metadata.name=a%2525"), "", "no path segment");
    assert_eq!(
        list("fieldSelector=metadata.name=a&limit=many"),
        "",
        "another option is malformed"
    );
    assert_eq!(
        list("fieldSelector=metadata.name=a&timeoutSeconds="),
        "",
        "another option is malformed"
    );
    assert_eq!(list("fieldSelector=metadata.namespace=a"), "");
}

#[test]
fn c040_field_selector_sets_no_name_where_it_does_not_count() {
    let name = |method, uri| parse(method, uri).name;

    let collection = "/apis/g.io/v1/pods?fieldSelector=metadata.name=a";
    assert_eq!(name("DELETE", collection), "");
    assert_eq!(name("POST", collection), "");
    assert_eq!(
        name("GET", "/apis/g.io/v1/watch/pods?fieldSelector=metadata.name=a"),
        ""
    );
    assert_eq!(
        name("GET", "/apis/g.io/v1/pods/b?fieldSelector=metadata.name=a"),
        "b"
    );
}

#[test]
fn c040_paths_without_resource_have_the_method_as_verb() {
    let uris = [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/pods",
        "/apis",
        "/apis/g.io",
        "/apis/g.io/v1",
        "/apis/g.io/v1/",
        "/healthz",
        "/openapi/v3/apis/g.io/v1",
        "/not/g.io/v1/pods",
    ];
    for uri in uris {
        for (method, verb) in [
            ("GET", "get"),
            ("HEAD", "head"),
            ("POST", "post"),
            ("PATCH", "patch"),
        ] {
            let info = parse(method, uri);
            assert!(!info.is_resource_request, "{uri}");
            assert_eq!(info.verb, verb, "{uri}");
            assert_eq!(info.path, uri);
            assert_eq!(info.resource, "");
        }
    }
}

#[test]
fn c040_segments_are_percent_decoded_before_they_are_split() {
    let info = parse("GET", "/apis/g.io/v1/namespaces/n%2Fpods/a%20b");
    assert_eq!((info.namespace.as_str(), info.resource.as_str()), ("n", "pods"));
    assert_eq!(info.name, "a b");
}

#[test]
fn c040_empty_segments_are_kept() {
    let info = parse("GET", "/apis/g.io/v1/namespaces//pods/a");
    assert_eq!(
        (
            info.namespace.as_str(),
            info.resource.as_str(),
            info.name.as_str()
        ),
        ("", "pods", "a")
    );
}

#[test]
fn c040_legacy_watch_without_resource_is_an_error() {
    let uri = "/apis/g.io/v1/watch".parse().expect("a URI");
    let error = RequestInfo::parse(&Method::GET, &uri).expect_err("names no resource");
    assert!(error.to_string().contains("/apis/g.io/v1/watch"), "{error}");
}

#[test]
fn only_watches_and_followed_logs_are_long_running() {
    let long_running = |method, uri| parse(method, uri).is_long_running();

    assert!(long_running("GET", "/apis/g.io/v1/pods?watch=1"));
    assert!(long_running(
        "GET",
        "/apis/g.io/v1/namespaces/n/pods/a/log?follow=true"
    ));

    assert!(!long_running("GET", "/apis/g.io/v1/namespaces/n/pods/a/log"));
    assert!(!long_running(
        "GET",
        "/apis/g.io/v1/namespaces/n/pods/a/log?follow=false"
    ));
    assert!(!long_running(
        "POST",
        "/apis/g.io/v1/namespaces/n/pods/a/log?follow=true"
    ));
    assert!(!long_running("GET", "/apis/g.io/v1/pods"));
    assert!(!long_running("GET", "/healthz?watch=true"));
}

#[test]
fn query_values_decode_and_drop_what_cannot_be_decoded() {
    let values = |query| {
        query_values(Some(query), "a")
            .map(Cow::into_owned)
            .collect::<Vec<_>>()
    };

    assert_eq!(values("a=1&b=2&a=x+y%2Bz&%61=3&a"), ["1", "x y+z", "3", ""]);
    assert!(values("a=%FF&a;b=1&b=a").is_empty());
    assert_eq!(query_values(None, "a").count(), 0);
}
