//! TLS, protocols and redirects.

use std::sync::Arc;
use std::time::Duration;

use generic_apiserver::authentication::AuthenticationConfig;
use generic_apiserver::server::{ServingCertificate, ServingOptions};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use rustls::ProtocolVersion;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::client::{BOTH, Protocol};
use crate::pki::{Pki, issue};
use crate::server::{Setup, TestServer, eventually};

const FLUNDERS: &str = "/apis/g.io/v1/flunders";

#[tokio::test]
async fn c004_protocol_is_chosen_by_alpn() {
    let server = TestServer::start().await;
    for (protocol, agreed) in [
        (Protocol::Http1, Some(b"http/1.1".to_vec())),
        (Protocol::Http2, Some(b"h2".to_vec())),
        (Protocol::NoAlpn, None),
    ] {
        let mut connection = server.client(protocol).connect().await;
        assert_eq!(connection.tls.alpn, agreed);
        assert_eq!(connection.get("/livez").await.text, "ok", "{protocol:?}");
    }
}

#[tokio::test]
async fn c004_tls_1_2_and_1_3_are_served() {
    let server = TestServer::start().await;
    let client = server.client(Protocol::Http2);
    for (version, agreed) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut connection = client
            .try_connect(client.config_of(&[version]))
            .await
            .expect("connects");
        assert_eq!(connection.tls.version, agreed);
        assert_eq!(connection.get("/livez").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn c003_unknown_client_certificate_is_401_and_no_tls_alert() {
    let server = TestServer::start().await;
    let stranger = issue(&server.pki.stranger, "mallory", &["system:masters"]);
    for protocol in BOTH {
        let answer = server.client(protocol).with(&stranger).get(FLUNDERS).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json()["reason"], "Unauthorized");
        assert_eq!(answer.json()["kind"], "Status");
    }
}

/// Presents a certificate with the key of another one.
#[derive(Debug)]
struct Stolen(Arc<CertifiedKey>);

impl ResolvesClientCert for Stolen {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn c003_certificate_without_its_key_fails_the_handshake() {
    // Given the certificate of the aggregator, but not its key.
    let server = TestServer::start().await;
    let stolen = server.pki.aggregator();
    let own = issue(&server.pki.stranger, "mallory", &[]);
    let chain = CertificateDer::from_pem_slice(stolen.certificate_pem().as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(own.private_key_pem().as_bytes()).expect("PEM");
    let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("a key");
    let pair = Arc::new(CertifiedKey::new(vec![chain], key));

    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for protocol in BOTH {
            let client = server.client(protocol);
            let mut config = client.config_of(&[version]);
            config.client_auth_cert_resolver = Arc::new(Stolen(Arc::clone(&pair)));

            // When it is presented, then no request is ever answered. In TLS 1.3 the client learns it
            // only with its first request.
            if let Ok(mut connection) = client.try_connect(config).await {
                let headers = [("x-remote-user", "admin"), ("x-remote-group", "system:masters")];
                let answer = connection.open(Method::GET, FLUNDERS, &headers).await;
                assert!(answer.is_err(), "{protocol:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn c005_one_connection_carries_a_thousand_streams() {
    // hyper's default is 200; the aggregator sends all users' watches over one connection.
    let server = TestServer::start().await;
    let client = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "jane", &[]));
    let mut connection = client.connect().await;
    let mut open = Vec::new();
    for _ in 0..1000 {
        let path = "/apis/g.io/v1/flunders?watch=true&fieldSelector=metadata.name=quiet";
        let watch = connection.open(Method::GET, path, &[]);
        let response = tokio::time::timeout(Duration::from_secs(10), watch)
            .await
            .expect("a stream is free");
        open.push(response.expect("a watch"));
    }
    assert_eq!(open.len(), 1000);
}

#[tokio::test]
async fn c005_hundreds_of_group_headers_are_read() {
    let server = TestServer::start().await;
    let groups: Vec<String> = (0..2000).map(|number| format!("group-{number}")).collect();
    let mut headers = vec![("x-remote-user", "jane")];
    headers.extend(groups.iter().map(|group| ("x-remote-group", group.as_str())));
    for protocol in BOTH {
        let client = server.client(protocol).with(&server.pki.aggregator());
        let answer = client.request(Method::GET, FLUNDERS, &headers).await;
        assert_eq!(
            answer.json()["user"]["groups"].as_array().map(Vec::len),
            Some(2001),
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn c005_headers_above_one_mebibyte_are_refused() {
    let server = TestServer::start().await;
    let large = "x".repeat(600 << 10);
    let headers = [("x-a", large.as_str()), ("x-b", large.as_str())];
    for protocol in BOTH {
        let mut connection = server.client(protocol).connect().await;
        if let Ok(response) = connection.open(Method::GET, "/livez", &headers).await {
            let expected = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            assert_eq!(response.status(), expected, "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn c005_peer_that_never_shakes_hands_is_dropped() {
    let server = TestServer::start().await;
    let mut silent = TcpStream::connect(server.address).await.expect("connects");
    let mut byte = [0];
    let limit = Duration::from_secs(15);
    let read = tokio::time::timeout(limit, silent.read(&mut byte))
        .await
        .expect("closed within the limit");
    assert_eq!(read.unwrap_or(0), 0, "closed without a byte");
}

#[tokio::test]
async fn c006_serving_certificate_is_replaced_without_restart() {
    // Given a server that reads its certificate from files.
    let pki = Pki::create();
    let directory = std::env::temp_dir().join(format!("serving-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&directory).expect("a directory");
    pki.serving_certificate()
        .write(&directory, "tls")
        .expect("written");
    let files = ServingCertificate::Files {
        certificate: directory.join("tls.crt"),
        private_key: directory.join("tls.key"),
    };
    let setup = Setup {
        options: Box::new(|options| {
            options.certificate = files;
            options.certificate_reload_interval = Duration::from_millis(30);
        }),
        ..Setup::default()
    };
    let server = TestServer::on(pki, setup).await;
    let client = server.client(Protocol::Http1);
    let mut old = client.connect().await;
    let first = old.tls.server_certificate.clone();

    // When the key is replaced alone, then the old pair stays.
    let second = server.pki.serving_certificate();
    std::fs::write(directory.join("tls.key"), second.private_key_pem()).expect("written");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(client.connect().await.tls.server_certificate, first);

    // When the certificate follows, then new connections see the new pair and old ones live on.
    std::fs::write(directory.join("tls.crt"), second.certificate_pem()).expect("written");
    eventually("the new certificate", async || {
        client.connect().await.tls.server_certificate != first
    })
    .await;
    assert_eq!(old.get("/livez").await.status, StatusCode::OK);
    std::fs::remove_dir_all(&directory).expect("removed");
}

#[tokio::test]
async fn c007_no_answer_is_a_redirect() {
    let server = TestServer::start().await;
    let client = server
        .client(Protocol::Http2)
        .with(&issue(&server.pki.client, "jane", &[]));
    let mut connection = client.connect().await;
    for path in [
        "/apis/g.io/v1/flunders/",
        "/livez/",
        "/version/",
        "/apis/",
        "//apis",
        "/apis/g.io/v1//flunders",
    ] {
        let answer = connection.get(path).await;
        assert!(!answer.status.is_redirection(), "{path}: {answer:?}");
        assert_eq!(answer.header("location"), "", "{path}");
    }
}

#[tokio::test]
async fn c008_frames_of_a_stream_arrive_one_by_one() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let client = server
            .client(protocol)
            .with(&issue(&server.pki.client, "jane", &[]));
        let mut connection = client.connect().await;
        let watch = connection
            .open(Method::GET, "/apis/g.io/v1/flunders?watch=1", &[])
            .await;
        let mut body = watch.expect("a watch").into_body();
        for tick in 0..3 {
            let frame = body.frame().await.expect("goes on").expect("no error");
            let line = frame.into_data().expect("data");
            assert_eq!(line, format!("{{\"tick\":{tick}}}\n"), "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn c069_head_is_answered_without_body() {
    let server = TestServer::start().await;
    for protocol in BOTH {
        let mut connection = server
            .client(protocol)
            .with(&issue(&server.pki.client, "jane", &[]))
            .connect()
            .await;
        let got = connection.get("/apis/g.io/v1/flunders/a").await;
        let head = connection
            .request(Method::HEAD, "/apis/g.io/v1/flunders/a", &[])
            .await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.text, "");
        assert!(!got.text.is_empty());
        assert!(head.header("content-length").parse::<usize>().expect("a length") > 0);
        assert_eq!(
            connection.get("/livez").await.text,
            "ok",
            "the connection is intact"
        );
    }
}

#[tokio::test]
async fn c003_resumed_session_is_verified_again() {
    // Given a session of the aggregator that was believed.
    let server = TestServer::start().await;
    let claim = [("x-remote-user", "jane")];
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = server.client(Protocol::Http2).with(&server.pki.aggregator());
        let config = client.config_of(&[version]);
        let mut first = client.try_connect(config.clone()).await.expect("connects");
        assert_eq!(
            first.request(Method::GET, FLUNDERS, &claim).await.status,
            StatusCode::OK
        );

        // When it is resumed, then the certificate is still known, and still verified per request.
        let mut resumed = client.try_connect(config).await.expect("connects");
        assert!(resumed.tls.resumed, "{version:?}");
        assert_eq!(
            resumed.request(Method::GET, FLUNDERS, &claim).await.status,
            StatusCode::OK
        );
        let before = server.config.load().as_ref().clone();
        server.config.store(AuthenticationConfig::default());
        let answer = resumed.request(Method::GET, FLUNDERS, &claim).await;
        assert_eq!(answer.json()["user"]["name"], "system:anonymous", "{version:?}");
        server.config.store(before);
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let setup = Setup {
        options: Box::new(|options| options.max_connections = 1),
        ..Setup::default()
    };
    let server = TestServer::with(setup).await;
    let client = server.client(Protocol::Http1);
    let mut first = client.connect().await;
    assert_eq!(first.get("/livez").await.status, StatusCode::OK);

    let mut second = std::pin::pin!(client.get("/livez"));
    let early = tokio::time::timeout(Duration::from_millis(200), second.as_mut()).await;
    assert!(early.is_err(), "no place yet");
    drop(first);
    let answer = tokio::time::timeout(Duration::from_secs(5), second)
        .await
        .expect("a place");
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_by_name() {
    let pem = |certificate: &str, private_key: &str| ServingCertificate::Pem {
        certificate: certificate.to_owned(),
        private_key: private_key.to_owned(),
    };
    let pki = Pki::create();
    let (one, other) = (pki.serving_certificate(), pki.serving_certificate());
    let good = pem(one.certificate_pem(), one.private_key_pem());
    let mut zero = ServingOptions::new(good.clone());
    zero.max_connections = 0;
    assert!(
        zero.complete()
            .expect_err("zero")
            .to_string()
            .contains("max_connections")
    );

    for (certificate, part) in [
        (
            pem(one.certificate_pem(), other.private_key_pem()),
            "serving certificate",
        ),
        (pem(one.certificate_pem(), "nothing"), "private key"),
        (pem("nothing", one.private_key_pem()), "serving certificate"),
        (
            ServingCertificate::Files {
                certificate: "/nowhere/tls.crt".into(),
                private_key: "/nowhere/tls.key".into(),
            },
            "/nowhere/tls.crt",
        ),
    ] {
        let error = ServingOptions::new(certificate)
            .complete()
            .expect_err(part)
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(!format!("{:?}", ServingOptions::new(good)).contains("PRIVATE KEY"));
}
