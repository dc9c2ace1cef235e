//! Streams as backends see them: which there are, and the end of one.

use turnpike_cluster::{Incarnation, Paged};
use turnpike_engine::SocketId;
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::{
    Role, StreamEntry, ToRelay, stream_entries, stream_entry, stream_of_entry,
};
use turnpike_wire::{Code, Failure, RoomId};

use super::letters::{Said, Silence};
use super::{Signaling, no_relay};
use crate::membership::unavailable;

/// A stream that is published.
pub(crate) struct Listed {
    pub(crate) stream: RoomId,
    pub(crate) relay: Incarnation,
    pub(crate) entry: StreamEntry,
}

pub(crate) type StreamPage = Paged<Listed>;

impl Signaling {
    /// A page of what is published, on all relays.
    pub(crate) async fn streams(&self, cursor: &str, max: usize) -> Result<StreamPage, Failure> {
        let listed = self.directory.list(stream_entries(), cursor, max);
        let (names, cursor) = listed.wait().await.map_err(unavailable)?;
        let listed = |(name, claimed): &(String, turnpike_cluster::Claimed)| {
            // A relay of another version may say something else of it.
            let entry = StreamEntry::read(&claimed.value).unwrap_or_default();
            Some(Listed { stream: stream_of_entry(name)?, relay: claimed.owner, entry })
        };
        Ok((names.iter().filter_map(listed).collect(), cursor))
    }

    /// Sessions of this node's connections.
    pub(crate) fn sessions_of(&self, stream: &RoomId) -> Vec<(SocketId, MediaSession, Role)> {
        self.table().of_stream(stream)
    }

    /// Ends the stream for everybody.
    pub(crate) async fn end_stream(&self, stream: RoomId) -> Result<(), Failure> {
        self.ask_home(stream.clone(), |id, stream| ToRelay::End { id, stream }).await?;
        // Relays that have it from there would wait for its publisher to come back. One whom this does not reach gives it up
        // by itself, later.
        let nodes = self.nodes();
        for relay in nodes.iter().filter(|node| node.relay.is_some()) {
            let id = self.letters.draw();
            self.letters.write(relay.incarnation, &[ToRelay::End { id, stream: stream.clone() }]);
        }
        Ok(())
    }

    /// Begins the recording of a stream, or ends it. Gives what the names of its files begin with.
    pub(crate) async fn record_stream(&self, stream: RoomId, wanted: bool) -> Result<Box<str>, Failure> {
        match self.ask_home(stream, |id, stream| ToRelay::Record { id, stream, wanted }).await? {
            Said::Recorded(recording) => Ok(recording),
            Said::OfSession(_) | Said::Done => Err(Code::Internal.into()),
        }
    }

    async fn ask_home(
        &self,
        stream: RoomId,
        word: impl FnOnce(u64, RoomId) -> ToRelay,
    ) -> Result<Said, Failure> {
        let found = self.directory.find(&stream_entry(&stream)).wait().await.map_err(unavailable)?;
        let home = found.ok_or(Code::NoSuchStream)?.owner;
        match self.letters.ask(home, None, |id| word(id, stream)).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(refusal)) => Err(refusal.into()),
            Err(Silence) => Err(no_relay()),
        }
    }
}
