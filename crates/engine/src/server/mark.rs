//! What a forwarded request bears: that it was forwarded, so that it goes no further, and whose it is.
//!
//! Anybody can send the header. As a mark that costs nobody but its sender: the request is not forwarded. As the word of
//! a node it counts only if it is sealed, for this very session, with a secret that the nodes share.

use std::net::SocketAddr;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};

const FORWARDED: HeaderName = HeaderName::from_static("x-engine-forwarded");
/// Goes into every MAC, so that nothing else that was sealed with the same secret passes for a mark.
const PURPOSE: &[u8] = b"engine forwarded request\0";

/// Seals and opens marks. Without a secret no node can tell another whose a request is.
pub(super) struct Marks {
    /// The first seals, all open.
    keys: Vec<hmac::Key>,
}

impl Marks {
    pub(super) fn new(secrets: &[Vec<u8>]) -> Self {
        Self { keys: secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret)).collect() }
    }

    /// In place of what the client may have sent.
    pub(super) fn put(&self, headers: &mut HeaderMap, peer: SocketAddr, sid: &str) {
        let mut mark = peer.to_string();
        if let Some(key) = self.keys.first() {
            mark.push(' ');
            let tag = tag(key, &peer.to_string(), sid);
            BASE64_URL_SAFE_NO_PAD.encode_string(tag.as_ref(), &mut mark);
        }
        headers.insert(FORWARDED, HeaderValue::from_str(&mark).expect("addresses and base64 are ASCII"));
    }

    /// Whose the request is, if a node says so.
    pub(super) fn peer(&self, headers: &HeaderMap, sid: &str) -> Option<SocketAddr> {
        let (peer, seal) = headers.get(FORWARDED)?.to_str().ok()?.split_once(' ')?;
        let seal = BASE64_URL_SAFE_NO_PAD.decode(seal).ok()?;
        let genuine =
            |key| constant_time::verify_slices_are_equal(tag(key, peer, sid).as_ref(), &seal).is_ok();
        self.keys.iter().any(genuine).then_some(())?;
        peer.parse().ok()
    }
}

pub(super) fn is_marked(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

fn tag(key: &hmac::Key, peer: &str, sid: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(PURPOSE);
    context.update(peer.as_bytes());
    context.update(b" ");
    context.update(sid.as_bytes());
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "a.0.AAAAAAAAAAAAAAAAAAAAAA";

    fn marks(secrets: &[&str]) -> Marks {
        Marks::new(&secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn a_node_says_whose_a_request_is() {
        let (one, two) = (marks(&["new", "old"]), marks(&["old"]));
        for peer in ["192.0.2.7:1234", "[2001:db8::1]:65535"] {
            let peer: SocketAddr = peer.parse().unwrap();
            let mut headers = HeaderMap::new();
            two.put(&mut headers, peer, SID);
            assert!(is_marked(&headers));
            assert_eq!(one.peer(&headers, SID), Some(peer));
            assert_eq!(one.peer(&headers, "a.0.another"), None);
            one.put(&mut headers, peer, SID);
            assert_eq!(two.peer(&headers, SID), None);
            assert_eq!(headers.len(), 1, "not added to what was there");
        }
    }

    #[test]
    fn nobody_else_can() {
        let marks = marks(&["secret"]);
        let mut headers = HeaderMap::new();
        assert!(!is_marked(&headers) && marks.peer(&headers, SID).is_none());
        marks.put(&mut headers, "192.0.2.7:1234".parse().unwrap(), SID);
        let genuine = headers[FORWARDED].to_str().unwrap().to_owned();
        for forged in [
            "",
            "192.0.2.7:1234",
            "192.0.2.7:1234 ",
            "192.0.2.7:1234 AAAA",
            &genuine.replace("192.0.2.7", "192.0.2.8"),
            &genuine[..genuine.len() - 1],
            &format!("{genuine}A"),
        ] {
            headers.insert(FORWARDED, HeaderValue::from_str(forged).unwrap());
            assert!(is_marked(&headers) && marks.peer(&headers, SID).is_none(), "{forged}");
        }
    }

    #[test]
    fn without_a_secret_there_is_only_the_mark() {
        let marks = marks(&[]);
        let mut headers = HeaderMap::new();
        marks.put(&mut headers, "192.0.2.7:1234".parse().unwrap(), SID);
        assert!(is_marked(&headers) && marks.peer(&headers, SID).is_none());
    }
}
