//! Orders whose manifests are refused: Secrets in every dress, too many, too large.

use serde_json::{Value, json};

use crate::client::Call;
use crate::orders::create;
use crate::refusal::{FORBIDDEN, REQUIRED, TOO_LONG, TOO_MANY, all_refused, row};
use crate::server::{ORDERS, Server, order, order_path};

/// The manifest of a ConfigMap.
pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

/// Secrets in every dress that applying would see through, and where each of them is.
fn secrets() -> Vec<(&'static str, Value, &'static str)> {
    let secret = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "s"}});
    let list = |kind: &str, items: Vec<Value>| json!({"apiVersion": "v1", "kind": kind, "items": items});
    let at = "spec.manifests[0]";
    vec![
        ("plain", secret("v1", "Secret"), at),
        ("lower case", secret("v1", "secret"), at),
        ("upper case", secret("V1", "SECRET"), at),
        ("blanks behind the kind", secret("v1", "Secret  "), at),
        ("blanks and line ends", secret(" v1\n", "\tSecret\n"), at),
        ("an empty group", secret("/v1", "Secret"), at),
        ("another version", secret("v1beta9", "Secret"), at),
        ("a list of Secrets", list("SecretList", vec![]), at),
        (
            "a list of Secrets in odd case",
            list("secretlist", vec![secret("v1", "Secret")]),
            at,
        ),
        (
            "in a list",
            list("List", vec![config_map("c"), secret("v1", "Secret")]),
            "spec.manifests[0].items[1]",
        ),
        (
            "in a list in odd case",
            list("lIST", vec![secret("V1", "sECRET")]),
            "spec.manifests[0].items[0]",
        ),
        (
            "in a list with blanks",
            list("List ", vec![secret("v1", "Secret")]),
            "spec.manifests[0].items[0]",
        ),
        (
            "in a list of another kind",
            list("ConfigMapList", vec![secret("v1", "Secret")]),
            "spec.manifests[0].items[0]",
        ),
        (
            "in a list in a list",
            list(
                "List",
                vec![list("List", vec![list("list", vec![secret("v1 ", "secret")])])],
            ),
            "spec.manifests[0].items[0].items[0].items[0]",
        ),
    ]
}

#[tokio::test]
async fn secrets_are_refused_in_every_dress_and_their_place_is_named() {
    let server = Server::start().await;
    server.create("stored", json!({})).await;
    let mut rows = Vec::new();
    for (name, manifest, place) in secrets() {
        let says = format!(
            "{place}: Forbidden: Secrets are not accepted; create the Secret in the agent's cluster and refer to it by name"
        );
        let spec = json!({"manifests": [manifest]});
        rows.push(create(name, spec.clone()).invalid(place, FORBIDDEN).says(&says));
        let yaml = serde_json::to_string(&order("a", spec)).unwrap();
        let yaml = Call::new(http::Method::POST, ORDERS).typed("application/yaml", yaml);
        rows.push(
            row(format!("{name}, as YAML"), yaml)
                .invalid(place, FORBIDDEN)
                .says(says),
        );
    }
    for text in ["kind: Secret\napiVersion: v1", "{\"kind\":\"Secret\"}"] {
        let refused = row(
            "as text",
            Call::post(ORDERS, &order("a", json!({"manifests": [text]}))),
        );
        rows.push(refused.says("spec.manifests[0]: invalid type: string"));
    }
    // Not by the back door either: manifests cannot be changed at all, nor through the status.
    let secret = json!([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]);
    rows.push(
        row(
            "by a patch",
            Call::merge(order_path("stored"), &json!({"spec": {"manifests": secret}})),
        )
        .invalid("spec.manifests[0]", FORBIDDEN)
        .invalid("spec.manifests", FORBIDDEN),
    );
    all_refused(&server, &server.ada, rows).await;
}

#[tokio::test]
async fn manifests_are_counted_and_weighed() {
    let server = Server::start().await;
    let many = |count: usize| {
        (0..count)
            .map(|n| config_map(&format!("c{n}")))
            .collect::<Vec<_>>()
    };
    let mut large = config_map("c");
    large["data"] = json!({"a": "x".repeat(1 << 20)});
    let bytes = serde_json::to_vec(&json!([large])).unwrap().len();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let mut elsewhere = config_map("c");
    elsewhere["metadata"]["namespace"] = json!("team-b");
    let rows = vec![
        create("too many", json!({"manifests": many(65)}))
            .invalid("spec.manifests", TOO_MANY)
            .says("Too many: 65: must have at most 64 items"),
        create(
            "too many in a list",
            json!({"manifests": [{"apiVersion": "v1", "kind": "List", "items": many(65)}]}),
        )
        .invalid("spec.manifests", TOO_MANY)
        .says("Too many: 65: must have at most 64 items"),
        create("too large", json!({"manifests": [large]}))
            .invalid("spec.manifests", TOO_LONG)
            .says(format!("may not be more than 1048576 bytes, it has {bytes}")),
        create("of the cluster", json!({"manifests": [namespace]}))
            .invalid("spec.manifests[0]", FORBIDDEN)
            .says("Namespace is cluster-scoped"),
        create("of another namespace", json!({"manifests": [elsewhere]}))
            .invalid("spec.manifests[0].metadata.namespace", FORBIDDEN)
            .says("must be team-a, the namespace of the order, or left out"),
        create("of no kind", json!({"manifests": [{}]}))
            .invalid("spec.manifests[0].apiVersion", REQUIRED)
            .invalid("spec.manifests[0].kind", REQUIRED),
        create(
            "of no name",
            json!({"manifests": [{"apiVersion": "v1", "kind": "ConfigMap"}]}),
        )
        .invalid("spec.manifests[0].metadata.name", REQUIRED),
    ];
    all_refused(&server, &server.ada, rows).await;
    server.create("the-most", json!({"manifests": many(64)})).await;
}
