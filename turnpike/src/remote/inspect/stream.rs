//! A stream as a terminal shows it: the relays that have it, the links between them, its tracks and their layers.

use std::fmt::Write as _;

use serde_json::Value;
use turnpike_daemon::log::escaped;

use super::unanswered;
use crate::remote::table::{Column, table, text, time};

pub(super) fn shown(answer: &Value) -> String {
    let relays: &[Column] = &[
        ("RELAY", |one| text(&one["node"])),
        ("", |one| if one["home"] == true { "published here".into() } else { "carries it".into() }),
        ("LINK", |one| text(&one["link"])),
        ("BUSY", |one| {
            one["load_permille"].as_u64().map_or("-".into(), |load| format!("{} %", load.div_ceil(10)))
        }),
        ("PUBLISHERS", |one| text(&one["publishers"])),
        ("VIEWERS", |one| text(&one["viewers"])),
        ("ALL VIEWERS", |one| text(&one["at"]["viewers"])),
        ("FROM", |one| text(&one["at"]["from"])),
        ("GIVES TO", |one| text(&one["at"]["gives_to"])),
    ];
    let home = &answer["home"];
    let mut out = if home.is_null() {
        format!("{}: no relay says that it has it", text(&answer["stream"]))
    } else {
        format!(
            "{} at {} since {}: {} publish, {} watch",
            text(&answer["stream"]),
            text(&home["node"]),
            time(&home["since_ms"]),
            text(&home["publishers"]),
            text(&home["viewers"])
        )
    };
    let _ = write!(
        out,
        "\n\nRelays, with clients of gateways, and all who watch there:\n{}",
        table(&answer["relays"], relays, "none")
    );
    // Every relay that has it has the same tracks; where it is published they are known best.
    let all = || answer["relays"].as_array().into_iter().flatten();
    let best = all().find(|relay| relay["home"] == true && relay["at"].is_object());
    if let Some(relay) = best.or_else(|| all().find(|relay| relay["at"].is_object())) {
        let _ = write!(out, "\n\nTracks, as {} has them:\n{}", text(&relay["node"]), tracks(&relay["at"]));
    }
    for node in answer["nodes"].as_array().into_iter().flatten() {
        for session in node["sessions"].as_array().into_iter().flatten() {
            let (node, role) = (text(&node["node"]), text(&session["role"]));
            let _ = write!(out, "\n  {node}  {role}  {}", text(&session["connection"]));
        }
    }
    out + &unanswered(answer)
}

fn tracks(at: &Value) -> String {
    let columns: &[Column] = &[
        ("PUBLISHER", |one| text(&one["user"])),
        ("KIND", |one| text(&one["kind"])),
        ("", |one| if one["muted"] == true { "muted".into() } else { String::new() }),
        ("LAYERS", |one| {
            let layers: Vec<String> = one["layers"].as_array().into_iter().flatten().map(layer).collect();
            layers.join(", ")
        }),
    ];
    let mut out = table(&at["tracks"], columns, "none");
    if at["recording"] == true {
        out.push_str("\nit is recorded");
    }
    out
}

/// `h 640x360 480 kb/s`.
fn layer(layer: &Value) -> String {
    let name = layer["rid"].as_str().map(|rid| format!("{} ", escaped(rid))).unwrap_or_default();
    let size = match (layer["size"][0].as_u64(), layer["size"][1].as_u64()) {
        (Some(width), Some(height)) => format!("{width}x{height} "),
        _ => String::new(),
    };
    if layer["active"] == true {
        format!("{name}{size}{} kb/s", layer["bits_per_second"].as_u64().unwrap_or(0) / 1_000)
    } else {
        format!("{name}{size}nothing comes")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_is_shown_with_its_layers_and_ways() {
        let layer = |rid: Option<&str>, active: bool| json!({ "rid": rid, "active": active, "bits_per_second": 480_000, "size": [640, 360] });
        let track = json!({ "user": "alice", "kind": "video", "muted": false, "layers": [layer(Some("h"), true), layer(Some("f"), false)] });
        let sound = json!({ "user": "alice", "kind": "audio", "muted": true, "layers": [{ "rid": null, "active": true, "bits_per_second": 31_000, "size": null }] });
        let at = |from: Option<&str>, gives_to: u32| {
            json!({
                "phase": "live", "viewers": 3, "recording": true, "from": from, "gives_to": gives_to, "tracks": [track.clone(), sound.clone()], "more": 0,
            })
        };
        let relay = |node: &str, home: bool, at: Value| {
            json!({
                "node": node, "home": home, "publishers": 1, "viewers": 2, "link": null, "load_permille": 120, "at": at,
            })
        };
        let text = shown(&json!({
            "stream": "live:show", "home": { "node": "relay-1", "since_ms": 0, "publishers": 1, "viewers": 5 },
            "relays": [relay("relay-2", false, at(Some("relay-1"), 0)), relay("relay-1", true, at(None, 1)), relay("relay-3", false, Value::Null)],
            "nodes": [], "unanswered": [],
        }));
        insta::assert_snapshot!(text, @r"
        live:show at relay-1 since 1970-01-01T00:00:00.000Z: 1 publish, 5 watch

        Relays, with clients of gateways, and all who watch there:
        RELAY                    LINK  BUSY  PUBLISHERS  VIEWERS  ALL VIEWERS  FROM     GIVES TO
        relay-2  carries it      -     12 %  1           2        3            relay-1  0
        relay-1  published here  -     12 %  1           2        3            -        1
        relay-3  carries it      -     12 %  1           2        -            -        -

        Tracks, as relay-1 has them:
        PUBLISHER  KIND          LAYERS
        alice      video         h 640x360 480 kb/s, f 640x360 nothing comes
        alice      audio  muted  31 kb/s
        it is recorded
        ");
    }
}
