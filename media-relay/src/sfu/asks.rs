//! What is asked of this shard, one by one.

mod open;
mod running;

pub(super) use self::open::LOOK_AGAIN_MS;

use std::time::Instant;

use turnpike_sdp::{Fingerprint, SdpError, SdpFault};
use turnpike_transport::{Credentials, RANDOM_BYTES};
use turnpike_wire::media::MediaSession;
use turnpike_wire::{Code, Failure};

use super::chance::Chance;
use super::{Command, Effect, Sfu};
use crate::{Ask, Ended, StreamInfo, Told};

impl Sfu {
    pub(crate) fn command(&mut self, now: Instant, command: Command) {
        let Command { ticket, ask, chance } = command;
        let fresh = Fresh::of(&chance);
        if let Some(stream) = self.awaited(&ask) {
            return self.wait(now, stream, ticket, ask, fresh);
        }
        let answer = self.answer(now, ask, fresh);
        self.effects.push_back(Effect::Answer { ticket, answer });
    }

    pub(super) fn answer(&mut self, now: Instant, ask: Ask, fresh: Fresh) -> Result<Told, Failure> {
        match ask {
            Ask::Publish { session, stream, user, offer, most } => {
                self.publish(now, session, &stream, user, &offer, most, fresh)
            }
            Ask::Watch { session, stream, user, offer, most } => {
                self.watch(now, session, &stream, user, offer.as_deref(), most, fresh)
            }
            Ask::Answer { session, sdp } => self.answered(now, session, &sdp),
            Ask::Offer { session, sdp } => self.renegotiate(now, session, &sdp, fresh),
            Ask::Trickle { session, fragment } => self.trickle(session, &fragment),
            Ask::Restart { session, fragment } => self.restart(now, session, &fragment, fresh),
            Ask::Layer { session, wish } => self.layer(now, session, &wish),
            Ask::Mute { session, mute } => self.mute(now, session, &mute),
            Ask::Stop { session } => {
                let key = self.find(session)?;
                self.end(now, key, Ended::Stopped);
                Ok(Told::Done)
            }
            Ask::End { stream } => {
                let key = *self.stream_names.get(&stream).ok_or(Code::NoSuchStream)?;
                let stream = &self.streams[key];
                let peers: Vec<usize> = stream.publishers.iter().chain(&stream.viewers).copied().collect();
                for peer in peers {
                    self.end(now, peer, Ended::StreamEnded);
                }
                self.end_pipes(key);
                Ok(Told::Done)
            }
            Ask::Tap { stream, tap } => {
                let key = *self.stream_names.get(&stream).ok_or(Code::NoSuchStream)?;
                self.streams[key].tap = tap;
                // Whoever is recorded is to know.
                self.changed(key);
                Ok(Told::Done)
            }
            Ask::Branch { stream, pipe } => self.branch(now, &stream, pipe),
            Ask::Feed { stream, pipe } => {
                self.feed(now, &stream, pipe);
                Ok(Told::Done)
            }
            Ask::Unpipe { pipe } => {
                self.unpipe(now, pipe);
                Ok(Told::Done)
            }
            Ask::Look { stream } => {
                let key = *self.stream_names.get(&stream).ok_or(Code::NoSuchStream)?;
                Ok(Told::Look(self.looked_at(now, &self.streams[key])))
            }
            // The relay has made a tap of it.
            Ask::Record { .. } => Err(Code::BadRequest.into()),
            Ask::Streams => {
                Ok(Told::Streams(self.streams.iter().map(|(_, stream)| self.info(stream)).collect()))
            }
        }
    }

    fn info(&self, stream: &super::stream::Stream) -> StreamInfo {
        let users = stream.publishers.iter().filter_map(|peer| Some(self.peers.get(*peer)?.user.clone()));
        StreamInfo {
            stream: stream.name.clone(),
            publishers: users.collect(),
            viewers: self.audience(stream).0,
            is_fed: stream.feed.is_some(),
        }
    }

    fn find(&self, session: MediaSession) -> Result<usize, Failure> {
        self.sessions.get(&session).copied().ok_or_else(|| Code::NoSuchStream.into())
    }

    /// Says goodbye to a peer; it is taken away when that has been sent.
    fn end(&mut self, now: Instant, key: usize, ended: Ended) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.transport.close(now);
            self.leaving.push((key, ended));
        }
    }
}

/// Somebody who wants to watch a stream of which nothing has been heard yet.
pub(crate) struct Waiting {
    pub(crate) ticket: u64,
    pub(crate) ask: Ask,
    pub(crate) fresh: Fresh,
    pub(crate) until: Instant,
}

/// What a command makes anew.
pub(crate) struct Fresh {
    credentials: Credentials,
    etag: u64,
    chance: Chance,
}

impl Fresh {
    fn of(bytes: &[u8; 64]) -> Self {
        let (credentials, rest) = bytes.split_first_chunk::<RANDOM_BYTES>().expect("64 bytes are more");
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&rest[at..at + 8]);
            u64::from_be_bytes(number)
        };
        Self {
            credentials: Credentials::from_random(credentials),
            etag: number(0),
            chance: Chance::new(number(8)),
        }
    }
}

fn refused(error: &SdpError) -> Failure {
    let code = match error.fault() {
        SdpFault::Malformed | SdpFault::Unsupported => Code::BadSdp,
        SdpFault::Codec => Code::CodecNotSupported,
    };
    Failure::new(code, error.to_string())
}

/// The transport's words for what stands in a description.
fn remote(peer: &turnpike_sdp::Peer) -> Result<turnpike_transport::Remote, Failure> {
    let bad = |what: &str| Failure::new(Code::BadSdp, what.to_owned());
    let credentials = Credentials::new(peer.credentials.ufrag(), peer.credentials.pwd())
        .map_err(|_| bad("the ICE credentials cannot be used"))?;
    let read =
        |fingerprint: &Fingerprint| turnpike_transport::Fingerprint::parse(&fingerprint.to_string()).ok();
    let fingerprints: Vec<_> = peer.fingerprints.iter().filter_map(read).collect();
    if fingerprints.is_empty() {
        return Err(bad("there is no fingerprint that binds a certificate"));
    }
    Ok(turnpike_transport::Remote { credentials, fingerprints })
}

fn role(role: turnpike_sdp::DtlsRole) -> turnpike_transport::DtlsRole {
    match role {
        turnpike_sdp::DtlsRole::Server => turnpike_transport::DtlsRole::Server,
        turnpike_sdp::DtlsRole::Client => turnpike_transport::DtlsRole::Client,
    }
}

fn described(credentials: &Credentials) -> turnpike_sdp::Credentials {
    turnpike_sdp::Credentials::new(credentials.ufrag(), credentials.pwd())
        .expect("both know the same alphabet")
}
