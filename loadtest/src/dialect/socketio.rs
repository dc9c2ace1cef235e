//! Socket.IO v5 over Engine.IO v4, the text of it. Binary attachments are not used by any profile.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Ticket,
    packet::{self, Message, Packet, Refusal},
};

pub(super) fn path(path: &str) -> String {
    format!("{path}?EIO=4&transport=websocket")
}

/// What stands before everything of a namespace.
pub(super) fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}

/// Users are in one namespace, so whose something is need not be looked at.
pub(super) fn without_namespace(text: &str) -> &str {
    if text.starts_with('/') { text.split_once(',').map_or("", |(_, rest)| rest) } else { text }
}

/// The offset is what the stock client takes for it: a string at the end.
pub(super) fn offset<'a>(arguments: &[&'a RawValue]) -> Option<&'a str> {
    plain_text(arguments.get(1..)?.last()?.get())
}

fn plain_text(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

pub(super) fn enter(namespace: &str, token: &str, device: Option<&str>, ticket: Option<&Ticket>) -> String {
    let mut auth = serde_json::json!({ "token": token });
    if let Some(device) = device {
        auth["device"] = device.into();
    }
    if let Some(ticket) = ticket {
        (auth["pid"], auth["offset"]) = (ticket.pid.as_str().into(), ticket.offset.as_str().into());
    }
    format!("40{}{auth}", prefix(namespace))
}

pub(super) fn event(id: u64, name: &str, data: &str) -> String {
    format!("42{id}[\"{name}\",{data}]")
}

/// A message and its offset, as Turnpike writes them.
pub(super) fn delivery(text: &str) -> Option<(Message<'_>, Option<&str>)> {
    let (message, rest) = packet::delivery(text.strip_prefix("42[\"message\",")?)?;
    if rest == "]" {
        return Some((message, None));
    }
    let (offset, rest) = packet::plain_text(rest.strip_prefix(',')?)?;
    (rest == "]").then_some((message, Some(offset)))
}

pub(super) fn read(text: &str) -> Packet<'_> {
    if let Some((message, offset)) = delivery(text) {
        return Packet::Message(message, offset);
    }
    match text.as_bytes() {
        [b'4', b'2', ..] => read_event(&text[2..]),
        [b'4', b'3', ..] => read_answer(&text[2..]),
        _ => read_transport(text),
    }
}

/// Everything but events and their answers.
pub(super) fn read_transport(text: &str) -> Packet<'_> {
    match text.as_bytes() {
        [b'0', ..] => Packet::Open,
        b"2" => Packet::Ping,
        [b'4', b'0', ..] => {
            Packet::Entered(serde_json::from_str(without_namespace(&text[2..])).unwrap_or_default())
        }
        [b'4', b'4', ..] => Packet::Refused(refusal(without_namespace(&text[2..]))),
        b"1" | [b'4', b'1', ..] => Packet::Closed,
        b"6" => Packet::Event(None),
        _ => Packet::Garbage,
    }
}

fn refusal(text: &str) -> Refusal {
    #[derive(Deserialize)]
    struct ConnectError {
        #[serde(default)]
        message: String,
        data: Option<Refusal>,
    }
    match serde_json::from_str(text) {
        Ok(ConnectError { data: Some(refusal), .. }) => refusal,
        Ok(ConnectError { message, .. }) => Refusal { reason: message, ..Refusal::default() },
        Err(_) => Refusal::default(),
    }
}

fn read_event(text: &str) -> Packet<'_> {
    // An event that wants an ack has its number in front.
    let start = text.find('[').unwrap_or(text.len());
    serde_json::from_str(&text[start..]).map_or(Packet::Garbage, |Event(packet)| packet)
}

/// Of a server there is hardly anything but messages, so they are read in one pass.
struct Event<'a>(Packet<'a>);

impl<'de> Deserialize<'de> for Event<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Event<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut arguments: A) -> Result<Self::Value, A::Error> {
        let nameless = || A::Error::invalid_length(0, &"the name of an event");
        let name = arguments.next_element::<&RawValue>()?.ok_or_else(nameless)?.get().trim_matches('"');
        if name == "message" {
            let dataless = || A::Error::invalid_length(1, &"a message");
            let message = arguments.next_element()?.ok_or_else(dataless)?;
            let offset = last(arguments)?.and_then(plain_text);
            return Ok(Event(Packet::Message(message, offset)));
        }
        let data = arguments.next_element::<&RawValue>()?.map(RawValue::get);
        let offset = last(arguments)?.or(data).and_then(plain_text);
        Ok(Event(packet::event(name, data.unwrap_or("null"), offset)))
    }
}

