//! The values of the `Sec-WebSocket-*` headers, on the server's side (RFC 6455 4.2, RFC 7692 7.1).

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// RFC 6455 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version there is, and what a refusal (426) must name.
pub const VERSION: &str = "13";

const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// An offer that names our window, as large as it is, wants it named in the answer (RFC 7692 7.1.2.1).
const DEFLATE_WINDOW_15: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
pub fn accept(key: &str) -> Result<String, HandshakeError> {
    let nonce = key.strip_suffix("==").ok_or(HandshakeError::Key)?.as_bytes();
    // The shape alone: clients that leave stray bits in the last character do exist, and no harm comes of them.
    if nonce.len() != 22 || !nonce.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)) {
        return Err(HandshakeError::Key);
    }
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID);
    Ok(STANDARD.encode(context.finish()))
}

/// Checks `Sec-WebSocket-Version`.
pub fn version(value: &str) -> Result<(), HandshakeError> {
    if value.trim_ascii() == VERSION { Ok(()) } else { Err(HandshakeError::Version) }
}

/// Our answer to `Sec-WebSocket-Extensions`, or none if no offer suits. Several headers count as one, joined by
/// commas. The first offer that we can keep wins; what is not permessage-deflate is passed over.
pub fn negotiate_deflate(offers: &str) -> Option<&'static str> {
    split_unquoted(offers, ',').find_map(answer)
}

fn answer(offer: &str) -> Option<&'static str> {
    let mut parts = split_unquoted(offer, ';').map(str::trim_ascii);
    if parts.next()? != "permessage-deflate" {
        return None;
    }
    let mut seen = [false; 4];
    let mut answer = DEFLATE;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_ascii_end(), Some(unquoted(value.trim_ascii_start())?)),
            None => (part, None),
        };
        // RFC 7692 7.1: an offer with an unknown name, a bad value or a repeated name is declined.
        let which = match (name, value) {
            ("server_no_context_takeover", None) => 0,
            ("client_no_context_takeover", None) => 1,
            // A bare name says that we may ask for a smaller window, a value that it is no larger. We inflate any.
            ("client_max_window_bits", None) => 2,
            ("client_max_window_bits", Some(bits)) if window_bits(bits).is_some() => 2,
            // Our compressor has one window; an offer that wants a smaller one cannot be kept.
            ("server_max_window_bits", Some(bits)) if window_bits(bits) == Some(15) => {
                answer = DEFLATE_WINDOW_15;
                3
            }
            _ => return None,
        };
        if std::mem::replace(&mut seen[which], true) {
            return None;
        }
    }
    Some(answer)
}

/// 8 to 15, without a leading zero (RFC 7692 7.1.2).
fn window_bits(text: &str) -> Option<u8> {
    let bits = text.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (text.len() == if bits < 10 { 1 } else { 2 }).then_some(bits)
}

/// A value may be a token or a quoted string of the same content. Escapes never occur in values that we know.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// Splits at a separator that stands outside of quotes.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
    .map(str::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::{DEFLATE, DEFLATE_WINDOW_15, HandshakeError, accept, negotiate_deflate, version};

    #[test]
    fn accept_keys() {
        // RFC 6455 1.3.
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let refused = [
            "",
            "==",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25jZQ== ",
            " dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQAA==",
            "dGhlIHNhbXBsZSBub25j\u{e9}==",
            "dGhlIHNhbXBsZSBub25j-_==",
        ];
        for key in refused {
            assert_eq!(accept(key), Err(HandshakeError::Key), "{key:?}");
        }
    }

    #[test]
    fn versions() {
        assert_eq!(version("13"), Ok(()));
        assert_eq!(version(" 13 "), Ok(()));
        for other in ["", "8", "12", "14", "013", "13, 8", "1 3"] {
            assert_eq!(version(other), Err(HandshakeError::Version), "{other:?}");
        }
    }

    #[test]
    fn deflate_offers() {
        let taken = [
            "permessage-deflate",
            // Chrome and Firefox; Node's ws; Safari's older spelling in front.
            "permessage-deflate; client_max_window_bits",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=15",
            "permessage-deflate; client_max_window_bits=\"10\"",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "  permessage-deflate ;  server_no_context_takeover  ",
            // The next offer is tried.
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "permessage-deflate; mystery, permessage-deflate; client_max_window_bits",
            "mystery; text=\"a, permessage-deflate; server_max_window_bits=9\", permessage-deflate",
            ", ,permessage-deflate",
        ];
        for offers in taken {
            assert_eq!(negotiate_deflate(offers), Some(DEFLATE), "{offers}");
        }
        let window = "permessage-deflate; server_max_window_bits=15; client_max_window_bits";
        assert_eq!(negotiate_deflate(window), Some(DEFLATE_WINDOW_15));
        let declined = [
            "",
            ",",
            "permessage-bzip2",
            "permessage-deflate2",
            "permessage-deflate; server_max_window_bits=14",
            "permessage-deflate; server_max_window_bits=8",
            // Without a value this parameter is an error, unlike the client's.
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
            "permessage-deflate; mystery",
            "permessage-deflate;",
            "mystery; text=\"a, permessage-deflate, b\"",
            "mystery; text=\"a, permessage-deflate",
        ];
        for offers in declined {
            assert_eq!(negotiate_deflate(offers), None, "{offers}");
        }
    }
}
