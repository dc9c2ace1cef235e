//! A Socket.IO server with events of its own: which they are stands in the profile, as the JSON of their packets.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Request,
    packet::{Answer, Packet, Refusal},
    socketio,
};

/// In the texts `$room` stands for the room's name, `$body` for the JSON of a message, `$id` for its id.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct App {
    /// Where Engine.IO answers.
    pub path: String,
    pub namespace: String,
    pub join: String,
    pub leave: String,
    pub send: String,
    /// Without it nobody types.
    pub typing: Option<String>,
    /// The event with which members are given a message; wherever in its arguments.
    pub deliver: String,
    /// Whether the server acknowledges what it is asked for.
    pub acks: bool,
    /// Whether senders are given their own messages.
    pub echo: bool,
}

impl Default for App {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            namespace: "/".to_owned(),
            join: r#"["join","$room"]"#.to_owned(),
            leave: r#"["leave","$room"]"#.to_owned(),
            send: r#"["message","$room",$body]"#.to_owned(),
            typing: None,
            deliver: "message".to_owned(),
            acks: true,
            echo: true,
        }
    }
}

impl App {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let filled = |text: &str| text.replace("$room", "r").replace("$body", "\"b\"").replace("$id", "i");
        let mut faults = Vec::new();
        let texts = [
            ("join", Some(&self.join)),
            ("leave", Some(&self.leave)),
            ("send", Some(&self.send)),
            ("typing", self.typing.as_ref()),
        ];
        for (name, text) in texts {
            let Some(text) = text else { continue };
            let packet: Option<Vec<serde_json::Value>> = serde_json::from_str(&filled(text)).ok();
            if !packet.is_some_and(|list| list.first().is_some_and(serde_json::Value::is_string)) {
                faults.push(format!("app.{name}: a packet is a list whose first is the event's name, like [\"{name}\",\"$room\"]"));
            }
        }
        for (name, path) in [("path", &self.path), ("namespace", &self.namespace)] {
            if !path.starts_with('/') || path.contains([',', '?']) {
                faults.push(format!("app.{name}: begins with / and has neither , nor ?"));
            }
        }
        if !self.send.contains("$body") {
            faults.push("app.send: without $body nobody can say what became of a message".to_owned());
        }
        faults
    }

    pub(super) fn ask(&self, id: u64, request: Request<'_>) -> Option<String> {
        let list = match request {
            Request::Join { room, .. } => self.join.replace("$room", room),
            Request::Leave { room } => self.leave.replace("$room", room),
            Request::Typing { room } => self.typing.as_ref()?.replace("$room", room),
            Request::Received { .. } => return None,
            Request::Send { room, id, body } => {
                self.send.replace("$room", room).replace("$id", id).replace("$body", body)
            }
        };
        let namespace = socketio::prefix(&self.namespace);
        Some(if self.acks { format!("42{namespace}{id}{list}") } else { format!("42{namespace}{list}") })
    }

    pub(super) fn read<'a>(&self, text: &'a str) -> Packet<'a> {
        match text.as_bytes() {
            [b'4', b'2', ..] => self.read_event(socketio::without_namespace(&text[2..])),
            [b'4', b'3', ..] => read_answer(socketio::without_namespace(&text[2..])),
            _ => socketio::read_transport(text),
        }
    }

    fn read_event<'a>(&self, text: &'a str) -> Packet<'a> {
        // An event that wants an ack has its number in front.
        let start = text.find('[').unwrap_or(text.len());
        let list = &text[start..];
        let Ok(arguments) = serde_json::from_str::<Vec<&RawValue>>(list) else { return Packet::Garbage };
        let Some(name) = arguments.first().map(|name| name.get().trim_matches('"')) else {
            return Packet::Garbage;
        };
        let offset = socketio::offset(&arguments);
        if name == self.deliver { Packet::Tagged(list, offset) } else { Packet::Event(offset) }
    }
}

/// Whatever the server says is good, but an object that says otherwise.
fn read_answer(text: &str) -> Packet<'_> {
    let Some((id, list)) = text.split_once('[') else { return Packet::Garbage };
    let Ok(id) = id.parse() else { return Packet::Garbage };
    let list: Vec<serde_json::Value> = serde_json::from_str(&format!("[{list}")).unwrap_or_default();
    let told = list.first();
    let refused = told.is_some_and(|told| told["ok"] == false || !told["error"].is_null());
    let reason = told.map(|told| told["error"].as_str().unwrap_or("refused").to_owned());
    let error = refused.then(|| Refusal { reason: reason.unwrap_or_default(), ..Refusal::default() });
    Packet::Answer(id, Box::new(Answer { ok: !refused, error, ..Answer::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_events_are_those_of_the_profile() {
        let app = App { namespace: "/chat".into(), ..App::default() };
        assert!(app.faults().is_empty(), "{:?}", app.faults());
        let request = Request::Send { room: "r", id: "i", body: "\"b\"" };
        assert_eq!(app.ask(4, request).unwrap(), "42/chat,4[\"message\",\"r\",\"b\"]");
        let silent = App { acks: false, ..App::default() };
        assert_eq!(
            silent.ask(4, Request::Join { room: "r", since: None, presence: true }).unwrap(),
            "42[\"join\",\"r\"]"
        );
        assert!(silent.ask(4, Request::Typing { room: "r" }).is_none());
        assert!(matches!(
            app.read("42/chat,[\"message\",\"r\",\"tp!\",\"off\"]"),
            Packet::Tagged(_, Some("off"))
        ));
        assert!(matches!(app.read("42/chat,[\"other\",7]"), Packet::Event(None)));
        assert!(matches!(app.read("40/chat,{\"sid\":\"x\"}"), Packet::Entered(_)));
        for (text, ok) in
            [("[]", true), ("[{\"ok\":false}]", false), ("[{\"error\":\"full\"}]", false), ("[null]", true)]
        {
            let text = format!("43/chat,17{text}");
            let Packet::Answer(17, answer) = app.read(&text) else { panic!("no answer") };
            assert_eq!(answer.ok, ok, "{text}");
        }
        assert!(matches!(app.read("42"), Packet::Garbage));
    }

    #[test]
    fn what_is_no_packet_is_said() {
        let app = App {
            join: "join".into(),
            send: "[\"message\"]".into(),
            namespace: "chat".into(),
            ..App::default()
        };
        let faults = app.faults().join("\n");
        for part in ["app.join", "app.send", "app.namespace"] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
    }
}
