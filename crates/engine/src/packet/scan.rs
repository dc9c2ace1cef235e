//! One pass over JSON text: is it valid, is it within the limits, where do its parts stand, and which placeholders are
//! in it. It allocates nothing and builds no values; it must not know packets.
//!
//! Stricter than JSON in what two readers could take differently or what harms the next one: numbers that are no finite
//! double, lone surrogates, the key `__proto__`, and objects that are almost a placeholder.

use std::ops::Range;

use super::placeholder::Placeholders;
use super::{Limits, PacketError};

/// No finite double needs more digits before its point, so a number without exponent that is shorter is finite.
const FINITE_DIGITS: usize = 300;

/// A position in JSON text. Every method that reads begins at a token (white space skipped) and ends behind one.
#[derive(Debug)]
pub(super) struct Scanner<'a, P> {
    text: &'a str,
    at: usize,
    keys: usize,
    depth_max: usize,
    keys_max: usize,
    pub(super) placeholders: P,
}

/// An object key; `escaped`: its text is not its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    text: &'a str,
    escaped: bool,
}

impl<'a> Key<'a> {
    /// Its text between the quotes.
    pub(super) fn text(self) -> &'a str {
        self.text
    }

    pub(super) fn is(self, name: &str) -> bool {
        if self.escaped { unescape(self.text).is_some_and(|key| *key == *name) } else { self.text == name }
    }
}

impl<'a, P: Placeholders> Scanner<'a, P> {
    pub(super) fn new(text: &'a str, limits: &Limits, placeholders: P) -> Self {
        Self {
            text,
            at: 0,
            keys: 0,
            depth_max: limits.json_depth_max(),
            keys_max: limits.json_keys_max,
            placeholders,
        }
    }

    /// The whole text is one array: calls `element` with the place of each.
    pub(super) fn array(
        &mut self,
        mut element: impl FnMut(Range<usize>) -> Result<(), PacketError>,
    ) -> Result<(), PacketError> {
        self.begin(b'[')?;
        if !self.accept(b']') {
            loop {
                let start = self.at;
                self.value(1)?;
                element(start..self.at)?;
                if !self.another(b']')? {
                    break;
                }
            }
        }
        self.end()
    }

