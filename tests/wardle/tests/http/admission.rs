//! An admission rule of the server's own: names that a fischer disallows.

use serde_json::json;

use crate::server::{ALPHA, BETA, FISCHERS, Server};

#[tokio::test]
async fn c233_server_brings_an_admission_rule_of_its_own() {
    let server = Server::start().await;
    let fischer = json!({"metadata": {"name": "f"}, "disallowedFlunders": ["bad", "worse"]});
    server.client.post(FISCHERS, &fischer).await.expect(201);
    let bad = json!({"metadata": {"name": "bad"}});
    for collection in [ALPHA, BETA] {
        let status = server
            .client
            .post(collection, &bad)
            .await
            .refused(403, "Forbidden");
        let message = status["message"].as_str().unwrap();
        assert_eq!(
            message,
            "flunders.wardle.example.com \"bad\" is forbidden: fischer \"f\" disallows this name, please \
             change the name of the flunder"
        );
    }
    server.create("good", json!({})).await;
    // A fischer may have the name, and a flunder too once no fischer disallows it.
    server
        .client
        .post(FISCHERS, &json!({"metadata": {"name": "worse"}}))
        .await
        .expect(201);
    server.client.delete(&format!("{FISCHERS}/f")).await.expect(200);
    server.create("bad", json!({})).await;
}
