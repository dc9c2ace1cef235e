//! `docs/protocol.md`: every event with its fields, made from the types that nodes read and write.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::site::root;
use crate::types::{Field, Kind, Types};

/// Later ones may speak of numbers of earlier ones.
const FILES: [&str; 9] = [
    "limits.rs",
    "presence.rs",
    "ice.rs",
    "media.rs",
    "media/state.rs",
    "media/candidate.rs",
    "media/relay.rs",
    "event/client.rs",
    "event/server.rs",
];
/// Has the name of another file, and is read for itself.
const MEDIA: &str = "event/media.rs";

/// An event that clients send, the type of its data, the type of its answer.
const EVENTS: [(&str, &str, &str); 22] = [
    ("room:join", "client::RoomJoin", "client::RoomJoined"),
    ("room:leave", "client::RoomLeave", ""),
    ("message:send", "client::MessageSend", "client::MessageSent"),
    ("message:history", "client::MessageHistory", "client::History"),
    ("message:received", "client::MessageMark", ""),
    ("message:read", "client::MessageMark", ""),
    ("typing:start", "client::Typing", ""),
    ("typing:stop", "client::Typing", ""),
    ("presence:update", "client::PresenceUpdate", ""),
    ("presence:list", "client::PresenceList", "client::PresencePage"),
    ("auth:refresh", "client::AuthRefresh", "client::AuthRefreshed"),
    ("ping", "", "client::Pong"),
    ("media:publish", "media::MediaPublish", "media::MediaDescribed"),
    ("media:subscribe", "media::MediaSubscribe", "media::MediaDescribed"),
    ("media:restart", "media::MediaDescription", "media::MediaDescribed"),
    ("media:resume", "media::MediaNamed", "media::MediaResumed"),
    ("media:answer", "media::MediaDescription", ""),
    ("media:candidate", "media::MediaCandidate", ""),
    ("media:layer", "media::MediaLayer", ""),
    ("media:mute", "media::MediaMute", ""),
    ("media:record", "media::MediaRecord", "media::MediaRecorded"),
    ("media:stop", "media::MediaNamed", ""),
];

const TOLD: [(&str, &str); 12] = [
    ("session", "server::Session"),
    ("message", "server::Message"),
    ("receipt", "server::Receipt"),
    ("typing", "server::Typing"),
    ("presence", "server::Presence"),
    ("resync", "server::Resync"),
    ("expiring", "server::Expiring"),
    ("closing", "server::Closing"),
    ("error", "server::Error"),
    ("media:offer", "media::MediaOffer"),
    ("media:candidate", "media::MediaCandidate"),
    ("media:state", "media::MediaState"),
];

/// Objects within objects, each with a section of its own.
const OBJECTS: [&str; 8] =
    ["Member", "Shown", "UserMark", "IceServer", "Track", "TrackLayer", "Candidate", "Message"];

#[test]
fn the_reference_is_that_of_the_types() {
    let root = root();
    let mut types = Types::read(&root, &FILES);
    types.structs.extend(Types::read(&root, &["limits.rs", MEDIA]).structs);
    types.enums.extend(Types::read(&root, &[MEDIA]).enums);
    for part in ["Shown", "Mute", "LayerWish", "StreamState", "IceCredential"] {
        assert!(types.structs.keys().any(|(_, name)| name == part), "{part} is flattened into others");
    }
    let mut page = String::from("\n\n## What you send\n");
    for (event, data, answer) in EVENTS {
        writeln!(page, "\n### {event}\n").unwrap();
        if data.is_empty() {
            page.push_str("Any JSON of at most 1024 bytes, or nothing.\n");
        } else {
            object(&mut page, &types, data, Way::Sent);
        }
        if answer.is_empty() {
            page.push_str("\n**Answer:** nothing but `ok`.\n");
        } else {
            page.push_str("\n**Answer:**\n\n");
            object(&mut page, &types, answer, Way::Told);
        }
    }
    page.push_str("\n## What you are told\n");
    for (event, data) in TOLD {
        // The one that both sides send has a heading already.
        writeln!(page, "\n### {event} (told)\n").unwrap();
        object(&mut page, &types, data, Way::Told);
    }
    page.push_str("\n## Objects in these\n");
    for name in OBJECTS {
        let (module, _) = types.structs.keys().find(|(_, known)| known == name).expect("it is an object");
        writeln!(page, "\n### {name}\n").unwrap();
        let way = if name == "Candidate" { Way::Sent } else { Way::Told };
        object(&mut page, &types, &format!("{module}::{name}"), way);
    }
    page.push_str("\n## Sizes\n\n| what | at most | |\n| --- | --- | --- |\n");
    for (name, (value, about)) in types.numbers.iter().filter(|(name, _)| name.ends_with("_MAX")) {
        let what = name.trim_end_matches("_MAX").to_lowercase().replace('_', " ");
        writeln!(page, "| {what} | {value} | {about} |").unwrap();
    }
    page.push('\n');
    let marks = ["<!-- Made from the types -->", "<!-- end -->"];
    let command = "cargo test -p turnpike-book";
    turnpike_lab::hold_document(&root.join("docs/protocol.md"), marks, &page, command);
}

