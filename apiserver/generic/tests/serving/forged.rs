//! Identity headers that nobody has earned, as bytes on the wire: every certificate that is not the front
//! proxy's, either protocol, and every way to write the headers. None is believed.
//!
//! The requests are written by hand, because client libraries put names of headers into lower case.

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use brokkr_certs::IssuedCertificate;

use crate::client::{BOTH, Protocol};
use crate::cluster::Cluster;
use crate::pki::{Pki, authority, issue, pem};
use crate::server::{TestServer, eventually, published};

const PATH: &str = "/apis/g.io/v1/flunders";

/// The ways to write the headers of an identity.
const WRITINGS: [(&str, &[(&str, &str)]); 3] = [
    (
        "once",
        &[
            ("x-remote-user", "admin"),
            ("x-remote-group", "system:masters"),
            ("x-remote-uid", "0"),
        ],
    ),
    (
        "twice",
        &[
            ("x-remote-user", ""),
            ("x-remote-user", "admin"),
            ("x-remote-group", "a"),
            ("x-remote-group", "system:masters"),
        ],
    ),
    (
        "odd case",
        &[
            ("X-REMOTE-User", "admin"),
            ("x-ReMoTe-GROUP", "system:masters"),
            ("X-Remote-EXTRA-Scopes", "all"),
        ],
    ),
];

