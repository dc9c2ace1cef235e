//! What gateways and relays say to each other.
//!
//! Words may be lost, and may come twice. A gateway asks again under the same id until it is answered or its time is over,
//! and a relay that was asked before gives the same answer again. Events of a session are counted, so that a gateway
//! knows when it has missed one; with [`ToRelay::Keep`] it says up to where it has them.
//!
//! A session belongs to one connection at one gateway: the one that last asked for something of it, if its user is the
//! same. A relay ends sessions that their gateway has not kept for [`SESSION_LEASE_MS`].

use serde::{Deserialize, Serialize};

use super::{Candidate, LayerWish, MediaSession, Mute, Sdp, StreamState, Text};
use crate::limits::FAILURE_BYTES_MAX;
use crate::{Code, Failure, RoomId, UserId};

/// Where relays listen.
pub const TO_RELAYS: &str = "media.relay";

/// Where gateways listen.
pub const TO_GATEWAYS: &str = "media.gateway";

/// How often a gateway says which sessions it still has.
pub const KEEP_EVERY_MS: u64 = 3_000;

/// How long a connection that broke may be away before its sessions end.
pub const GRACE_MS: u64 = 10_000;

/// How long a session goes on at a relay without a word of its gateway: the grace, and what a last word before a crash may
/// be old.
pub const SESSION_LEASE_MS: u64 = GRACE_MS + KEEP_EVERY_MS;

/// Names of streams in the cluster's directory.
const STREAM_PREFIX: &str = "stream/";

/// Under which name the directory has the relay at which a stream is published.
pub fn stream_entry(stream: &RoomId) -> String {
    format!("{STREAM_PREFIX}{stream}")
}

/// Of [`stream_entry`].
pub fn stream_of_entry(entry: &str) -> Option<RoomId> {
    entry.strip_prefix(STREAM_PREFIX).and_then(|stream| stream.parse().ok())
}

/// All of [`stream_entry`].
pub fn stream_entries() -> &'static str {
    STREAM_PREFIX
}

/// What the directory says of a stream. Written by its relay when the claim is renewed, so a little old.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamEntry {
    /// Milliseconds since 1970.
    pub since: u64,
    pub publishers: u32,
    pub viewers: u64,
}

impl StreamEntry {
    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("numbers can always be written")
    }

    /// None: not written by us.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRelay {
    Request(Box<Request>),
    /// These sessions are still wanted.
    Keep {
        sessions: Vec<Kept>,
    },
    /// The connections of these are gone for good. Of a session that another gateway has meanwhile it says nothing.
    Gone {
        sessions: Vec<MediaSession>,
    },
    /// Ends a stream with all of its sessions, answered like a request.
    End {
        id: u64,
        stream: RoomId,
    },
    /// Begins or ends the recording of a stream, answered by [`FromRelay::Recorded`].
    Record {
        id: u64,
        stream: RoomId,
        wanted: bool,
    },
    /// The note with this id has arrived.
    Noted {
        id: u64,
    },
    /// Answered at once by a relay that lives.
    Ping {
        id: u64,
    },
    /// A relay asks another one, which leaves: somebody wants to publish this stream here.
    Yield {
        stream: RoomId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub session: MediaSession,
    /// Up to which number the gateway has the session's events.
    pub heard: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Of this gateway's requests. The same when it is asked again.
    pub id: u64,
    /// Chosen by the gateway, also for a session that is about to begin.
    pub session: MediaSession,
    pub by: Holder,
    pub ask: Ask,
}

