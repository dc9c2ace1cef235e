//! The outermost map of a msgpack packet. The parser reads it whatever follows it and however often a key comes; both
//! are refused here, for another reader could see another packet.

use super::super::PacketError;
use super::token::{Token, Tokens};

const KEYS: [&str; 4] = ["type", "nsp", "data", "id"];

/// The whole of `bytes` is one map, in which no key of a packet comes twice.
pub(super) fn check(bytes: &[u8]) -> Result<(), PacketError> {
    let mut tokens = Tokens::new(bytes);
    let Token::Map(members) = tokens.next()? else {
        return Err(PacketError::Msgpack);
    };
    let mut seen = [false; KEYS.len()];
    for _ in 0..members {
        let Token::Str(key) = tokens.next()? else {
            return Err(PacketError::Msgpack);
        };
        if let Some(index) = KEYS.iter().position(|known| *known == key)
            && std::mem::replace(&mut seen[index], true)
        {
            return Err(PacketError::Msgpack);
        }
        tokens.skip()?;
    }
    if tokens.is_at_end() { Ok(()) } else { Err(PacketError::Msgpack) }
}
