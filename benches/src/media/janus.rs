//! What a client of janus' video room says over HTTP: a session, a handle in it, a request, and a look for what comes of
//! it. Publishers offer; to viewers janus offers.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    description::{self, Ours, Role, Theirs},
    http::{self, Request},
};

/// As the server's configuration has it.
const ROOM: u32 = 1;
/// Feeds are known by the number of their stream, and none is zero.
const FEED_FIRST: u32 = 1;
/// The video room's number for it.
const NO_SUCH_FEED: u32 = 428;
const TRIES_MAX: usize = 40;
const BREATH: Duration = Duration::from_millis(25);
/// Looks for an event; each brings some or waits for long.
const LOOKS_MAX: usize = 8;

pub(crate) fn negotiate(
    source: Ipv4Addr,
    target: SocketAddr,
    role: Role,
    stream: u32,
    ours: &Ours<'_>,
) -> anyhow::Result<Theirs> {
    let client = Client { source, target };
    let feed = FEED_FIRST + stream;
    let session = client.post("/janus", &json!({ "janus": "create", "transaction": "t" }))?;
    let session = format!("/janus/{}", id(&session)?);
    let attach = json!({ "janus": "attach", "plugin": "janus.plugin.videoroom", "transaction": "t" });
    let handle = format!("{session}/{}", id(&client.post(&session, &attach)?)?);
    match role {
        Role::Publisher => {
            let body =
                json!({ "request": "joinandconfigure", "ptype": "publisher", "room": ROOM, "id": feed });
            client.message(&handle, &body, Some(("offer", &description::offer(ours, role))))?;
            Theirs::parse(&client.description(&session)?)
        }
        Role::Viewer => {
            let body = json!({
                "request": "join", "ptype": "subscriber", "room": ROOM, "streams": [{ "feed": feed }],
            });
            let offer = client.offered(&session, &handle, &body)?;
            let theirs = Theirs::parse(&offer)?;
            let answer = description::answer(ours, &theirs);
            client.message(&handle, &json!({ "request": "start" }), Some(("answer", &answer)))?;
            Ok(theirs)
        }
    }
}

#[derive(Debug)]
struct NoSuchFeed;

impl fmt::Display for NoSuchFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream is not published")
    }
}

impl std::error::Error for NoSuchFeed {}

struct Client {
    source: Ipv4Addr,
    target: SocketAddr,
}

impl Client {
    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send("POST", path, &body.to_string())
    }

    fn message(&self, handle: &str, body: &Value, description: Option<(&str, &str)>) -> anyhow::Result<()> {
        let mut message = json!({ "janus": "message", "transaction": "t", "body": body });
        if let Some((kind, sdp)) = description {
            message["jsep"] = json!({ "type": kind, "sdp": sdp });
        }
        self.post(handle, &message).map(drop)
    }

    /// What is offered to who joins. A publisher is there a moment after its own side of the handshake has ended.
    fn offered(&self, session: &str, handle: &str, body: &Value) -> anyhow::Result<String> {
        for _ in 0..TRIES_MAX {
            self.message(handle, body, None)?;
            match self.description(session) {
                Err(error) if error.downcast_ref::<NoSuchFeed>().is_some() => std::thread::sleep(BREATH),
                other => return other,
            }
        }
        Err(NoSuchFeed.into())
    }

    /// The description in the session's next event that has one.
    fn description(&self, session: &str) -> anyhow::Result<String> {
        for _ in 0..LOOKS_MAX {
            let event = self.send("GET", &format!("{session}?maxev=1"), "")?;
            let events = match event {
                Value::Array(events) => events,
                event => vec![event],
            };
            if let Some(sdp) = described(&events)? {
                return Ok(sdp);
            }
        }
        anyhow::bail!("no description came")
    }

    fn send(&self, method: &'static str, path: &str, body: &str) -> anyhow::Result<Value> {
        let request = Request { method, path, token: None, content_type: "application/json", body };
        let response = http::send(self.source, self.target, &request)?;
        let answer: Value = serde_json::from_str(&response.body)
            .with_context(|| format!("{path} was answered {}: {}", response.status, response.body))?;
        anyhow::ensure!(answer["janus"] != "error", "{path}: {}", answer["error"]);
        Ok(answer)
    }
}

/// The plugin tells its faults in an event of its own.
fn described(events: &[Value]) -> anyhow::Result<Option<String>> {
    for event in events {
        let data = &event["plugindata"]["data"];
        let fault = &data["error"];
        if data["error_code"] == NO_SUCH_FEED {
            return Err(NoSuchFeed.into());
        }
        anyhow::ensure!(fault.is_null(), "the video room: {fault}");
        if let Some(sdp) = event["jsep"]["sdp"].as_str() {
            return Ok(Some(sdp.to_owned()));
        }
    }
    Ok(None)
}

fn id(answer: &Value) -> anyhow::Result<u64> {
    answer["data"]["id"].as_u64().with_context(|| format!("no id in {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_tells_is_understood() {
        assert_eq!(id(&json!({ "janus": "success", "data": { "id": 7 } })).unwrap(), 7);
        let up = json!({ "janus": "webrtcup" });
        let offer = json!({ "janus": "event", "jsep": { "type": "offer", "sdp": "v=0" } });
        assert_eq!(described(&[up.clone(), offer]).unwrap().as_deref(), Some("v=0"));
        assert_eq!(described(&[up]).unwrap(), None);
        let fault = json!({ "plugindata": { "data": { "error": "No such feed", "error_code": 428 } } });
        assert!(described(&[fault]).unwrap_err().is::<NoSuchFeed>());
        let fault = json!({ "plugindata": { "data": { "error": "Full", "error_code": 432 } } });
        assert!(!described(&[fault]).unwrap_err().is::<NoSuchFeed>());
    }
}
