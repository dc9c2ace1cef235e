use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use turnpike_daemon::health::Health;
use turnpike_daemon::probe;
use turnpike_daemon::tasks::Tasks;

use crate::http::eventually;

/// Answers every connection with the same bytes, whatever it asks.
async fn answering(bytes: &'static str) -> SocketAddr {
    answering_in_turn(vec![bytes]).await
}

/// Answers one connection with this and the next with that, and then begins again.
async fn answering_in_turn(answers: Vec<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for bytes in answers.iter().cycle() {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(bytes.as_bytes()).await.unwrap();
        }
    });
    address
}

fn outcome(address: SocketAddr) -> (Health, Tasks) {
    let health = Health::new("0");
    let tasks = Tasks::new(health.clone());
    let check = health.check("listener");
    tasks.spawn("probe", |stop| probe::watch(address, b"", "/live", check, stop));
    (health, tasks)
}

#[tokio::test]
async fn an_answer_makes_ready() {
    let (health, _tasks) = outcome(answering("HTTP/1.1 200 OK\r\n\r\n").await);
    eventually("ready", async || health.ready().good).await;
}

#[tokio::test]
async fn refusals_errors_and_silence_do_not() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cases = [
        (closed, "refused"),
        (answering("HTTP/1.1 503 Service Unavailable\r\n\r\n").await, "answered HTTP/1.1 503"),
        (answering("HTTP/1.1").await, "eof"),
        (silent.local_addr().unwrap(), "no answer within 1 s"),
    ];
    for ((health, _tasks), reason) in cases.map(|(address, reason)| (outcome(address), reason)) {
        let shown = || health.ready().body["checks"][0]["reason"].as_str().unwrap_or_default().to_owned();
        eventually(reason, async || shown().contains(reason)).await;
        assert!(!health.ready().good);
    }
}

#[tokio::test]
async fn a_listener_that_answers_most_of_the_time_is_not_ready() {
    const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";
    let (health, _tasks) = outcome(answering_in_turn(vec![OK, "broken", "broken"]).await);
    eventually("ready at first", async || health.ready().good).await;
    let reason = || health.ready().body["checks"][0]["reason"].as_str().unwrap_or_default().to_owned();
    eventually("not ready", async || reason().contains("of the last 8 probes failed")).await;
}
