//! Socket.IO packets in Engine.IO messages, as far as this client uses them.

use serde_json::Value;

#[derive(Debug, PartialEq)]
pub(super) enum Packet {
    Open,
    Ping,
    /// The answer to CONNECT.
    Connected {
        pid: Option<String>,
    },
    Refused,
    /// Its name, its data, and the offset if it bears one.
    Event {
        name: String,
        data: Value,
        offset: Option<String>,
    },
    Answer {
        number: u64,
        answer: Value,
    },
    Disconnected,
}

/// None: nothing that this client takes notice of.
pub(super) fn parse(text: &str) -> Option<Packet> {
    match text.as_bytes().first()? {
        b'0' => Some(Packet::Open),
        b'2' => Some(Packet::Ping),
        b'4' => socket(&text[1..]),
        _ => None,
    }
}

fn socket(text: &str) -> Option<Packet> {
    let rest = &text[1..];
    match text.as_bytes().first()? {
        b'0' => {
            let answer: Value = serde_json::from_str(rest).ok()?;
            Some(Packet::Connected { pid: answer["pid"].as_str().map(ToOwned::to_owned) })
        }
        b'1' => Some(Packet::Disconnected),
        b'2' => {
            let Value::Array(mut parts) = serde_json::from_str(rest).ok()? else { return None };
            let offset = if parts.len() > 2 { parts.pop()?.as_str().map(ToOwned::to_owned) } else { None };
            let data = if parts.len() > 1 { parts.pop()? } else { Value::Null };
            Some(Packet::Event { name: parts.first()?.as_str()?.to_owned(), data, offset })
        }
        b'3' => {
            let begin = rest.find('[')?;
            let Value::Array(mut parts) = serde_json::from_str(&rest[begin..]).ok()? else { return None };
            Some(Packet::Answer { number: rest[..begin].parse().ok()?, answer: parts.pop()? })
        }
        b'4' => Some(Packet::Refused),
        _ => None,
    }
}

pub(super) fn connect(auth: &Value) -> String {
    format!("40{auth}")
}

pub(super) fn event(number: u64, name: &str, data: &Value) -> String {
    format!("42{number}{}", serde_json::json!([name, data]))
}

pub(super) const PONG: &str = "3";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_sends() {
        let connected = parse(r#"40{"sid":"a","pid":"b"}"#);
        assert_eq!(connected, Some(Packet::Connected { pid: Some("b".to_owned()) }));
        let (data, offset) = (json!({"seq": 1}), Some("x".to_owned()));
        let event = Packet::Event { name: "message".to_owned(), data, offset };
        assert_eq!(parse(r#"42["message",{"seq":1},"x"]"#), Some(event));
        let answer = Packet::Answer { number: 17, answer: json!({"ok": true}) };
        assert_eq!(parse(r#"4317[{"ok":true}]"#), Some(answer));
        assert_eq!(parse("2"), Some(Packet::Ping));
        assert_eq!(parse("6"), None);
        assert_eq!(parse("42nonsense"), None);
    }

    #[test]
    fn what_a_client_sends() {
        assert_eq!(event(3, "ping", &json!({})), r#"423["ping",{}]"#);
        assert_eq!(connect(&json!({"token": "t"})), r#"40{"token":"t"}"#);
    }
}
