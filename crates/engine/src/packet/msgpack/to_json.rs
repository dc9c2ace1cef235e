//! Msgpack from a client to neutral JSON text: binary values become placeholders and attachments. Only size and nesting
//! are bounded here; everything else is checked in the text that comes out.

use std::io::{self, Write};

use bytes::Bytes;

use super::super::{Limits, PacketError};
use super::date::iso_date;
use super::token::{Token, Tokens};

/// How the stock client's msgpack library writes what msgpack has no word for: all of it as extensions of type 0, told
/// apart by their form.
const STOCK_EXT: u8 = 0;
const UNDEFINED: Token<'static> = Token::FixExt(STOCK_EXT, &[0]);

/// The text of one value and its attachments.
pub(super) fn to_json(data: &[u8], limits: &Limits) -> Result<(String, Vec<Bytes>), PacketError> {
    let mut writer = Writer {
        tokens: Tokens::new(data),
        limits,
        // Most values take about as many bytes in either form.
        out: Bounded {
            bytes: Vec::with_capacity(data.len().min(limits.packet_bytes_max) + 16),
            bytes_max: limits.packet_bytes_max,
        },
        attachments: Vec::new(),
        attachment_bytes: 0,
    };
    let first = writer.tokens.next()?;
    writer.value(first, 0)?;
    if !writer.tokens.is_at_end() {
        return Err(PacketError::Msgpack);
    }
    let text = String::from_utf8(writer.out.bytes).expect("JSON of valid strings is valid UTF-8");
    Ok((text, writer.attachments))
}

struct Writer<'a> {
    tokens: Tokens<'a>,
    limits: &'a Limits,
    out: Bounded,
    attachments: Vec<Bytes>,
    attachment_bytes: usize,
}

impl Writer<'_> {
    fn value(&mut self, token: Token<'_>, depth: usize) -> Result<(), PacketError> {
        match token {
            Token::Nil | UNDEFINED => self.push("null"),
            Token::Bool(value) => self.push(if value { "true" } else { "false" }),
            Token::Unsigned(number) => self.scalar(&number),
            Token::Signed(number) => self.scalar(&number),
            Token::Float(number) if number.is_finite() => self.scalar(&number),
            Token::Str(text) => self.scalar(text),
            // In Node the library writes a `Buffer` as binary, but an `ArrayBuffer` as an extension.
            Token::Bin(bytes) | Token::Ext(STOCK_EXT, bytes) => self.attachment(bytes),
            Token::FixExt(STOCK_EXT, date) => self.date(date),
            Token::Array(elements) => self.array(elements, depth + 1),
            Token::Map(members) => self.map(members, depth + 1),
            Token::Float(_) | Token::Ext(..) | Token::FixExt(..) => Err(PacketError::NotJson),
        }
    }

    fn array(&mut self, elements: u64, depth: usize) -> Result<(), PacketError> {
        self.check_depth(depth)?;
        self.push("[")?;
        for index in 0..elements {
            if index > 0 {
                self.push(",")?;
            }
            let token = self.tokens.next()?;
            self.value(token, depth)?;
        }
        self.push("]")
    }

    fn map(&mut self, members: u64, depth: usize) -> Result<(), PacketError> {
        self.check_depth(depth)?;
        self.push("{")?;
        let mut empty = true;
        for _ in 0..members {
            let Token::Str(key) = self.tokens.next()? else {
                return Err(PacketError::NotJson);
            };
            let token = self.tokens.next()?;
            // JSON leaves such members out.
            if token == UNDEFINED {
                continue;
            }
            if !std::mem::take(&mut empty) {
                self.push(",")?;
            }
            self.scalar(key)?;
            self.push(":")?;
            self.value(token, depth)?;
        }
        self.push("}")
    }

    fn attachment(&mut self, bytes: &[u8]) -> Result<(), PacketError> {
        let attachments_max = self.limits.attachments_max();
        if self.attachments.len() == attachments_max {
            return Err(PacketError::TooManyAttachments { attachments_max });
        }
        self.attachment_bytes += bytes.len();
        let bytes_max = self.limits.attachment_bytes_max;
        if self.attachment_bytes > bytes_max {
            return Err(PacketError::AttachmentsTooLarge { bytes_max });
        }
        self.push("{\"_placeholder\":true,\"num\":")?;
        self.scalar(&self.attachments.len())?;
        self.push("}")?;
        self.attachments.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }

    /// A `Date`: milliseconds of the unix epoch. JSON has it as text.
    fn date(&mut self, milliseconds: &[u8]) -> Result<(), PacketError> {
        let milliseconds = <[u8; 8]>::try_from(milliseconds).map_err(|_| PacketError::NotJson)?;
        let date = iso_date(i64::from_be_bytes(milliseconds)).ok_or(PacketError::NotJson)?;
        self.scalar(&date)
    }

    fn scalar(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), PacketError> {
        let bytes_max = self.out.bytes_max;
        serde_json::to_writer(&mut self.out, value).map_err(|_| PacketError::TooLarge { bytes_max })
    }

    fn push(&mut self, text: &str) -> Result<(), PacketError> {
        let bytes_max = self.out.bytes_max;
        self.out.write_all(text.as_bytes()).map_err(|_| PacketError::TooLarge { bytes_max })
    }

    fn check_depth(&self, depth: usize) -> Result<(), PacketError> {
        let depth_max = self.limits.json_depth_max();
        if depth > depth_max { Err(PacketError::TooDeep { depth_max }) } else { Ok(()) }
    }
}

/// Refuses what would make it longer than it may become.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes_max - self.bytes.len() < bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