/// Which side says it, and so what may be left away.
#[derive(Clone, Copy)]
enum Way {
    Sent,
    Told,
}

fn object(page: &mut String, types: &Types, name: &str, way: Way) {
    let (module, name) = name.split_once("::").unwrap();
    let known = types.structs.get(&(module.to_owned(), name.to_owned()));
    let known = known.unwrap_or_else(|| panic!("there is no {module}::{name}"));
    if !known.about.is_empty() {
        writeln!(page, "{}\n", known.about).unwrap();
    }
    page.push_str("| field | type | |\n| --- | --- | --- |\n");
    rows(page, types, &known.fields, way, false);
}

fn rows(page: &mut String, types: &Types, fields: &[Field], way: Way, all_or_none: bool) {
    for field in fields {
        if field.flat {
            let Kind::Named(name) = &field.kind else { panic!("a list cannot be flat") };
            let inner = types.structs.iter().find(|((_, known), _)| known == name).expect("a flat object");
            rows(page, types, &inner.1.fields, way, field.told_without);
            continue;
        }
        let absent = match way {
            Way::Sent => field.read_without,
            Way::Told => field.told_without,
        };
        let mark = if absent || all_or_none { "?" } else { "" };
        let null = if field.null && !absent { " or `null`" } else { "" };
        writeln!(page, "| `{}{mark}` | {}{null} | {} |", field.name, shown(types, &field.kind), field.about)
            .unwrap();
    }
}

fn shown(types: &Types, kind: &Kind) -> String {
    match kind {
        Kind::List(of) => {
            let one = shown(types, of);
            format!("list of {one}{}", if one.ends_with(" id") { "s" } else { "" })
        }
        Kind::Named(name) => match name.as_str() {
            "bool" => "true or false".into(),
            "u8" | "u16" | "u32" | "u64" => "whole number".into(),
            "str" | "String" => "text".into(),
            "RawValue" => "any JSON".into(),
            "RoomId" => "room id".into(),
            "UserId" => "user id".into(),
            "MessageId" => "message id".into(),
            "DeviceId" => "device id".into(),
            "Position" => "`epoch:seq`".into(),
            "Count" => "0 to 100".into(),
            "Activity" => "object".into(),
            "MediaSession" => "media session, as it came".into(),
            "Text" | "Mid" | "Rid" => "short text".into(),
            "Code" => "[code](clients.md#codes)".into(),
            object if OBJECTS.contains(&object) => format!("[{object}](#{})", object.to_lowercase()),
            word => {
                let words = types.enums.get(word).unwrap_or_else(|| panic!("nobody knows {word}"));
                words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
        },
    }
}

/// The lists above are those of the code: every event, and the types that its file in the gateway speaks of.
#[test]
fn every_event_has_its_types() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let client = read("crates/wire/src/event/client.rs");
    let (_, list) = client.split_once("client_events! {").unwrap();
    let (list, _) = list.split_once('}').unwrap();
    let known: BTreeSet<&str> = list.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(EVENTS.iter().map(|(event, ..)| *event).collect::<BTreeSet<_>>(), known);
    let shared = read("gateway/src/events/media.rs");
    for (event, data, answer) in EVENTS {
        let file = read(&format!("gateway/src/events/{}.rs", event.replace(':', "_")));
        for name in [data, answer] {
            let name = name.rsplit("::").next().unwrap();
            assert!(file.contains(name) || shared.contains(name), "{event}: {name}");
        }
    }
    let mut told = BTreeSet::new();
    for file in ["server", "media"] {
        let text = read(&format!("crates/wire/src/event/{file}.rs"));
        let names = text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1));
        told.extend(names.map(ToOwned::to_owned));
    }
    assert_eq!(TOLD.iter().map(|(event, _)| (*event).to_owned()).collect::<BTreeSet<_>>(), told);
    assert!(Path::new(&root()).join("docs/protocol.md").is_file());
}
