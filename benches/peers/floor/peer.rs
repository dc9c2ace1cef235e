//! One connection of the floor: its socket, its room, and what a write or a read left over. No protocol.

use std::io::{Read as _, Write as _};

use mio::net::TcpStream;

pub(crate) struct Peer {
    stream: TcpStream,
    pub(crate) generation: u32,
    pub(crate) room: Option<u32>,
    pub(crate) upgraded: bool,
    /// The start of a frame whose end has not come.
    pub(crate) partial: Option<Vec<u8>>,
    /// What the socket did not take. Unbounded: the driver always reads.
    unsent: Option<Vec<u8>>,
}

pub(crate) enum Read {
    Bytes(usize),
    Later,
    Gone,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream, generation: u32) -> Self {
        Self { stream, generation, room: None, upgraded: false, partial: None, unsent: None }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        match self.stream.read(buffer) {
            Ok(0) => Read::Gone,
            Ok(read) => Read::Bytes(read),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Read::Later,
            Err(_) => Read::Gone,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(unsent) = &mut self.unsent {
            unsent.extend_from_slice(bytes);
            return;
        }
        // A failed write shows as a failed read.
        let written = self.stream.write(bytes).unwrap_or(0);
        if written < bytes.len() {
            self.unsent = Some(bytes[written..].to_vec());
        }
    }

    pub(crate) fn flush(&mut self) {
        if let Some(unsent) = self.unsent.take() {
            let written = self.stream.write(&unsent).unwrap_or(0);
            if written < unsent.len() {
                self.unsent = Some(unsent[written..].to_vec());
            }
        }
    }
}
