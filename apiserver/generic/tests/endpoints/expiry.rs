//! Versions that are no longer kept.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{Answer, Call, SOON, create_on, get, version, widgets};
use crate::server::Server;

/// A server that keeps next to no history.
fn forgetful() -> Server {
    Server::start(|options| {
        options.ring_events_min = 2;
        options.ring_events_max = 2;
        options.ring_age = Duration::ZERO;
        options.log_age = Duration::ZERO;
        options.log_events_min = 0;
        options.log_prune_interval = Duration::from_millis(50);
    })
}

/// Asks until the answer is the one hoped for.
async fn until(call: impl Fn() -> Call, hoped_for: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = call().send().await;
        if hoped_for(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn end(server: Server) {
    // A runtime may not be dropped within another.
    tokio::task::spawn_blocking(|| drop(server)).await.unwrap();
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn c273_version_too_old_is_an_error_event() {
    let server = forgetful();
    let first = create_on(server.address, "old", "w0").await;
    for number in 1..8 {
        create_on(server.address, "old", &format!("w{number}")).await;
    }
    let path = format!(
        "{}?watch=true&timeoutSeconds=1&resourceVersion={}",
        widgets("old"),
        version(&first)
    );
    until(
        || get(&path).to(server.address),
        |answer| answer.text.contains("ERROR"),
    )
    .await;
    for accept in [
        "application/json",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ] {
        let mut watch = get(&path).to(server.address).accept(accept).watch().await;
        let status = watch.expect("ERROR").await;
        assert_eq!(
            (&status["kind"], &status["apiVersion"]),
            (&json!("Status"), &json!("v1"))
        );
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(410), &json!("Expired"))
        );
        assert_eq!(watch.next().await, None, "the stream ends");
    }
    let exact = format!(
        "{}?resourceVersionMatch=Exact&resourceVersion={}",
        widgets("old"),
        version(&first)
    );
    get(exact).to(server.address).send().await.failure(410, "Expired");
    end(server).await;
}

#[tokio::test]
async fn c193_expired_token_comes_with_a_fresh_one() {
    let server = forgetful();
    for number in 0..4 {
        create_on(server.address, "pages", &format!("w{number}")).await;
    }
    let path = widgets("pages");
    let first = get(format!("{path}?limit=2"))
        .to(server.address)
        .send()
        .await
        .object(200);
    for number in 4..8 {
        create_on(server.address, "pages", &format!("w{number}")).await;
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let next = || get(format!("{path}?limit=2&continue={token}")).to(server.address);
    let status = until(next, |answer| answer.code == 410)
        .await
        .failure(410, "Expired");
    let token = status["metadata"]["continue"].as_str().unwrap();
    let next = get(format!("{path}?limit=2&continue={token}"))
        .to(server.address)
        .send()
        .await
        .object(200);
    assert_eq!(names(&next), ["w2", "w3"]);
    end(server).await;
}

#[tokio::test]
async fn c274_last_bookmark_comes_before_the_deadline() {
    let server = Server::start(|options| options.bookmark_interval = Duration::from_secs(600));
    let created = create_on(server.address, "c274-last", "a").await;
    let path = widgets("c274-last");
    let query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=3";
    let mut watch = get(format!("{path}?{query}&resourceVersion={}", version(&created)))
        .to(server.address)
        .watch()
        .await;

    let bookmark = watch.expect("BOOKMARK").await;

    assert!(version(&bookmark).parse::<u64>().unwrap() >= version(&created).parse().unwrap());
    assert!(watch.next().await.is_none(), "the watch ends at its deadline");
    end(server).await;
}

/// What a list is answered.
#[derive(Debug, PartialEq)]
enum Expected {
    /// Objects of these names, and whether there are more.
    Names(&'static [&'static str], bool),
    /// This code, and a message that holds this text.
    Refused(u16, &'static str),
}

/// The rules, in the order in which they decide: what is not allowed, then what is malformed, then what
/// is gone.
fn expected(limit: usize, token: &str, version: &str, matching: &str) -> Expected {
    use Expected::{Names, Refused};
    let (continued, known) = (token != "none", ["", "NotOlderThan", "Exact"].contains(&matching));
    match (version, matching) {
        (_, "") => {}
        _ if !known => return Refused(422, "supported values: \"Exact\", \"NotOlderThan\""),
        ("", _) => return Refused(422, "may be set only together with resourceVersion"),
        _ if continued => return Refused(422, "may not be set together with continue"),
        ("0", "Exact") => return Refused(422, "Exact needs a resourceVersion other than \"0\""),
        _ => {}
    }
    match (version, token) {
        ("abc", _) => return Refused(400, "Invalid value: \"abc\""),
        ("gone", "good" | "bad") => {
            return Refused(
                400,
                "specifying resource version is not allowed when using continue",
            );
        }
        (_, "bad") => return Refused(400, "continue key is not valid"),
        _ => {}
    }
    let exact = matching == "Exact" || (matching.is_empty() && limit > 0);
    match (version, continued, limit) {
        ("gone", _, _) if exact => Refused(410, "too old resource version"),
        (_, true, 0) => Names(&["w2", "w3", "w4"], false),
        (_, true, _) => Names(&["w2", "w3"], true),
        (_, false, 0) => Names(&["w0", "w1", "w2", "w3", "w4"], false),
        (_, false, _) => Names(&["w0", "w1"], true),
    }
}

/// The 96 combinations of upstream's TestListOptions.
#[tokio::test]
async fn c191_every_combination_of_list_options() {
    let server = forgetful();
    let mut first = None;
    for number in 0..5 {
        let object = create_on(server.address, "matrix", &format!("w{number}")).await;
        first.get_or_insert(version(&object).to_owned());
    }
    let (path, gone) = (widgets("matrix"), first.expect("created"));
    let exact = format!("{path}?resourceVersionMatch=Exact&resourceVersion={gone}");
    until(|| get(&exact).to(server.address), |answer| answer.code == 410).await;
    let page = get(format!("{path}?limit=2"))
        .to(server.address)
        .send()
        .await
        .object(200);
    let good = page["metadata"]["continue"].as_str().expect("a token").to_owned();

    let mut wrong = Vec::new();
    for limit in [0, 2] {
        for (token, continued) in [("none", ""), ("good", good.as_str()), ("bad", "nonsense")] {
            for (version, asked) in [("", ""), ("0", "0"), ("gone", gone.as_str()), ("abc", "abc")] {
                for matching in ["", "NotOlderThan", "Exact", "Roughly"] {
                    let query = format!(
                        "limit={limit}&continue={continued}&resourceVersion={asked}&resourceVersionMatch={matching}"
                    );
                    let answer = get(format!("{path}?{query}")).to(server.address).send().await;
                    let json: Value = serde_json::from_str(&answer.text).expect("JSON");
                    let expected = expected(limit, token, version, matching);
                    let right = match &expected {
                        Expected::Refused(code, text) => {
                            answer.code == *code
                                && json["message"]
                                    .as_str()
                                    .is_some_and(|message| message.contains(text))
                        }
                        Expected::Names(expected, more) => {
                            answer.code == 200
                                && names(&json) == *expected
                                && json["metadata"]["continue"].is_string() == *more
                        }
                    };
                    if !right {
                        wrong.push(format!(
                            "{query}: {expected:?}, not {} {}",
                            answer.code, answer.text
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of 96:\n{}", wrong.len(), wrong.join("\n"));
    end(server).await;
}
