//! The second reference: a socketioxide server that speaks the vocabulary of the suite (`tests/README.md`).
//!
//! It must stay as plain as socketioxide's own guide would write it: what it lacks is recorded as a deviation of
//! that library, not worked around here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::serve::ListenerExt as _;
use clap::Parser as _;
use futures_util::StreamExt as _;
use rmpv::Value;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use socketioxide::handler::ConnectHandler as _;
use socketioxide::{AckError, ParserConfig, SocketIo};
use turnpike_tests::{Options, Parser, announce, end_with_standard_input};

/// All arguments of an event. socketioxide spreads what serialises as a tuple, and gathers into one.
struct Arguments(Vec<Value>);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Gather;
        impl<'de> Visitor<'de> for Gather {
            type Value = Arguments;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("arguments")
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Arguments, S::Error> {
                let mut all = Vec::new();
                while let Some(value) = seq.next_element()? {
                    all.push(value);
                }
                Ok(Arguments(all))
            }
        }
        deserializer.deserialize_tuple(usize::from(u16::MAX), Gather)
    }
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            tuple.serialize_element(value)?;
        }
        tuple.end()
    }
}

/// Structs, because a detour over JSON would turn binary into lists of numbers.
#[derive(Serialize)]
struct Answer {
    answer: Value,
}

#[derive(Serialize)]
struct Answers {
    answers: Vec<Value>,
    complete: bool,
}

#[derive(Debug)]
struct Unauthorized;

impl fmt::Display for Unauthorized {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("unauthorized")
    }
}

#[derive(Deserialize)]
struct Auth {
    token: String,
}

async fn admit(_socket: SocketRef, TryData(auth): TryData<Auth>) -> Result<(), Unauthorized> {
    auth.ok().filter(|auth| auth.token == "open sesame").map(|_| ()).ok_or(Unauthorized)
}

async fn serve(socket: SocketRef, TryData(auth): TryData<Value>) {
    // A socket that has closed cannot take an event: nothing to do about it here.
    let _ = socket.emit(
        "welcome",
        &json!({ "id": socket.id, "auth": auth.ok().filter(|auth| !auth.is_nil()).unwrap_or(Value::Map(vec![])), "recovered": false }),
    );

    let positions = Arc::new(AtomicU64::new(0));
    socket.on("echo", async |Data::<Arguments>(args), ack: AckSender| {
        let _ = ack.send(&args);
    });
    socket.on("echo:back", async |socket: SocketRef, Data::<Arguments>(args)| {
        let _ = socket.emit("echoed", &args);
    });
    socket.on("position", {
        let positions = positions.clone();
        async move |Data::<u64>(n), ack: AckSender| {
            let _ = ack.send(&(n, positions.fetch_add(1, Ordering::Relaxed)));
        }
    });
    socket.on("position:silent", async move || {
        positions.fetch_add(1, Ordering::Relaxed);
    });
    socket.on("burst", async |socket: SocketRef, Data::<(u64, usize)>((count, bytes))| {
        let filler = "x".repeat(bytes);
        for n in 0..count {
            // Its buffer is bounded and the caller is expected to wait.
            while socket.emit("tick", &(n, &filler)).is_err() && socket.connected() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    rooms(&socket);
    questions(&socket);
    socket.on("volatile", async |socket: SocketRef, Data::<(u64, usize)>((count, bytes)), ack: AckSender| {
        let filler = "x".repeat(bytes);
        for n in 0..count {
            let _ = socket.volatile().emit("volatile:event", &(n, &filler));
        }
        let _ = ack.send(&());
    });
    socket.on("leave:me", async |socket: SocketRef| {
        let _ = socket.disconnect();
    });
}

fn rooms(socket: &SocketRef) {
    socket.on("room:join", async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
        socket.join(room);
        let _ = ack.send(&());
    });
    socket.on("room:leave", async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
        socket.leave(room);
        let _ = ack.send(&());
    });
    socket.on("room:list", async |socket: SocketRef, ack: AckSender| {
        let mut rooms = socket.rooms();
        rooms.sort();
        let _ = ack.send(&rooms);
    });
    socket.on(
        "room:send",
        async |socket: SocketRef, Data::<(String, Value)>((room, payload)), ack: AckSender| {
            let _ = socket.within(room).emit("room:event", &payload).await;
            let _ = ack.send(&());
        },
    );
    socket.on(
        "room:send:others",
        async |socket: SocketRef, Data::<(String, Value)>((room, payload)), ack: AckSender| {
            let _ = socket.to(room).emit("room:event", &payload).await;
            let _ = ack.send(&());
        },
    );
    socket.on(
        "room:feed",
        async |socket: SocketRef, Data::<(String, u64, u64)>((room, from, count)), ack: AckSender| {
            for n in from..from + count {
                let _ = socket.within(room.clone()).emit("room:item", &json!({ "n": n })).await;
            }
            let _ = ack.send(&());
        },
    );
}

fn questions(socket: &SocketRef) {
    socket.on(
        "room:ask",
        async |socket: SocketRef, Data::<(String, u64, Value)>((room, ms, payload)), ack: AckSender| {
            let question = socket.within(room).timeout(Duration::from_millis(ms));
            let Ok(answers) = question.emit_with_ack::<_, Value>("question", &payload).await else { return };
            let all = answers.map(|(_, answer)| answer.ok()).collect::<Vec<_>>().await;
            let complete = all.iter().all(Option::is_some);
            let answers = all.into_iter().flatten().collect::<Vec<_>>();
            let _ = ack.send(&Answers { answers, complete });
        },
    );
    socket.on("ask", async |socket: SocketRef, Data::<(u64, Value)>((ms, payload)), ack: AckSender| {
        let question =
            socket.timeout(Duration::from_millis(ms)).emit_with_ack::<_, Value>("question", &payload);
        let Ok(answer) = question else { return };
        let _ = match answer.await {
            Ok(answer) => ack.send(&Answer { answer }),
            Err(AckError::Timeout) => ack.send(&json!({ "timeout": true })),
            Err(_) => Ok(()),
        };
    });
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let builder = SocketIo::builder()
        .ping_interval(options.ping_interval())
        .ping_timeout(options.ping_timeout())
        .connect_timeout(options.connect_timeout())
        .upgrade_timeout(options.upgrade_timeout())
        .max_payload(options.payload_bytes_max)
        // What does not fit is an error to the caller, by default at 128: the suite sends more than that at once.
        .max_buffer_size(20_000)
        .ws_max_message_size(usize::try_from(options.payload_bytes_max)?);
    let builder = match options.parser {
        Parser::Default => builder.with_parser(ParserConfig::common()),
        Parser::Msgpack => builder.with_parser(ParserConfig::msgpack()),
    };
    let (layer, io) = builder.build_layer();
    io.ns("/", serve);
    io.ns("/admin", serve.with(admit));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?)?;
    end_with_standard_input();
    let listener = listener.tap_io(|stream| {
        // Only latency is at stake.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}
