//! What proxies write about those they speak for: `X-Forwarded-For` and `Forwarded` (RFC 7239), read from the right.
//!
//! Each proxy adds to the right of what it was given, so what stands to the left may be anybody's invention, down to quotes
//! that are opened and never closed. Reading from the right, it is not looked at before all to its right was understood.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::canonical::canonical;

/// An address with brackets, port and quotes has 49 bytes; whatever is much longer is none.
const NODE_BYTES_MAX: usize = 128;

/// A hop as its proxy named it. None: by nothing that is an address, as `unknown` and `_hidden`.
pub(super) type Hop = Option<SocketAddr>;

/// The elements of header lines, from the last to the first. Empty ones are passed over (RFC 9110 5.6.1.2).
pub(super) fn from_the_right<'h>(
    lines: impl DoubleEndedIterator<Item = &'h [u8]>,
    quoted: bool,
) -> impl Iterator<Item = &'h [u8]> {
    lines.rev().flat_map(move |line| Elements { rest: Some(line), quoted })
}

struct Elements<'h> {
    rest: Option<&'h [u8]>,
    /// Whether a comma may stand in quotes.
    quoted: bool,
}

impl<'h> Iterator for Elements<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let line = self.rest?;
        let (rest, element) = match last_separator(line, b',', self.quoted) {
            Some(at) => (Some(&line[..at]), &line[at + 1..]),
            None => (None, line),
        };
        self.rest = rest;
        Some(element.trim_ascii())
    }
}

/// The last separator that stands in no quotes, as far as can be told from the right.
fn last_separator(text: &[u8], separator: u8, quoted: bool) -> Option<usize> {
    let mut in_quotes = false;
    for (at, byte) in text.iter().enumerate().rev() {
        if quoted && *byte == b'"' && !is_escaped(text, at) {
            in_quotes = !in_quotes;
        } else if *byte == separator && !in_quotes {
            return Some(at);
        }
    }
    None
}

/// A run of backslashes has one quote behind it at most, so each of them is counted once.
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// An element of `X-Forwarded-For`.
pub(super) fn x_forwarded_for(element: &[u8]) -> Hop {
    node(unquoted(element)?)
}

/// An element of `Forwarded`: its one `for`.
pub(super) fn forwarded(element: &[u8]) -> Hop {
    let mut rest = Some(element);
    let mut found = None;
    while let Some(text) = rest {
        let (before, pair) = match last_separator(text, b';', true) {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        rest = before;
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|byte| *byte == b'=');
        if let Some(equals) = equals
            && pair[..equals].eq_ignore_ascii_case(b"for")
            && found.replace(&pair[equals + 1..]).is_some()
        {
            // Two, and no telling which is meant.
            return None;
        }
    }
    node(unquoted(found?)?)
}

/// None: quotes that do not match. No address has anything that is escaped in it.
fn unquoted(text: &[u8]) -> Option<&[u8]> {
    match text.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"").filter(|inner| !inner.contains(&b'\\')),
        None => (!text.contains(&b'"')).then_some(text),
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; the port may be an obfuscated one.
fn node(text: &[u8]) -> Hop {
    if text.len() > NODE_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = match rest.strip_prefix(':') {
            Some(text) => port(text)?,
            None if rest.is_empty() => 0,
            None => return None,
        };
        return Some(socket(address.into(), port));
    }
    if let Some((address, text)) = text.split_once(':')
        && let Ok(address) = address.parse::<Ipv4Addr>()
    {
        return Some(socket(address.into(), port(text)?));
    }
    Some(socket(text.parse().ok()?, 0))
}

fn socket(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(canonical(address), port)
}

/// Zero: it is hidden (RFC 7239 6.3).
fn port(text: &str) -> Option<u16> {
    let hidden = text.strip_prefix('_').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    });
    if hidden {
        return Some(0);
    }
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
