//! The JSON of a message's event, written once when the message gets its place.

use turnpike_wire::{RoomId, UserId};

/// What stands in the event of a kept message, as `turnpike_wire::event::server::Message` writes it. Ids need no escapes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) id: &'a str,
    pub(crate) from: &'a UserId,
    pub(crate) ts: u64,
    /// JSON text.
    pub(crate) body: &'a str,
}

impl Event<'_> {
    pub(crate) fn json(&self) -> Box<str> {
        const FRAME: &str = r#"{"room":"","epoch":,"seq":,"id":"","from":"","ts":,"body":}"#;
        let Self { room, epoch, seq, id, from, ts, body } = *self;
        let texts = room.len() + id.len() + from.len() + body.len();
        // Just as much as it takes: a boxed text with room left over would be copied once more.
        let bytes = FRAME.len() + texts + digits(epoch) + digits(seq) + digits(ts);
        let mut text = String::with_capacity(bytes);
        // Piece by piece: formatting would take longer than everything else that is done to a message here.
        text.push_str(r#"{"room":""#);
        text.push_str(room);
        text.push_str(r#"","epoch":"#);
        push_number(epoch, &mut text);
        text.push_str(r#","seq":"#);
        push_number(seq, &mut text);
        text.push_str(r#","id":""#);
        text.push_str(id);
        text.push_str(r#"","from":""#);
        text.push_str(from);
        text.push_str(r#"","ts":"#);
        push_number(ts, &mut text);
        text.push_str(r#","body":"#);
        text.push_str(body);
        text.push('}');
        debug_assert_eq!(text.len(), bytes);
        text.into_boxed_str()
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn push_number(number: u64, text: &mut String) {
    const DIGITS_MAX: usize = 20;
    let mut written = [0; DIGITS_MAX];
    let (mut from, mut rest) = (DIGITS_MAX, number);
    loop {
        from -= 1;
        written[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.push_str(std::str::from_utf8(&written[from..]).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use turnpike_wire::event::server::Message;

    use super::*;

    #[test]
    fn it_is_what_the_wire_says() {
        let (room, from) = (RoomId::parse("chat:a@b").unwrap(), UserId::parse("alice").unwrap());
        for (number, body) in [
            (0, "1"),
            (9, r#"{"text":"hi \" ü"}"#),
            (10, "null"),
            (9_007_199_254_740_991, "[]"),
            (u64::MAX, "{}"),
        ] {
            let event =
                Event { room: &room, epoch: number, seq: number, id: "m-1", from: &from, ts: number, body };
            let written = Message {
                room: &room,
                epoch: number,
                seq: Some(number),
                id: "m-1",
                from: &from,
                ts: number,
                body: &RawValue::from_string(body.to_owned()).unwrap(),
                volatile: false,
            };
            assert_eq!(&*event.json(), serde_json::to_string(&written).unwrap());
        }
    }
}
