//! Lists and pages over more than one replica.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::{ALL, FISCHERS, N, Server, Setup, path, version};

async fn page(server: &Server, query: &str) -> Answer {
    server.client.get(&format!("{N}?{query}")).await
}

fn token(page: &Value) -> String {
    page["metadata"]["continue"].as_str().unwrap().to_owned()
}

async fn with_five(setup: Setup) -> Server {
    let server = Server::with(setup).await;
    for name in ["a", "b", "c", "d", "e"] {
        server.create(name, json!({})).await;
    }
    server
}

#[tokio::test]
async fn c192_token_works_on_another_replica() {
    let server = with_five(Setup::default()).await;
    let first = page(&server, "limit=2").await.json();
    server.client.delete(&path("c")).await.expect(200);
    let other = server.replica_of().await;
    let second = page(&other, &format!("continue={}", token(&first))).await;
    assert!(second.status == 200 || second.status == 410, "{second:?}");
    if second.status == 200 {
        assert_eq!(second.names(), ["c", "d", "e"]);
    }
}

#[tokio::test]
async fn c192_token_is_bound_and_cannot_be_combined() {
    let server = with_five(Setup::default()).await;
    let first = page(&server, "limit=2").await.json();
    let token = token(&first);
    for bad in ["x", "e30", "%7B%7D"] {
        let status = page(&server, &format!("continue={bad}"))
            .await
            .refused(400, "BadRequest");
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .contains("continue key is not valid"),
            "{status}"
        );
    }
    let elsewhere = [
        format!("{FISCHERS}?continue={token}"),
        format!("{ALL}?continue={token}"),
    ];
    for url in elsewhere {
        server.client.get(&url).await.refused(400, "BadRequest");
    }
    let query = format!("continue={token}&resourceVersion={}", version(&first));
    let status = page(&server, &query).await.refused(400, "BadRequest");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("not allowed when using continue"),
        "{status}"
    );
    page(&server, &format!("continue={token}&resourceVersion=0"))
        .await
        .expect(200);
}