/// What stands behind everything else, as it is written.
fn last<'de, A: SeqAccess<'de>>(mut arguments: A) -> Result<Option<&'de str>, A::Error> {
    let mut last = None;
    while let Some(argument) = arguments.next_element::<&RawValue>()? {
        last = Some(argument.get());
    }
    Ok(last)
}

fn read_answer(text: &str) -> Packet<'_> {
    let Some((id, list)) = text.split_once('[') else { return Packet::Garbage };
    let Ok(id) = id.parse() else { return Packet::Garbage };
    match list.strip_suffix(']') {
        Some(data) => packet::answer(id, data),
        None => Packet::Garbage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_understood() {
        assert!(matches!(read("0{\"sid\":\"x\"}"), Packet::Open));
        assert!(matches!(read("2"), Packet::Ping));
        assert!(matches!(read("41"), Packet::Closed));
        let Packet::Entered(entered) = read("40{\"sid\":\"a\",\"pid\":\"b\"}") else { panic!("not in") };
        assert_eq!(entered.pid.as_deref(), Some("b"));
        let Packet::Refused(refusal) = read(
            "44{\"message\":\"no\",\"data\":{\"code\":104,\"reason\":\"unauthorized\",\"retryable\":false}}",
        ) else {
            panic!("not refused")
        };
        assert_eq!(refusal.name(), "104 unauthorized");
        let text = "42[\"message\",{\"room\":\"r\",\"epoch\":1,\"seq\":2,\"id\":\"i\",\"from\":\"u\",\"ts\":3,\"body\":\"hi\"},\"off\"]";
        let Packet::Message(message, Some("off")) = read(text) else { panic!("no message") };
        assert_eq!((&*message.room, message.epoch, message.seq, message.body), ("r", 1, 2, "\"hi\""));
        assert!(delivery(text).is_some() && delivery(&text.replace(",\"off\"", "")).is_some());
        assert!(delivery(&text.replace("\"off\"", "{},\"off\"")).is_none());
        let Packet::Answer(17, answer) =
            read("4317[{\"ok\":true,\"room\":\"r\",\"epoch\":1,\"seq\":2,\"messages\":[]}]")
        else {
            panic!("no answer")
        };
        assert!(answer.ok && answer.messages.is_empty());
        assert_eq!((answer.epoch, answer.seq), (Some(1), Some(2)));
        for (text, expected) in [
            ("42[\"room:typing\",{\"room\":\"r\"},\"off\"]", Some("off")),
            ("42[\"room:typing\",\"off\"]", Some("off")),
            ("427[\"x\",1,2,[]]", None),
            ("42[\"x\"]", None),
        ] {
            let Packet::Event(offset) = read(text) else { panic!("no event: {text}") };
            assert_eq!(offset, expected, "{text}");
        }
        let Packet::Closing(closing) =
            read("42[\"closing\",{\"code\":3001,\"reason\":\"drain\",\"reconnect_after_ms\":70}]")
        else {
            panic!("not closing")
        };
        assert_eq!((closing.code, closing.reconnect_after_ms), (3001, Some(70)));
    }

    #[test]
    fn nonsense_is_garbage_and_no_panic() {
        for text in [
            "",
            "4",
            "42",
            "42[",
            "42[]",
            "43",
            "43x[1]",
            "431[",
            "42[\"message\",7]",
            "42[\"message\"]",
            "42[\"message\",{\"room\":\"r\",\"epoch\":1,\"seq\":2,\"body\":1},",
            "42[\"message\",{\"room\":\"r\",\"epoch\":1,\"seq\":2,\"body\":tru},\"off\"]",
            "42[\"x\",{}] ,",
            "9",
            "4\u{e4}",
            "43[{}]",
        ] {
            assert!(matches!(read(text), Packet::Garbage), "{text:?}");
        }
    }

    #[test]
    fn what_is_said_is_json() {
        let ticket = Ticket { pid: "p".into(), offset: "1:2".into() };
        let entered: serde_json::Value =
            serde_json::from_str(&enter("/", "t", None, Some(&ticket))[2..]).unwrap();
        assert_eq!(entered, serde_json::json!({ "token": "t", "pid": "p", "offset": "1:2" }));
        let entered: serde_json::Value =
            serde_json::from_str(&enter("/", "t", Some("d"), None)[2..]).unwrap();
        assert_eq!(entered, serde_json::json!({ "token": "t", "device": "d" }));
        assert!(enter("/chat", "t", None, None).starts_with("40/chat,{"));
        assert_eq!(event(3, "ping", "{}"), "423[\"ping\",{}]");
    }
}
