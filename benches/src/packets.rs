//! The little of Socket.IO that a load driver needs: which packet a payload is, and the payloads it sends. Pure.
//! Every payload that must be accounted for carries `#` and ten digits; nothing else in an event contains `#`.

use std::io::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    Open,
    Ping,
    Connected,
    Refused,
    Message {
        number: Option<u64>,
    },
    Ack {
        id: u64,
        ok: bool,
        number: Option<u64>,
    },
    /// `closing`, `error`, a namespace disconnect: the server has given up on this connection.
    GivenUp,
    /// `session`, `presence` and whatever else a server says on its own account.
    Other,
}

/// Looks at the first bytes of a text payload.
pub fn classify(head: &[u8]) -> Packet {
    match head {
        [b'4', b'2', event @ ..] => {
            if event.starts_with(b"[\"message\"") {
                Packet::Message { number: number(event) }
            } else if event.starts_with(b"[\"closing\"") || event.starts_with(b"[\"error\"") {
                Packet::GivenUp
            } else {
                Packet::Other
            }
        }
        [b'4', b'3', ack @ ..] => {
            let digits = ack.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let id = ack[..digits].iter().fold(0, |id, digit| id * 10 + u64::from(digit - b'0'));
            let answer = &ack[digits..];
            let start = &answer[..answer.len().min(64)];
            Packet::Ack {
                id,
                ok: memchr::memmem::find(start, b"\"ok\":true").is_some(),
                number: number(answer),
            }
        }
        [b'2'] => Packet::Ping,
        [b'4', b'0', ..] => Packet::Connected,
        [b'4', b'4', ..] => Packet::Refused,
        [b'0', ..] => Packet::Open,
        [b'4', b'1', ..] | [b'1', ..] => Packet::GivenUp,
        _ => Packet::Other,
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let at = memchr::memchr(b'#', text)? + 1;
    let digits = text.get(at..at + 10)?;
    digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| digits.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Body {
    /// A string of so many bytes.
    Text(usize),
    /// An object of about so many bytes of JSON, as compressible as such things are.
    Json(usize),
}

impl Body {
    /// The JSON of the body, with a place for the number.
    pub fn template(self) -> Vec<u8> {
        match self {
            Self::Text(bytes) => {
                let mut text = b"\"#0000000000".to_vec();
                let words = b" the quick brown fox jumps over the lazy dog;";
                let filler = bytes.saturating_sub(11);
                text.extend(words.iter().cycle().take(filler));
                text.push(b'"');
                text
            }
            Self::Json(bytes) => json_of(bytes),
        }
    }
}

/// A feed update: names repeat, values do not. Deflates to about a third, as chat and market payloads do.
fn json_of(bytes: usize) -> Vec<u8> {
    let mut text = b"{\"n\":\"#0000000000\",\"items\":[".to_vec();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut first = true;
    while text.len() < bytes.saturating_sub(60) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let comma = if first { "" } else { "," };
        first = false;
        let (symbol, price, size) = (random % 900 + 100, random >> 20 & 0xf_ffff, random >> 44 & 0xfff);
        let side = if random & 1 == 0 { "buy" } else { "sell" };
        let _ = write!(
            text,
            "{comma}{{\"symbol\":\"TP{symbol}\",\"price\":{price}.25,\"size\":{size},\"side\":\"{side}\"}}"
        );
    }
    text.extend_from_slice(b"]}");
    text
}

/// Writes the number into a body made from a template.
pub fn stamp(body: &mut [u8], number: u64) {
    let at = memchr::memchr(b'#', body).expect("every template has a place for the number") + 1;
    for (place, slot) in body[at..at + 10].iter_mut().rev().enumerate() {
        *slot = b'0' + (number / 10_u64.pow(place as u32) % 10) as u8;
    }
}

pub fn connect(out: &mut Vec<u8>, token: &str) {
    out.clear();
    let _ = write!(out, "40{{\"token\":\"{token}\"}}");
}

/// With the private id of the session that is to go on, and how far it had come.
pub fn reconnect(out: &mut Vec<u8>, token: &str, pid: &str, offset: &str) {
    out.clear();
    let _ = write!(out, "40{{\"token\":\"{token}\",\"pid\":\"{pid}\",\"offset\":\"{offset}\"}}");
}

pub fn join(out: &mut Vec<u8>, ack: u64, room: u32) {
    out.clear();
    let _ = write!(out, "42{ack}[\"room:join\",{{\"room\":\"bench-{room}\"}}]");
}

pub fn leave(out: &mut Vec<u8>, ack: u64, room: u32) {
    out.clear();
    let _ = write!(out, "42{ack}[\"room:leave\",{{\"room\":\"bench-{room}\"}}]");
}

pub fn send(out: &mut Vec<u8>, ack: u64, room: u32, body: &[u8]) {
    out.clear();
    let _ = write!(out, "42{ack}[\"message:send\",{{\"room\":\"bench-{room}\",\"body\":");
    out.extend_from_slice(body);
    out.extend_from_slice(b"}]");
}

/// The same with an id of the sender's, made from the number that the body carries.
pub fn send_identified(out: &mut Vec<u8>, ack: u64, room: u32, number: u64, body: &[u8]) {
    out.clear();
    let _ = write!(
        out,
        "42{ack}[\"message:send\",{{\"room\":\"bench-{room}\",\"id\":\"bench-{number}\",\"body\":"
    );
    out.extend_from_slice(body);
    out.extend_from_slice(b"}]");
}

pub fn ping(out: &mut Vec<u8>, ack: u64, number: u64) {
    out.clear();
    let _ = write!(out, "42{ack}[\"ping\",\"#{number:010}\"]");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart() {
        let table: [(&str, Packet); 12] = [
            ("0{\"sid\":\"x\"}", Packet::Open),
            ("2", Packet::Ping),
            ("40{\"sid\":\"x\"}", Packet::Connected),
            ("44{\"message\":\"no\"}", Packet::Refused),
            ("41", Packet::GivenUp),
            ("42[\"session\",{},\"o\"]", Packet::Other),
            ("42[\"closing\",{}]", Packet::GivenUp),
            (
                "42[\"message\",{\"room\":\"r\",\"body\":\"#0000000042 x\"}]",
                Packet::Message { number: Some(42) },
            ),
            ("42[\"message\",{\"body\":\"#12\"}]", Packet::Message { number: None }),
            ("43170[{\"ok\":true}]", Packet::Ack { id: 170, ok: true, number: None }),
            ("430[{\"ok\":false}]", Packet::Ack { id: 0, ok: false, number: None }),
            ("431[{\"ok\":true,\"data\":\"#0000000007\"}]", Packet::Ack { id: 1, ok: true, number: Some(7) }),
        ];
        for (text, packet) in table {
            assert_eq!(classify(text.as_bytes()), packet, "{text}");
        }
    }

    #[test]
    fn bodies_have_their_size_and_keep_their_number() {
        for (body, bytes) in
            [(Body::Text(128), 130), (Body::Text(65_536), 65_538), (Body::Json(2_048), 2_048)]
        {
            let mut text = body.template();
            assert!(text.len().abs_diff(bytes) < 80, "{body:?} has {} bytes", text.len());
            serde_json::from_slice::<serde_json::Value>(&text).unwrap();
            stamp(&mut text, 9_876_543_210);
            assert_eq!(number(&text), Some(9_876_543_210));
            stamp(&mut text, 5);
            assert_eq!(number(&text), Some(5));
            let mut packet = Vec::new();
            send(&mut packet, 3, 4, &text);
            serde_json::from_slice::<serde_json::Value>(&packet[3..]).unwrap();
        }
    }
}
