//! Gets.

use http::Method;
use serde_json::json;

use crate::server::{Server, path};

#[tokio::test]
async fn c069_head_is_a_get_without_its_body() {
    let server = Server::start().await;
    server.create("a", json!({})).await;
    let answer = server.client.call(Method::HEAD, &path("a")).send().await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    assert_eq!(answer.header("content-type"), "application/json");
}
