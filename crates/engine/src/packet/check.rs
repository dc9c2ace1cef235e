//! What every form of packet has in common and must be checked in each: namespace, ack number, auth, event name.

use super::placeholder::Announced;
use super::scan::Scanner;
use super::{Limits, PacketError, Str};

/// JavaScript counts its acks in doubles: above this a number is no longer the one that was meant.
const ACK_BOUND: u64 = 1 << 53;

/// Names by which clients and servers tell each other of their own events.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

pub(super) fn namespace(namespace: &str, limits: &Limits) -> Result<(), PacketError> {
    if namespace.len() > limits.namespace_bytes_max {
        return Err(PacketError::NamespaceTooLong { bytes_max: limits.namespace_bytes_max });
    }
    // In the default form a comma ends a namespace, so one with a comma in it could not be answered there.
    if !namespace.starts_with('/') || namespace.contains(',') {
        return Err(PacketError::Namespace);
    }
    Ok(())
}

pub(super) fn ack(id: impl TryInto<u64>) -> Result<u64, PacketError> {
    id.try_into().ok().filter(|id| *id < ACK_BOUND).ok_or(PacketError::AckId)
}

/// Auth is an object or absent.
pub(super) fn auth(auth: Option<&Str>, limits: &Limits) -> Result<(), PacketError> {
    auth.map_or(Ok(()), |auth| Scanner::new(auth, limits, Announced::new(0)).object(|_, _| Ok(())))
}

pub(super) fn event_name(name: &str, limits: &Limits) -> Result<(), PacketError> {
    if name.len() > limits.event_name_bytes_max {
        return Err(PacketError::EventNameTooLong { bytes_max: limits.event_name_bytes_max });
    }
    if RESERVED.contains(&name) {
        return Err(PacketError::ReservedEvent);
    }
    Ok(())
}