/// On whose behalf, and what they may do with the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub user: UserId,
    /// To be shown to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// The public id of the connection.
    pub connection: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Begins a session that publishes. The gateway has seen to it that the user may.
    Publish {
        stream: RoomId,
        sdp: Sdp,
    },
    /// Begins a session that watches; without a description the relay offers one.
    Subscribe {
        stream: RoomId,
        sdp: Option<Sdp>,
    },
    /// A new offer for a session that goes on: other tracks, or ICE anew.
    Restart {
        sdp: Sdp,
    },
    /// To the relay's offer.
    Answer {
        sdp: Sdp,
    },
    /// None: there are no more.
    Candidate {
        candidate: Option<Candidate>,
    },
    Layer(LayerWish),
    Mute(Mute),
    Stop,
    /// The client has come back, perhaps to another gateway: how is it with the session?
    Resume,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromRelay {
    Answered {
        id: u64,
        answer: Answered,
    },
    /// What was asked has no answer but this.
    Done {
        id: u64,
    },
    /// What was asked to be recorded, or not any more, is so.
    Recorded {
        id: u64,
        /// What the names of its files begin with.
        recording: Box<str>,
    },
    Failed {
        id: u64,
        refusal: Refusal,
    },
    Event {
        session: MediaSession,
        /// Counts the session's events from 1 on.
        number: u64,
        event: SessionEvent,
    },
    /// The gateway has kept these, or had them until now, and another gateway has them.
    Foreign {
        sessions: Vec<MediaSession>,
    },
    /// The gateway has kept these, and there are none such any more.
    Over {
        sessions: Vec<MediaSession>,
    },
    /// For the backend; to be answered by [`ToRelay::Noted`].
    Note(Note),
    /// That relay was connected to this one, and broke off without a goodbye. A gateway asks it itself whether it lives.
    Lost {
        relay: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub stream: RoomId,
    pub role: Role,
    /// The answer, or the relay's offer where it was asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp: Option<Sdp>,
    /// The number of the session's latest event. The gateway has missed none if it has this one.
    pub events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Publisher,
    Viewer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: Code,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text<FAILURE_BYTES_MAX>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// That relay is the one to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<u64>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, retry_after_ms } = failure;
        let message = (message != code.message()).then(|| Text::clipped(&message));
        Self { code, message, retry_after_ms, elsewhere: None }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, retry_after_ms, .. } = refusal;
        let failure = match message {
            Some(message) => Self::new(code, message.as_str().to_owned()),
            None => Self::from(code),
        };
        Self { retry_after_ms, ..failure }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEvent {
    /// The relay has something else to offer; to be answered.
    Offer {
        sdp: Sdp,
    },
    Candidate {
        candidate: Option<Candidate>,
    },
    State {
        state: StreamState,
        /// Whoever has this one has missed nothing before it.
        whole: bool,
    },
}

/// A stream has begun, or is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of this relay's notes.
    pub id: u64,
    /// Tells this life of the stream from others: rises.
    pub life: u64,
    pub stream: RoomId,
    /// Who published first, or last.
    pub user: UserId,
    pub what: Noted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Noted {
    Started,
    Ended { duration_ms: u64, viewers_max: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Kind, Phase, Track, TrackLayer};

    fn back<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(word: &T) -> String {
        let text = serde_json::to_string(word).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), word, "{text}");
        text
    }

    fn session() -> MediaSession {
        MediaSession { relay: 7, key: 9 }
    }

    #[test]
    fn names_in_the_directory() {
        let stream: RoomId = "live:a".parse().unwrap();
        assert_eq!(stream_of_entry(&stream_entry(&stream)), Some(stream));
        assert_eq!(stream_of_entry("relay/a"), None);
        assert_eq!(stream_of_entry("stream/a b"), None);
        let entry = StreamEntry { since: 1, publishers: 2, viewers: 3 };
        assert_eq!(StreamEntry::read(&entry.write()), Some(entry));
        assert_eq!(StreamEntry::read("x"), None);
    }

    /// Nodes of two versions speak with each other while a system is being renewed.
    #[test]
    fn words_on_the_wire() {
        let by = Holder { user: "alice".parse().unwrap(), name: None, connection: "c1".into() };
        let stream: RoomId = "live:a".parse().unwrap();
        let sdp = Sdp::parse("v=0\r\n").unwrap();
        let ask = Ask::Publish { stream: stream.clone(), sdp: sdp.clone() };
        let request = Request { id: 1, session: session(), by: by.clone(), ask };
        insta::assert_snapshot!(back(&ToRelay::Request(Box::new(request))), @r#"{"Request":{"id":1,"session":"0000000000000007-00000000000000000000000000000009","by":{"user":"alice","connection":"c1"},"ask":{"Publish":{"stream":"live:a","sdp":"v=0\r\n"}}}}"#);
        let layer = Ask::Layer(LayerWish { width: Some(640), ..LayerWish::default() });
        let request = Request { id: 2, session: session(), by: by.clone(), ask: layer };
        insta::assert_snapshot!(back(&request.ask), @r#"{"Layer":{"width":640}}"#);
        insta::assert_snapshot!(back(&Ask::Candidate { candidate: None }), @r#"{"Candidate":{"candidate":null}}"#);
        insta::assert_snapshot!(back(&Ask::Stop), @r#""Stop""#);
        let kept = Kept { session: session(), heard: 3 };
        insta::assert_snapshot!(back(&ToRelay::Keep { sessions: vec![kept] }), @r#"{"Keep":{"sessions":[{"session":"0000000000000007-00000000000000000000000000000009","heard":3}]}}"#);
        let answer = Answered { stream: stream.clone(), role: Role::Viewer, sdp: Some(sdp), events: 0 };
        insta::assert_snapshot!(back(&FromRelay::Answered { id: 1, answer }), @r#"{"Answered":{"id":1,"answer":{"stream":"live:a","role":"viewer","sdp":"v=0\r\n","events":0}}}"#);
        let record = ToRelay::Record { id: 1, stream: stream.clone(), wanted: true };
        insta::assert_snapshot!(back(&record), @r#"{"Record":{"id":1,"stream":"live:a","wanted":true}}"#);
        let recorded = FromRelay::Recorded { id: 1, recording: "live%3Aa-20260704T183005Z".into() };
        insta::assert_snapshot!(back(&recorded), @r#"{"Recorded":{"id":1,"recording":"live%3Aa-20260704T183005Z"}}"#);
        let refusal = Refusal::from(Failure::from(Code::StreamTaken));
        insta::assert_snapshot!(back(&FromRelay::Failed { id: 1, refusal }), @r#"{"Failed":{"id":1,"refusal":{"code":121}}}"#);
        let rid = Text::parse("h").unwrap();
        let layers = vec![TrackLayer { rid: rid.clone(), active: true, bitrate: 9, width: 640, height: 360 }];
        let (mid, user) = (None, by.user.clone());
        let track = Track { mid, kind: Kind::Video, user, muted: false, layers, current: Some(rid) };
        let state = StreamState {
            phase: Phase::Live,
            tracks: vec![track],
            viewers: 2,
            audience: None,
            speaker: None,
            recording: false,
            code: None,
            ends_in_ms: None,
        };
        let event = SessionEvent::State { state, whole: true };
        insta::assert_snapshot!(back(&FromRelay::Event { session: session(), number: 1, event }), @r#"{"Event":{"session":"0000000000000007-00000000000000000000000000000009","number":1,"event":{"State":{"state":{"state":"live","tracks":[{"kind":"video","user":"alice","muted":false,"layers":[{"rid":"h","active":true,"bitrate":9,"width":640,"height":360}],"current":"h"}],"viewers":2},"whole":true}}}}"#);
        insta::assert_snapshot!(back(&StreamState::ended(Some(Code::NoRelay))), @r#"{"state":"ended","tracks":[],"viewers":0,"code":123}"#);
        let what = Noted::Ended { duration_ms: 5, viewers_max: 6 };
        insta::assert_snapshot!(back(&StreamState::ended(None).moving(8_000)), @r#"{"state":"moving","tracks":[],"viewers":0,"code":123,"ends_in_ms":8000}"#);
        insta::assert_snapshot!(back(&ToRelay::Ping { id: 3 }), @r#"{"Ping":{"id":3}}"#);
        insta::assert_snapshot!(back(&ToRelay::Yield { stream: stream.clone() }), @r#"{"Yield":{"stream":"live:a"}}"#);
        insta::assert_snapshot!(back(&FromRelay::Lost { relay: 9 }), @r#"{"Lost":{"relay":9}}"#);
        let note = Note { id: 1, life: 2, stream, user: by.user, what };
        insta::assert_snapshot!(back(&FromRelay::Note(note)), @r#"{"Note":{"id":1,"life":2,"stream":"live:a","user":"alice","what":{"Ended":{"duration_ms":5,"viewers_max":6}}}}"#);
    }

    #[test]
    fn a_refusal_says_what_the_failure_said() {
        for failure in [
            Failure::from(Code::NoRelay).retry_after_ms(500),
            Failure::new(Code::BadSdp, "no media section"),
            Code::StreamTaken.into(),
        ] {
            assert_eq!(Failure::from(Refusal::from(failure.clone())), failure);
        }
        let refusal: Refusal = serde_json::from_str(r#"{"code":9999}"#).unwrap();
        assert_eq!(refusal.code, Code::Unavailable, "a code of a later version");
    }
}