/// Sends a GET with these headers, byte for byte, and returns all that comes back.
async fn exchange(
    server: &TestServer,
    certificate: Option<&IssuedCertificate>,
    protocol: Protocol,
    headers: &[(&str, &str)],
) -> String {
    let client = server.client(protocol);
    let client = match certificate {
        Some(certificate) => client.with(certificate),
        None => client,
    };
    let stream = TcpStream::connect(server.address).await.expect("connects");
    let name = ServerName::try_from("api.brokkr.svc").expect("a name");
    let connector = TlsConnector::from(std::sync::Arc::new(client.config()));
    let mut tls = connector.connect(name, stream).await.expect("a handshake");
    let request = match protocol {
        Protocol::Http2 => http2(headers),
        Protocol::Http1 | Protocol::NoAlpn => http1(headers),
    };
    tls.write_all(&request).await.expect("sent");
    let mut answer = Vec::new();
    let reading = tls.read_to_end(&mut answer);
    // The end of the connection may come without a farewell.
    drop(
        tokio::time::timeout(std::time::Duration::from_secs(60), reading)
            .await
            .expect("the server ends the connection"),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

fn http1(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut request = format!("GET {PATH} HTTP/1.1\r\nhost: api.brokkr.svc\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// Preface, settings, one request, and a farewell, so that the server closes after its answer (RFC 9113).
fn http2(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let own = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "api.brokkr.svc"),
        (":path", PATH),
    ];
    for (name, value) in own.iter().chain(headers) {
        // A literal field that is not indexed, neither text compressed (RFC 7541, 6.2.2).
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
        [
            &[0, length[0], length[1], kind, flags, 0, 0, 0, stream][..],
            payload,
        ]
        .concat()
    };
    let (end_of_stream_and_headers, nothing_more) = (0x5, [0; 8]);
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(0x4, 0, 0, &[]),
        frame(0x1, end_of_stream_and_headers, 1, &block),
        frame(0x7, 0, 0, &nothing_more),
    ]
    .concat()
}

/// The echo of the request in an answer, if it got as far as the handler.
fn echo(answer: &str) -> Option<Value> {
    let start = answer.find("{\"")?;
    let mut values = serde_json::Deserializer::from_str(&answer[start..]).into_iter::<Value>();
    values.next()?.ok()
}

#[tokio::test]
async fn c022_c024_no_certificate_protocol_or_writing_makes_a_forged_identity_believed() {
    let server = TestServer::start().await;
    let pki = &server.pki;
    let certificates = [
        ("no certificate", None, Some("system:anonymous")),
        (
            "a CA nobody trusts",
            Some(issue(&pki.stranger, "front-proxy-client", &[])),
            None,
        ),
        (
            "the right CA with another name",
            Some(issue(&pki.front_proxy, "someone-else", &[])),
            None,
        ),
        (
            "a client's certificate",
            Some(issue(&pki.client, "jane", &["team-a"])),
            Some("jane"),
        ),
    ];
    for (what, certificate, expected) in &certificates {
        for protocol in BOTH {
            for (writing, headers) in WRITINGS {
                let cell = format!("{what}, {protocol:?}, {writing}");
                let answer = exchange(&server, certificate.as_ref(), protocol, headers).await;
                let answered = echo(&answer).unwrap_or_default();
                assert!(
                    !answer.contains("masters") && !answer.contains("admin"),
                    "{cell}: {answer}"
                );
                // HTTP/2 forbids capital letters: such a request is no request.
                if (protocol, writing) == (Protocol::Http2, "odd case") {
                    assert_eq!(answered, Value::Null, "{cell}: {answer}");
                    continue;
                }
                match expected {
                    Some(user) => {
                        assert_eq!(&answered["user"]["name"], user, "{cell}: {answer}");
                        assert_eq!(answered["frontProxy"], false, "{cell}");
                        assert!(
                            !answered["headers"].to_string().contains("remote"),
                            "{cell}: {answered}"
                        );
                    }
                    None => assert_eq!(answered["code"], 401, "{cell}: {answer}"),
                }
            }
        }
    }
    // The same bytes over the front proxy's own certificate are believed, in whatever case.
    let proxy = pki.aggregator();
    for (protocol, writing) in [
        (Protocol::Http1, 0),
        (Protocol::Http1, 1),
        (Protocol::Http1, 2),
        (Protocol::Http2, 0),
        (Protocol::Http2, 1),
    ] {
        // `twice` begins with an empty name, which names nobody; the second is not looked at.
        let answer = exchange(&server, Some(&proxy), protocol, WRITINGS[writing].1).await;
        let answered = echo(&answer).expect("an answer");
        let named = if writing == 1 {
            Value::from(401)
        } else {
            Value::from("admin")
        };
        assert_eq!(
            if writing == 1 {
                &answered["code"]
            } else {
                &answered["user"]["name"]
            },
            &named,
            "{protocol:?} {writing}: {answer}"
        );
    }
}

#[tokio::test]
async fn c024_headers_of_a_configuration_with_other_names_are_not_believed_either() {
    let server = TestServer::start().await;
    let mut config = server.config.load().as_ref().clone();
    let headers = config.request_header.as_mut().expect("configured");
    headers.username_headers = vec!["x-proxy-user".parse().expect("a name")];
    headers.group_headers = vec!["x-proxy-group".parse().expect("a name")];
    headers.extra_header_prefixes = vec!["x-proxy-extra-".to_owned()];
    server.config.store(config);
    let jane = issue(&server.pki.client, "jane", &[]);
    let forged = [
        ("X-Proxy-User", "admin"),
        ("X-Proxy-Group", "system:masters"),
        ("X-Proxy-Extra-A", "b"),
        ("X-Remote-User", "root"),
    ];
    for (certificate, user) in [(None, "system:anonymous"), (Some(&jane), "jane")] {
        let answer = exchange(&server, certificate, Protocol::Http1, &forged).await;
        let answered = echo(&answer).expect("an answer");
        assert_eq!(answered["user"]["name"], user, "{answer}");
        for gone in ["masters", "admin", "root", "x-proxy", "x-remote"] {
            assert!(!answer.contains(gone), "{gone}: {answer}");
        }
    }
    let answer = exchange(&server, Some(&server.pki.aggregator()), Protocol::Http1, &forged).await;
    assert_eq!(
        echo(&answer).expect("an answer")["user"]["name"],
        "admin",
        "{answer}"
    );
}

/// Both CAs are replaced in the ConfigMap while connections are open.
#[tokio::test]
async fn c021_c006_cas_replaced_in_the_config_map_count_on_open_connections() {
    let pki = Pki::create();
    let cluster = Cluster::start(published(&pki)).await;
    let server = cluster.serve(pki).await;
    let claim = [("x-remote-user", "jane")];
    let jane = issue(&server.pki.client, "jane", &[]);
    let mut proxy = server
        .client(Protocol::Http2)
        .with(&server.pki.aggregator())
        .connect()
        .await;
    let mut client = server.client(Protocol::Http2).with(&jane).connect().await;
    assert_eq!(proxy.request(http::Method::GET, PATH, &claim).await.status, 200);
    assert_eq!(client.get(PATH).await.status, 200);

    // First both CAs, then the new one alone, as a rotation goes.
    let next = Pki::create();
    let mut data = published(&server.pki);
    let both = |old, new| format!("{}{}", pem(old), pem(new));
    data.insert(
        "client-ca-file".to_owned(),
        both(&server.pki.client, &next.client),
    );
    data.insert(
        "requestheader-client-ca-file".to_owned(),
        both(&server.pki.front_proxy, &next.front_proxy),
    );
    cluster.publish(&data, "2").await;
    let new_proxy = server.client(Protocol::Http2).with(&next.aggregator());
    let new_client = server
        .client(Protocol::Http2)
        .with(&issue(&next.client, "jane", &[]));
    eventually("the new CAs count", async || {
        new_proxy.request(http::Method::GET, PATH, &claim).await.status == 200
            && new_client.get(PATH).await.status == 200
    })
    .await;
    assert_eq!(
        proxy.request(http::Method::GET, PATH, &claim).await.status,
        200,
        "the old one still does"
    );
    assert_eq!(client.get(PATH).await.status, 200, "the old one still does");

    data.insert("client-ca-file".to_owned(), pem(&next.client));
    data.insert("requestheader-client-ca-file".to_owned(), pem(&next.front_proxy));
    cluster.publish(&data, "3").await;
    let old_proxy = server.client(Protocol::Http2).with(&server.pki.aggregator());
    eventually("the old CA counts no more", async || {
        old_proxy.request(http::Method::GET, PATH, &claim).await.status == 401
    })
    .await;
    // The connections that were open all the while are refused as new ones are.
    let refused = proxy.request(http::Method::GET, PATH, &claim).await;
    assert_eq!(refused.status, 401);
    assert_eq!(client.get(PATH).await.status, 401);
    assert_eq!(
        new_proxy.request(http::Method::GET, PATH, &claim).await.json()["user"]["name"],
        "jane"
    );
    assert_eq!(new_client.get(PATH).await.json()["user"]["name"], "jane");

    // One authority for another's sort of certificate is worth nothing.
    let stranger = authority("client-ca");
    let stranger = server
        .client(Protocol::Http2)
        .with(&issue(&stranger, "jane", &[]));
    assert_eq!(stranger.get(PATH).await.status, 401);
}