    /// The whole text is one object: calls `member` with each key and the place of its value.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(Key<'a>, Range<usize>) -> Result<(), PacketError>,
    ) -> Result<(), PacketError> {
        self.begin(b'{')?;
        if !self.accept(b'}') {
            loop {
                let key = self.key()?;
                let start = self.at;
                self.value(1)?;
                member(key, start..self.at)?;
                if !self.another(b'}')? {
                    break;
                }
            }
        }
        self.end()
    }

    /// The whole text is one value.
    pub(super) fn anything(&mut self) -> Result<(), PacketError> {
        self.skip_space();
        self.value(0)?;
        self.end()
    }

    fn begin(&mut self, open: u8) -> Result<(), PacketError> {
        self.skip_space();
        if self.peek() != Some(open) {
            return Err(PacketError::Payload);
        }
        self.enter(1)
    }

    fn end(&mut self) -> Result<(), PacketError> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.fault()) }
    }

    /// `depth`: how many containers the value stands in.
    fn value(&mut self, depth: usize) -> Result<(), PacketError> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.nested_object(depth + 1),
            Some(b'[') => self.nested_array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.fault()),
        }
    }

    fn nested_array(&mut self, depth: usize) -> Result<(), PacketError> {
        self.enter(depth)?;
        if self.accept(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if !self.another(b']')? {
                return Ok(());
            }
        }
    }

    fn nested_object(&mut self, depth: usize) -> Result<(), PacketError> {
        let object = self.at;
        self.enter(depth)?;
        if self.accept(b'}') {
            return Ok(());
        }
        let (mut members, mut marked, mut num) = (0_usize, false, None);
        loop {
            let key = self.key()?;
            let start = self.at;
            self.value(depth)?;
            members += 1;
            if key.is("_placeholder") {
                marked |= &self.text[start..self.at] == "true";
            } else if key.is("num") {
                num = self.text[start..self.at].parse::<u64>().ok();
            }
            if !self.another(b'}')? {
                break;
            }
        }
        match (marked, num) {
            (false, _) => Ok(()),
            (true, Some(num)) if members == 2 => self.placeholders.found(num, object..self.at),
            (true, _) => Err(PacketError::Placeholder),
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<Key<'a>, PacketError> {
        if self.peek() != Some(b'"') {
            return Err(self.fault());
        }
        self.keys += 1;
        if self.keys > self.keys_max {
            return Err(PacketError::TooManyKeys { keys_max: self.keys_max });
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let key = Key { text: &self.text[start..self.at - 1], escaped };
        if key.is("__proto__") {
            return Err(PacketError::ForbiddenKey);
        }
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fault());
        }
        self.at += 1;
        self.skip_space();
        Ok(key)
    }

    /// Whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, PacketError> {
        let bytes = self.text.as_bytes();
        let end = plain_end(bytes, self.at + 1);
        if bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(false);
        }
        self.at = end;
        self.string_rest()
    }

    /// From the first byte of a string that is not plain. Apart, because most strings have none: it makes the whole scan
    /// a fifth faster.
    #[cold]
    fn string_rest(&mut self) -> Result<bool, PacketError> {
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.fault()),
            }
            self.at = plain_end(self.text.as_bytes(), self.at);
        }
    }

    fn escape(&mut self) -> Result<(), PacketError> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.code_unit() {
                Some(0xd800..=0xdbff) => {
                    self.at += 6;
                    let low = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
                    if !low || !matches!(self.code_unit(), Some(0xdc00..=0xdfff)) {
                        return Err(self.fault());
                    }
                    self.at += 6;
                }
                None | Some(0xdc00..=0xdfff) => return Err(self.fault()),
                Some(_) => self.at += 6,
            },
            _ => return Err(self.fault()),
        }
        Ok(())
    }

    /// The four digits behind `\u`.
    fn code_unit(&self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at + 2..self.at + 6)?;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    }

    fn number(&mut self) -> Result<(), PacketError> {
        let start = self.at;
        self.accept_byte(b'-');
        if !self.accept_byte(b'0') {
            self.digits()?;
        }
        if self.accept_byte(b'.') {
            self.digits()?;
        }
        let exponent = self.accept_byte(b'e') || self.accept_byte(b'E');
        if exponent {
            let _sign = self.accept_byte(b'+') || self.accept_byte(b'-');
            self.digits()?;
        }
        if (exponent || self.at - start > FINITE_DIGITS)
            && !self.text[start..self.at].parse::<f64>().is_ok_and(f64::is_finite)
        {
            return Err(PacketError::NotJson);
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), PacketError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault()) } else { Ok(()) }
    }

    fn literal(&mut self, word: &str) -> Result<(), PacketError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fault());
        }
        self.at += word.len();
        Ok(())
    }

    /// Over the opening bracket.
    fn enter(&mut self, depth: usize) -> Result<(), PacketError> {
        if depth > self.depth_max {
            return Err(PacketError::TooDeep { depth_max: self.depth_max });
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Over a comma (true) or over the closing bracket (false).
    fn another(&mut self, close: u8) -> Result<bool, PacketError> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.fault()),
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_space();
        self.accept_byte(byte)
    }

    fn accept_byte(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self) -> PacketError {
        PacketError::Json { at: self.at }
    }
}

/// The value of a string whose escapes the scanner has accepted; `text` without its quotes.
pub(super) fn unescape(text: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{text}\"")).ok()
}

/// Where the first quote, backslash or control character stands at or behind `at`; the end if nowhere.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    // Eight bytes at a time: strings are most of what arrives. In each of the three tests the lowest bit that is set is
    // right (a borrow can only spoil bytes above a hit), so the lowest of all is, too.
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let hits = (below(word, 0x20) | equal(word, b'"') | equal(word, b'\\')) & HIGHS;
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
