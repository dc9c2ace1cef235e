//! Msgpack one token at a time, borrowed from the input. No length it reads is trusted: what is not there is an error.

use rmp::Marker;

use super::super::PacketError;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Str(&'a str),
    Bin(&'a [u8]),
    /// An extension's type and content. Those of fixed length have a meaning of their own where both occur.
    Ext(u8, &'a [u8]),
    FixExt(u8, &'a [u8]),
    /// So many values follow.
    Array(u64),
    /// So many pairs of values follow.
    Map(u64),
}

#[derive(Debug)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, PacketError> {
        let [marker] = self.array()?;
        Ok(match Marker::from_u8(marker) {
            Marker::Null => Token::Nil,
            Marker::False => Token::Bool(false),
            Marker::True => Token::Bool(true),
            Marker::FixPos(number) => Token::Unsigned(number.into()),
            Marker::U8 => Token::Unsigned(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            Marker::FixNeg(number) => Token::Signed(number.into()),
            Marker::I8 => Token::Signed(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Token::Signed(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Token::Signed(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Token::Signed(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Token::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(bytes) => self.text(bytes.into())?,
            Marker::Str8 => self.length8().and_then(|bytes| self.text(bytes))?,
            Marker::Str16 => self.length16().and_then(|bytes| self.text(bytes))?,
            Marker::Str32 => self.length32().and_then(|bytes| self.text(bytes))?,
            Marker::Bin8 => self.length8().and_then(|bytes| self.take(bytes)).map(Token::Bin)?,
            Marker::Bin16 => self.length16().and_then(|bytes| self.take(bytes)).map(Token::Bin)?,
            Marker::Bin32 => self.length32().and_then(|bytes| self.take(bytes)).map(Token::Bin)?,
            Marker::FixExt1 => self.fix_ext(1)?,
            Marker::FixExt2 => self.fix_ext(2)?,
            Marker::FixExt4 => self.fix_ext(4)?,
            Marker::FixExt8 => self.fix_ext(8)?,
            Marker::FixExt16 => self.fix_ext(16)?,
            Marker::Ext8 => self.length8().and_then(|bytes| self.ext(bytes))?,
            Marker::Ext16 => self.length16().and_then(|bytes| self.ext(bytes))?,
            Marker::Ext32 => self.length32().and_then(|bytes| self.ext(bytes))?,
            Marker::FixArray(elements) => Token::Array(elements.into()),
            Marker::Array16 => Token::Array(self.length16()?),
            Marker::Array32 => Token::Array(self.length32()?),
            Marker::FixMap(members) => Token::Map(members.into()),
            Marker::Map16 => Token::Map(self.length16()?),
            Marker::Map32 => Token::Map(self.length32()?),
            Marker::Reserved => return Err(PacketError::Msgpack),
        })
    }

    /// Over one whole value.
    pub(super) fn skip(&mut self) -> Result<(), PacketError> {
        // Values still to come, of all containers together: no nesting can exhaust the stack. Each turn takes at least
        // one byte, so a length that lies ends with the input.
        let mut left = 1_u64;
        while left > 0 {
            left += match self.next()? {
                Token::Array(elements) => elements,
                Token::Map(members) => 2 * members,
                _ => 0,
            };
            left -= 1;
        }
        Ok(())
    }

    fn text(&mut self, bytes: u64) -> Result<Token<'a>, PacketError> {
        let bytes = self.take(bytes)?;
        std::str::from_utf8(bytes).map(Token::Str).map_err(|_| PacketError::Msgpack)
    }

    fn ext(&mut self, bytes: u64) -> Result<Token<'a>, PacketError> {
        let [kind] = self.array()?;
        Ok(Token::Ext(kind, self.take(bytes)?))
    }

    fn fix_ext(&mut self, bytes: u64) -> Result<Token<'a>, PacketError> {
        let [kind] = self.array()?;
        Ok(Token::FixExt(kind, self.take(bytes)?))
    }

    fn length8(&mut self) -> Result<u64, PacketError> {
        self.array().map(u8::from_be_bytes).map(u64::from)
    }

    fn length16(&mut self) -> Result<u64, PacketError> {
        self.array().map(u16::from_be_bytes).map(u64::from)
    }

    fn length32(&mut self) -> Result<u64, PacketError> {
        self.array().map(u32::from_be_bytes).map(u64::from)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(PacketError::Msgpack)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, bytes: u64) -> Result<&'a [u8], PacketError> {
        let bytes = usize::try_from(bytes).map_err(|_| PacketError::Msgpack)?;
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(PacketError::Msgpack)?;
        self.rest = rest;
        Ok(taken)
    }
}
