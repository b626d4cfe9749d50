//! Who may read the documents that describe the API.

use std::sync::Arc;

use async_trait::async_trait;
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};

use crate::server::{N, Server, Setup};

/// Resources only, as in a cluster without the role `system:discovery`.
struct NoDocuments;

#[async_trait]
impl Authorizer for NoDocuments {
    async fn authorize(&self, _: &UserInfo, asked: &Attributes) -> Result<Decision, AuthorizationError> {
        Ok(match asked {
            Attributes::Resource { .. } => Decision::Allow,
            Attributes::NonResource { .. } => Decision::Deny(String::new()),
        })
    }
}

#[tokio::test]
async fn c047_discovery_and_openapi_are_authorized_like_all_else() {
    let server = Server::with(Setup {
        authorizer: Arc::new(NoDocuments),
        ..Setup::default()
    })
    .await;
    let documents = [
        "/",
        "/apis",
        "/apis/test.example.com",
        "/apis/test.example.com/v1",
        "/openapi/v2",
        "/openapi/v3",
        "/version",
    ];
    for path in documents {
        let status = server.client.get(path).await.refused(403, "Forbidden");
        assert!(status["message"].as_str().unwrap().contains(path), "{status}");
    }
    server.client.get(N).await.expect(200);
}
