//! What the load driver and the floor program share: websocket frames and the payloads of the vocabulary.

pub mod frames;
pub mod packets;
