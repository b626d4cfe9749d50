//! Creates in namespaces that a cluster knows, does not know, or is deleting. The cluster is a recorded
//! one: it lists its namespaces, keeps watches open without events, and answers for single ones.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::client::{create_on, delete, post, widget, widgets};
use crate::server::Server;

type Body = BoxBody<Bytes, Infallible>;

fn namespace(name: &str, terminating: bool) -> Value {
    let mut object =
        json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "resourceVersion": "5"}});
    if terminating {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    object
}

fn answer(request: &Request<Incoming>) -> Response<Body> {
    let watch = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let (code, body) = match request.uri().path() {
        "/api/v1/namespaces" if watch => {
            let nothing = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
            return Response::new(BodyExt::boxed(StreamBody::new(nothing)));
        }
        "/api/v1/namespaces" => {
            let items = [namespace("known", false), namespace("going", true)];
            let list = json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": items});
            (StatusCode::OK, list)
        }
        // Created a moment ago: the watch has not told of it yet.
        "/api/v1/namespaces/young" => (StatusCode::OK, namespace("young", false)),
        "/api/v1/namespaces/known" => (StatusCode::OK, namespace("known", false)),
        "/api/v1/namespaces/going" => (StatusCode::OK, namespace("going", true)),
        _ => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "reason": "NotFound", "message": "not found", "code": 404});
            (StatusCode::NOT_FOUND, status)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())).boxed());
    *response.status_mut() = code;
    response
}

async fn cluster() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c240_no_create_in_an_absent_or_terminating_namespace() {
    let server = Server::in_cluster(cluster().await);
    create_on(server.address, "known", "a").await;
    create_on(server.address, "young", "a").await;

    let absent = post(widgets("nowhere"), widget("a", json!({})))
        .to(server.address)
        .send()
        .await;
    let status = absent.failure(404, "NotFound");
    assert_eq!(status["message"], "namespaces \"nowhere\" not found");
    assert_eq!(
        status["details"],
        json!({"name": "nowhere", "kind": "namespaces"})
    );

    let claim = format!("{}/a/claim", widgets("going"));
    for path in [widgets("going"), claim] {
        let refused = post(path, json!({"metadata": {"name": "a"}}))
            .to(server.address)
            .send()
            .await;
        let status = refused.failure(403, "Forbidden");
        let cause = &status["details"]["causes"][0];
        assert_eq!(
            (&cause["reason"], &cause["field"]),
            (&json!("NamespaceTerminating"), &json!("metadata.namespace"))
        );
        let message = status["message"].as_str().unwrap();
        assert_eq!(message.matches("is forbidden").count(), 1, "{message}");
    }
    let emptied = delete(widgets("going")).to(server.address).send().await;
    emptied.object(200);
    tokio::task::spawn_blocking(|| drop(server)).await.unwrap();
}
