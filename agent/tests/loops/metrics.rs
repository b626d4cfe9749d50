//! Health and metrics of a running agent, over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use test_scrape::Scrape;
use tokio::net::{TcpListener, TcpStream};

use crate::engine::Engine;
use crate::hub::HubDouble;
use crate::{Process, Settings};

/// A port that was free a moment ago.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

async fn get(address: SocketAddr, method: &str, path: &str) -> (StatusCode, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path);
    let request = request
        .header("host", "agent")
        .body(Empty::<&[u8]>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn until_scraped(address: SocketAddr, what: &str, expected: impl Fn(&Scrape) -> bool) -> Scrape {
    let scrape = async || Scrape::parse(&get(address, "GET", "/metrics").await.1);
    for _ in 0..400 {
        let scraped = scrape().await;
        if expected(&scraped) {
            return scraped;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}: {:#?}", scrape().await);
}

async fn until_listening(address: SocketAddr) {
    for _ in 0..400 {
        if TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{address} is not served");
}

/// An agent that tells of itself, and where.
async fn told(hub: &HubDouble, engine: &Engine) -> (Process, SocketAddr) {
    let address = free_address().await;
    let settings = Settings {
        metrics_bind_address: Some(address),
        ..Settings::default()
    };
    let process = Process::with(hub, engine, "h1", settings);
    until_listening(address).await;
    (process, address)
}

/// Waits until /readyz has this status, and returns what else it said.
async fn until_ready(address: SocketAddr, expected: StatusCode) -> String {
    for _ in 0..1200 {
        let (status, text) = get(address, "GET", "/readyz").await;
        if status == expected {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("/readyz never had status {expected}");
}

#[tokio::test]
async fn work_and_calls_are_counted_and_told() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    let (process, address) = told(&hub, &engine).await;
    hub.submit("order-1", "build", "Idempotent");
    until_scraped(address, "the order is held", |scrape| {
        scrape.sum("brokkr_agent_claims", &[("work_type", "build")]) == 1.0
            && scrape.sum("brokkr_agent_claimed_total", &[("work_type", "build")]) == 1.0
    })
    .await;
    assert_eq!(until_ready(address, StatusCode::OK).await, "ok");

    engine.finish("order-1");
    let ended = [("work_type", "build"), ("outcome", "succeeded")];
    let scrape = until_scraped(address, "the order is reported", |scrape| {
        scrape.sum("brokkr_agent_runs_total", &ended) == 1.0 && scrape.sum("brokkr_agent_claims", &[]) == 0.0
    })
    .await;
    let answered = |call| {
        let labels = [("call", call), ("result", "answered")];
        scrape.sum("brokkr_agent_hub_requests_total", &labels)
    };
    assert!(answered("claim") >= 1.0 && answered("renew") >= 1.0 && answered("complete") == 1.0);
    assert_eq!(scrape.sum("brokkr_agent_run_duration_seconds_count", &[]), 1.0);
    assert!(
        scrape.sum(
            "brokkr_agent_hub_request_duration_seconds_count",
            &[("call", "renew")]
        ) >= 1.0
    );
    assert!(scrape.sum("brokkr_agent_hub_last_contact_seconds", &[]) < 60.0);
    assert!(scrape.sum("brokkr_agent_claims_max", &[]) >= 1.0);
    assert!(scrape.has("process_start_time_seconds"));

    hub.state().down = true;
    until_scraped(address, "the hub is away", |scrape| {
        scrape.sum("brokkr_agent_hub_requests_total", &[("result", "unavailable")]) >= 1.0
    })
    .await;
    process.terminate();
}

#[tokio::test]
async fn agent_is_live_at_once_and_ready_when_the_hub_knows_it() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.state().down = true;
    let (process, address) = told(&hub, &engine).await;
    assert_eq!(get(address, "GET", "/healthz").await.0, StatusCode::OK);
    let (status, why) = get(address, "GET", "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(why.contains("Agent object"), "{why}");
    assert_eq!(get(address, "GET", "/anything").await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        get(address, "POST", "/healthz").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );

    hub.state().down = false;
    until_ready(address, StatusCode::OK).await;
    process.terminate();
}

#[tokio::test]
async fn agent_without_work_keeps_in_touch_and_is_unready_but_live_when_the_hub_falls_silent() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    let (process, address) = told(&hub, &engine).await;
    // Three times in the lease of the Agent object, which is 15 s here, and once more for its first sight.
    until_scraped(address, "four renewals", |scrape| {
        let answered = [("call", "renew"), ("result", "answered")];
        scrape.sum("brokkr_agent_hub_requests_total", &answered) >= 4.0
    })
    .await;
    until_ready(address, StatusCode::OK).await;

    hub.state().down = true;
    let why = until_ready(address, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(why.contains("answered a renewal"), "{why}");
    assert_eq!(
        get(address, "GET", "/healthz").await,
        (StatusCode::OK, "ok".to_owned())
    );

    hub.state().down = false;
    until_ready(address, StatusCode::OK).await;
    process.terminate();
}

#[tokio::test]
async fn calls_about_an_order_belong_to_the_trace_of_its_uid() {
    let (hub, engine) = (HubDouble::start().await, Engine::default());
    hub.submit("order-1", "build", "Idempotent");
    let process = Process::start(&hub, &engine, "h1");
    hub.until_started().await;
    engine.finish("order-1");
    hub.until_phase("order-1", "Succeeded").await;
    let uid = hub.state().orders[0].uid.replace('-', "");
    let traces = hub.state().completion_traces.clone();
    assert_eq!(traces.len(), 1);
    assert!(traces[0].starts_with(&format!("00-{uid}-")), "{traces:?} {uid}");
    process.terminate();
}
