//! The plain JSON protocol of `/ws`.
//!
//! Requests are `{"id":1,"event":"room:join","data":{...}}`, answers `{"id":1,...}` with the fields of the answer beside
//! the number, pushes `{"event":"message","data":{...}}`. Binary values that clients of Socket.IO sent stand in them as
//! `{"$binary":"<base64>"}`.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::placeholder::Announced;
use super::scan::Scanner;
use super::{Args, Limits, PacketError, binary_text, check};

/// A request from a raw client. `data` is JSON text, `null` when it was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawInbound<'a> {
    pub id: Option<u64>,
    pub event: Cow<'a, str>,
    pub data: &'a str,
    /// The event's name as it stood in the text, quotes included.
    quoted: &'a str,
}

impl<'a> RawInbound<'a> {
    /// Members that are not part of a request are passed over. `connect` is an event like others here: the first one.
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, PacketError> {
        if text.len() > limits.packet_bytes_max {
            return Err(PacketError::TooLarge { bytes_max: limits.packet_bytes_max });
        }
        let (mut id, mut event, mut data) = (None, None, None);
        // A member that comes twice could mean one thing here and another to who reads it next.
        let set = |field: &mut Option<Range<usize>>, span| match field.replace(span) {
            None => Ok(()),
            Some(_) => Err(PacketError::Payload),
        };
        Scanner::new(text, limits, Announced::new(0)).object(|key, span| {
            if key.is("id") {
                set(&mut id, span)
            } else if key.is("event") {
                set(&mut event, span)
            } else if key.is("data") {
                set(&mut data, span)
            } else {
                Ok(())
            }
        })?;
        let quoted = event.map(|span| &text[span]).filter(|name| name.starts_with('"'));
        let quoted = quoted.ok_or(PacketError::EventName)?;
        let event: Cow<'a, str> = match &quoted[1..quoted.len() - 1] {
            plain if !plain.contains('\\') => Cow::Borrowed(plain),
            _ => Cow::Owned(serde_json::from_str(quoted).map_err(|_| PacketError::EventName)?),
        };
        match check::event_name(&event, limits) {
            Err(PacketError::ReservedEvent) if event == "connect" => {}
            checked => checked?,
        }
        let id =
            id.map(|span| text[span].parse::<u64>().map_err(|_| PacketError::AckId).and_then(check::ack));
        Ok(Self { id: id.transpose()?, event, data: data.map_or("null", |span| &text[span]), quoted })
    }

    /// The same as the arguments of an event: `["room:join",{...}]`.
    pub fn to_args(&self) -> Args {
        Args::of_checked(self.quoted, self.data)
    }
}

/// A push. `data` is JSON text.
pub(super) fn event(name: &str, data: &str, attachments: &[Bytes]) -> String {
    let name = serde_json::to_string(name).expect("strings serialise");
    let data = binary_text::embed(data, attachments);
    format!("{{\"event\":{name},\"data\":{data}}}")
}

/// An answer: the fields of the first argument behind the request's number. An argument that is no object, or
/// is binary, stands under `data`. A field `id` of the answer's own, which would hide the number, is called `result_id`.
pub(super) fn answer(id: u64, args: &str, attachments: &[Bytes]) -> String {
    let mut answer = format!("{{\"id\":{id}");
    if let Some(argument) = first_element(args) {
        let argument = binary_text::embed(argument, attachments);
        answer.reserve(argument.len() + 16);
        let numbered = answer.len();
        let whole = argument.starts_with("{\"$binary\":");
        let members = Scanner::new(&argument, &Limits::TRUSTING, ()).object(|key, value| {
            let key = if key.is("id") { "result_id" } else { key.text() };
            answer.extend([",\"", key, "\":", &argument[value]]);
            Ok(())
        });
        if whole || members.is_err() {
            answer.truncate(numbered);
            answer.extend([",\"data\":", &argument]);
        }
    }
    answer.push('}');
    answer
}

fn first_element(array: &str) -> Option<&str> {
    let mut first = None;
    let scanned = Scanner::new(array, &Limits::TRUSTING, ()).array(|element| {
        first.get_or_insert(element);
        Ok(())
    });
    scanned.ok().and(first).map(|element| &array[element])
}
