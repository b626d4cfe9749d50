//! Who the server says it is, and requests as the aggregator passes them on.

use std::sync::Arc;

use brokkr_certs::{CertificateAuthority, Validity};
use http::Method;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::config;
use crate::server::{N, Server};
use crate::serving::Pki;

/// Whether a client that trusts this CA takes the server for the one of this name.
async fn trusts(server: &Server, ca: &str, name: &str) -> bool {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config(ca, &Pki::shared().jane)));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    connector.connect(name, stream).await.is_ok()
}

#[tokio::test]
async fn c002_another_name_or_another_authority_is_not_trusted() {
    let server = Server::start().await;
    let bundle = Pki::shared().ca.as_str();
    assert!(trusts(&server, bundle, "api.brokkr.svc").await);
    for name in ["other.brokkr.svc", "api.other.svc", "example.com"] {
        assert!(!trusts(&server, bundle, name).await, "{name}");
    }
    let stranger = CertificateAuthority::create("stranger", Validity::authority_default()).unwrap();
    let stranger = stranger.certificate_pem().unwrap();
    assert!(!trusts(&server, &stranger, "api.brokkr.svc").await);
    let rotating = format!("{stranger}{bundle}");
    assert!(
        trusts(&server, &rotating, "api.brokkr.svc").await,
        "old and new authority together"
    );
}

#[tokio::test]
async fn c009_query_encoded_anew_and_foreign_host_are_no_matter() {
    let server = Server::start().await;
    server.create_labeled("a", json!({"env": "dev"})).await;
    server.create_labeled("b", json!({"env": "prod"})).await;
    // The aggregator sorts the keys and encodes in its own way.
    for query in [
        "labelSelector=env+in+%28dev%29&limit=5",
        "labelSelector=env%20in%20(dev)&limit=5&limit=9",
    ] {
        assert_eq!(
            server.client.get(&format!("{N}?{query}")).await.names(),
            ["a"],
            "{query}"
        );
    }
    let forwarded = server
        .client
        .call(Method::GET, N)
        .header("x-forwarded-for", "10.0.0.1");
    let answer = forwarded
        .header("x-forwarded-host", "hub.example.com")
        .send()
        .await;
    assert_eq!(answer.names(), ["a", "b"]);
    assert!(
        !answer.text.contains("api.brokkr.svc"),
        "no address of the server's own in an answer"
    );
}
