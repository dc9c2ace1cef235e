//! `ping`: the data comes back, for latency displays and load tests.

use std::fmt::Write as _;

use turnpike_engine::packet::Args;
use turnpike_wire::limits::PING_BYTES_MAX;
use turnpike_wire::{Code, Failure};

use super::{Reply, SMALL_ANSWER_BYTES};
use crate::clock::unix_ms;

/// The JSON text of the data. The engine has checked it.
pub(super) fn parse(args: &Args) -> Result<Option<&str>, Failure> {
    // Attachments are not sent back, so a placeholder would mean nothing.
    if !args.attachments().is_empty() {
        return Err(Failure::new(Code::BadRequest, "ping takes JSON"));
    }
    if args.len() > 1 {
        return Err(Failure::new(Code::BadRequest, "ping takes one argument"));
    }
    let data = args.raw(0);
    if data.is_some_and(|data| data.len() > PING_BYTES_MAX) {
        return Err(Failure::new(Code::TooLarge, "ping takes at most 1024 bytes"));
    }
    Ok(data)
}

/// The answer of [`turnpike_wire::event::client::Pong`], written by hand: this is what load tests and latency displays
/// send all the time, and taking the data apart and together again would cost more than all the rest of it.
pub(super) fn apply(data: Option<&str>) -> Reply {
    let data = data.unwrap_or("null");
    let mut args_json = String::with_capacity(SMALL_ANSWER_BYTES + data.len());
    args_json.push_str(r#"[{"ok":true,"data":"#);
    args_json.push_str(data);
    write!(args_json, r#","server_time":{}}}]"#, unix_ms()).expect("a String takes everything");
    Reply { args_json, attachments: Vec::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use turnpike_wire::Answer;
    use turnpike_wire::event::client::Pong;

    use super::*;

    #[test]
    fn written_as_the_protocol_says() {
        for data in [None, Some("null"), Some(r#"{"a":[1,"}"]}"#)] {
            let written = apply(data).args_json;
            let parsed: serde_json::Value = serde_json::from_str(&written).unwrap();
            let server_time = parsed[0]["server_time"].as_u64().unwrap();
            let raw = data.map(|data| RawValue::from_string(data.to_owned()).unwrap());
            let by_type = Answer::Done(Pong { data: raw.as_deref(), server_time });
            assert_eq!(written, format!("[{}]", serde_json::to_string(&by_type).unwrap()));
        }
    }
}
