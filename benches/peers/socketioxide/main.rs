//! The chat server of the benches as a user of socketioxide would write it: axum, the default configuration,
//! JWT in the connect middleware. With REDIS_NODES it is one of several, joined by its Redis adapter. Knows nothing of
//! the house.

#![allow(clippy::print_stdout, reason = "the address goes to stdout, as the driver expects of every server")]

#[cfg(feature = "cluster-peer")]
mod several;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use socketioxide::{
    SocketIo,
    adapter::Adapter,
    extract::{AckSender, Data, SocketRef},
    handler::ConnectHandler as _,
};
use socketioxide_core::adapter::DefinedAdapter;

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

#[derive(Clone)]
struct User(String);

#[derive(Deserialize)]
struct Room {
    room: String,
}

#[derive(Deserialize)]
struct Send {
    room: String,
    body: serde_json::Value,
}

#[derive(Serialize)]
struct Message<'a> {
    room: &'a str,
    id: &'a str,
    from: &'a str,
    ts: u64,
    body: &'a serde_json::Value,
}

#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<u64>,
}

#[derive(Serialize)]
struct Refused {
    ok: bool,
    error: &'static str,
}

#[derive(Serialize)]
struct Pong {
    ok: bool,
    data: serde_json::Value,
    server_time: u64,
}

static MESSAGES: AtomicU64 = AtomicU64::new(0);

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

async fn joined<A: Adapter>(socket: SocketRef<A>, Data(Room { room }): Data<Room>, ack: AckSender<A>) {
    socket.join(room);
    ack.send(&Answer { ok: true, id: None, ts: None }).ok();
}

async fn left<A: Adapter>(socket: SocketRef<A>, Data(Room { room }): Data<Room>, ack: AckSender<A>) {
    socket.leave(room);
    ack.send(&Answer { ok: true, id: None, ts: None }).ok();
}

async fn sent<A: Adapter>(socket: SocketRef<A>, Data(Send { room, body }): Data<Send>, ack: AckSender<A>) {
    if !socket.rooms().iter().any(|joined| *joined == room.as_str()) {
        ack.send(&Refused { ok: false, error: "not_in_room" }).ok();
        return;
    }
    let id = MESSAGES.fetch_add(1, Ordering::Relaxed).to_string();
    let ts = now_ms();
    let from = socket.extensions.get::<User>().map_or_else(String::new, |user| user.0);
    let message = Message { room: &room, id: &id, from: &from, ts, body: &body };
    socket.within(room.clone()).emit("message", &message).await.ok();
    ack.send(&Answer { ok: true, id: Some(&id), ts: Some(ts) }).ok();
}

async fn pinged<A: Adapter>(Data(data): Data<serde_json::Value>, ack: AckSender<A>) {
    ack.send(&Pong { ok: true, data, server_time: now_ms() }).ok();
}

/// Called from the middleware: the connect handler runs in a task of its own beside the CONNECT reply, and an event
/// that a client sends at once can come before handlers that were registered there, and is then dropped.
fn listen<A: Adapter>(socket: &SocketRef<A>) {
    socket.on("room:join", joined::<A>);
    socket.on("room:leave", left::<A>);
    socket.on("message:send", sent::<A>);
    socket.on("ping", pinged::<A>);
}

/// Whoever has a token may do all of it.
fn vocabulary<A: Adapter + DefinedAdapter>(io: &SocketIo<A>, secret: &str) -> A::InitRes {
    let key = DecodingKey::from_secret(secret.as_bytes());
    let validation = Validation::new(Algorithm::HS256);
    let authenticate = async move |socket: SocketRef<A>, Data(auth): Data<Auth>| {
        let token = jsonwebtoken::decode::<Claims>(&auth.token, &key, &validation)?;
        socket.extensions.insert(User(token.claims.sub));
        listen(&socket);
        Ok::<(), jsonwebtoken::errors::Error>(())
    };
    io.ns("/", (async || {}).with(authenticate))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = std::env::var("JWT_SECRET").context("JWT_SECRET")?;
    let heartbeat_ms = std::env::var("HEARTBEAT_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(25_000);
    let builder = SocketIo::builder().ping_interval(Duration::from_millis(heartbeat_ms));
    let app = match std::env::var("REDIS_NODES") {
        #[cfg(feature = "cluster-peer")]
        Ok(nodes) => several::app(builder, &nodes, &secret).await?,
        #[cfg(not(feature = "cluster-peer"))]
        Ok(_) => anyhow::bail!("it was built without its Redis adapter"),
        Err(_) => {
            let (layer, io) = builder.build_layer();
            vocabulary(&io, &secret);
            axum::Router::new().layer(layer)
        }
    };

    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!(r#"{{"listening":{{"gateway":"http://{}"}}}}"#, listener.local_addr()?);
    let listener = listener.tap_io(|connection| {
        connection.set_nodelay(true).ok();
    });
    axum::serve(listener, app).await?;
    Ok(())
}
