//! `ping`: the data comes back, for latency displays and load tests.

use serde_json::value::RawValue;
use turnpike_engine::packet::Args;
use turnpike_wire::event::client::Pong;
use turnpike_wire::limits::PING_BYTES_MAX;
use turnpike_wire::{Code, Failure};

use super::{Reply, data};
use crate::clock::unix_ms;

pub(super) fn parse(args: &Args) -> Result<Option<&RawValue>, Failure> {
    if args.is_empty() {
        return Ok(None);
    }
    // Attachments are not sent back, so a placeholder would mean nothing.
    if !args.attachments().is_empty() {
        return Err(Failure::new(Code::BadRequest, "ping takes JSON"));
    }
    let data: &RawValue = data(args)?;
    if data.get().len() > PING_BYTES_MAX {
        return Err(Failure::new(Code::TooLarge, "ping takes at most 1024 bytes"));
    }
    Ok(Some(data))
}

pub(super) fn apply(data: Option<&RawValue>) -> Reply {
    Reply::new(Pong { data, server_time: unix_ms() })
}
