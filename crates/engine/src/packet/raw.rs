//! The plain JSON protocol of `/ws`: `{"id":1,"event":"room:join","data":{...}}`.

use std::borrow::Cow;

use super::{Args, Limits, PacketError};

/// A request from a raw client. `data` is JSON text, `null` when it was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawInbound<'a> {
    pub id: Option<u64>,
    pub event: Cow<'a, str>,
    pub data: &'a str,
}

impl<'a> RawInbound<'a> {
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, PacketError> {
        let _ = (text, limits);
        Err(PacketError::Empty)
    }

    /// The same as the arguments of an event: `["room:join",{...}]`.
    pub fn to_args(&self) -> Args {
        unimplemented!()
    }
}
