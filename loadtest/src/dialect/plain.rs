//! The plain websocket: one object of JSON a frame.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::packet::{self, Message, Packet};

pub(super) fn enter(token: &str, device: Option<&str>) -> String {
    let mut data = serde_json::json!({ "token": token });
    if let Some(device) = device {
        data["device"] = device.into();
    }
    serde_json::json!({ "event": "connect", "data": data }).to_string()
}

pub(super) fn event(id: u64, name: &str, data: &str) -> String {
    format!("{{\"id\":{id},\"event\":\"{name}\",\"data\":{data}}}")
}

/// A message, as Turnpike writes it.
pub(super) fn delivery(text: &str) -> Option<Message<'_>> {
    let (message, rest) = packet::delivery(text.strip_prefix("{\"event\":\"message\",\"data\":")?)?;
    (rest == "}").then_some(message)
}

#[derive(Deserialize)]
struct Frame<'a> {
    id: Option<u64>,
    event: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

pub(super) fn read(text: &str) -> Packet<'_> {
    if let Some(message) = delivery(text) {
        return Packet::Message(message, None);
    }
    let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else { return Packet::Garbage };
    match frame {
        Frame { event: Some(name), data, .. } => {
            let data = data.map_or("null", RawValue::get);
            match name {
                "session" => Packet::Entered(serde_json::from_str(data).unwrap_or_default()),
                "connect_error" => Packet::Refused(serde_json::from_str(data).unwrap_or_default()),
                _ => packet::event(name, data, None),
            }
        }
        Frame { id: Some(id), .. } => packet::answer(id, text),
        _ => Packet::Garbage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_understood() {
        assert!(matches!(read("{\"event\":\"session\",\"data\":{\"recovered\":false}}"), Packet::Entered(_)));
        let Packet::Answer(4, answer) = read(
            "{\"id\":4,\"ok\":false,\"error\":{\"code\":108,\"reason\":\"rate_limited\",\"retryable\":true,\"retry_after_ms\":9}}",
        ) else {
            panic!("no answer")
        };
        let error = answer.error.unwrap();
        assert_eq!((error.name().as_str(), error.retry_after_ms), ("108 rate_limited", Some(9)));
        let text = "{\"event\":\"message\",\"data\":{\"room\":\"r\",\"epoch\":1,\"seq\":2,\"body\":{}}}";
        assert!(matches!(read(text), Packet::Message(..)) && delivery(text).is_none());
        let text = "{\"event\":\"message\",\"data\":{\"room\":\"r\",\"epoch\":1,\"seq\":2,\"id\":\"i\",\"from\":\"u\",\"ts\":3,\"body\":\"b\"}}";
        assert!(matches!(read(text), Packet::Message(..)) && delivery(text).is_some());
        for text in ["", "{}", "[]", "{\"id\":\"x\"}", "{\"event\":\"message\"}"] {
            assert!(matches!(read(text), Packet::Garbage), "{text}");
        }
    }
}
