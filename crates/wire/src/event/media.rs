//! Live video: what clients ask for, how that is answered, and what they are told.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::RoomId;
use crate::media::relay::Role;
use crate::media::{Candidate, LayerWish, MediaSession, Mute, StreamState};

pub const MEDIA_OFFER: &str = "media:offer";
pub const MEDIA_CANDIDATE: &str = "media:candidate";
pub const MEDIA_STATE: &str = "media:state";

/// `sdp` is an offer. It is passed on as it is; [`crate::media::Sdp`] says how long it may be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MediaPublish<'a> {
    pub stream: RoomId,
    #[serde(borrow)]
    pub sdp: Cow<'a, str>,
}

/// With an offer it is answered, without one the relay offers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MediaSubscribe<'a> {
    pub stream: RoomId,
    #[serde(borrow, default)]
    pub sdp: Option<Cow<'a, str>>,
}

/// A description for a session that goes on: of `media:restart` an offer, of `media:answer` the answer to the relay's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MediaDescription<'a> {
    pub session: MediaSession,
    #[serde(borrow)]
    pub sdp: Cow<'a, str>,
}

/// None, or an empty one: there are no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaCandidate {
    pub session: MediaSession,
    #[serde(default)]
    pub candidate: Option<Candidate>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MediaLayer {
    pub session: MediaSession,
    #[serde(flatten)]
    pub wish: LayerWish,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MediaMute {
    pub session: MediaSession,
    #[serde(flatten)]
    pub mute: Mute,
}

/// Of `media:resume` and `media:stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct MediaNamed {
    pub session: MediaSession,
}

/// Begins the recording of a stream, or ends it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MediaRecord {
    pub stream: RoomId,
    pub on: bool,
}

/// What a description is to the browsers' API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SdpType {
    Offer,
    Answer,
}

/// The answer to `media:publish`, `media:subscribe` and `media:restart`: `setRemoteDescription` takes it as it is.
#[derive(Debug, Clone, Serialize)]
pub struct MediaDescribed<'a> {
    pub session: MediaSession,
    pub stream: &'a RoomId,
    pub r#type: SdpType,
    pub sdp: &'a str,
}

/// The answer to `media:resume`.
#[derive(Debug, Clone, Serialize)]
pub struct MediaResumed<'a> {
    pub session: MediaSession,
    pub stream: &'a RoomId,
    pub role: Role,
}

/// The answer to `media:record`.
#[derive(Debug, Clone, Serialize)]
pub struct MediaRecorded<'a> {
    pub stream: &'a RoomId,
    pub on: bool,
    /// What the names of its files begin with.
    pub recording: &'a str,
}

/// The relay has something else to offer. To be answered by `media:answer`.
#[derive(Debug, Clone, Serialize)]
pub struct MediaOffer<'a> {
    pub session: MediaSession,
    pub r#type: SdpType,
    pub sdp: &'a str,
}

/// How it is with the session and its stream: all of it, every time.
#[derive(Debug, Clone, Serialize)]
pub struct MediaState<'a> {
    pub session: MediaSession,
    pub stream: &'a RoomId,
    pub role: Role,
    #[serde(flatten)]
    pub state: &'a StreamState,
    /// In words, and whether to ask for another session, if this one has ended for a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

impl<'a> MediaState<'a> {
    pub fn new(session: MediaSession, stream: &'a RoomId, role: Role, state: &'a StreamState) -> Self {
        let (reason, retryable) = state.code.map(|code| (code.slug(), code.retryable())).unzip();
        Self { session, stream, role, state, reason, retryable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Kind, Phase, Quality, Track};
    use crate::{Code, UserId};

    const SESSION: &str = "0000000000000007-00000000000000000000000000000009";

    fn session() -> MediaSession {
        SESSION.parse().unwrap()
    }

    fn json(event: &impl Serialize) -> String {
        serde_json::to_string(event).unwrap()
    }

    fn with(fields: &str) -> String {
        format!(r#"{{"session":"{SESSION}",{fields}}}"#)
    }

    #[test]
    fn requests_are_parsed_into_types() {
        let publish: MediaPublish<'_> =
            serde_json::from_str(r#"{"stream":"live:a","sdp":"v=0\r\n"}"#).unwrap();
        assert_eq!((publish.stream.as_str(), &*publish.sdp), ("live:a", "v=0\r\n"));
        let subscribe: MediaSubscribe<'_> = serde_json::from_str(r#"{"stream":"live:a"}"#).unwrap();
        assert_eq!(subscribe.sdp, None);
        let text = with(r#""mid":"1","quality":"medium","width":640,"height":360"#);
        let layer: MediaLayer = serde_json::from_str(&text).unwrap();
        assert_eq!(layer.wish.mid.as_deref(), Some("1"));
        assert_eq!((layer.wish.quality, layer.wish.width), (Some(Quality::Medium), Some(640)));
        let mute: MediaMute = serde_json::from_str(&with(r#""kind":"audio","muted":true"#)).unwrap();
        assert_eq!(mute.mute, Mute { kind: Some(Kind::Audio), mid: None, muted: true });
        for candidate in ["null", r#"{"candidate":""}"#] {
            let text = with(&format!(r#""candidate":{candidate}"#));
            let candidate: MediaCandidate = serde_json::from_str(&text).unwrap();
            assert_eq!(Candidate::or_end(candidate.candidate), None);
        }
        assert!(serde_json::from_str::<MediaPublish<'_>>(r#"{"stream":"live a","sdp":""}"#).is_err());
        assert!(serde_json::from_str::<MediaPublish<'_>>(r#"{"stream":"live:a"}"#).is_err());
        let record: MediaRecord = serde_json::from_str(r#"{"stream":"live:a","on":true}"#).unwrap();
        assert!(record.on && record.stream.as_str() == "live:a");
        assert!(serde_json::from_str::<MediaRecord>(r#"{"stream":"live:a"}"#).is_err());
        assert!(serde_json::from_str::<MediaNamed>(r#"{"session":"x"}"#).is_err());
        assert!(serde_json::from_str::<MediaMute>(&with(r#""kind":"smell","muted":true"#)).is_err());
        assert!(serde_json::from_str::<MediaMute>(&with(r#""kind":"audio""#)).is_err());
        assert!(serde_json::from_str::<MediaLayer>(&with(r#""quality":"best""#)).is_err());
        assert!(serde_json::from_str::<MediaLayer>(&with(r#""width":-1"#)).is_err());
    }

    #[test]
    fn answers_and_events_on_the_wire() {
        let stream: &RoomId = &"live:a".parse().unwrap();
        let described =
            MediaDescribed { session: session(), stream, r#type: SdpType::Answer, sdp: "v=0\r\n" };
        insta::assert_snapshot!(json(&described), @r#"{"session":"0000000000000007-00000000000000000000000000000009","stream":"live:a","type":"answer","sdp":"v=0\r\n"}"#);
        let offer = MediaOffer { session: session(), r#type: SdpType::Offer, sdp: "v=0\r\n" };
        insta::assert_snapshot!(json(&offer), @r#"{"session":"0000000000000007-00000000000000000000000000000009","type":"offer","sdp":"v=0\r\n"}"#);
        let recorded = MediaRecorded { stream, on: true, recording: "live%3Aa-20260704T183005Z" };
        insta::assert_snapshot!(json(&recorded), @r#"{"stream":"live:a","on":true,"recording":"live%3Aa-20260704T183005Z"}"#);
        let candidate = MediaCandidate { session: session(), candidate: None };
        insta::assert_snapshot!(json(&candidate), @r#"{"session":"0000000000000007-00000000000000000000000000000009","candidate":null}"#);
        let user: UserId = "alice".parse().unwrap();
        let (kind, layers) = (Kind::Audio, Vec::new());
        let track = Track { mid: None, kind, user: user.clone(), muted: true, layers, current: None };
        let state = StreamState {
            phase: Phase::Live,
            tracks: vec![track],
            viewers: 2,
            audience: Some(vec!["bob".parse().unwrap()]),
            speaker: Some(user),
            recording: true,
            code: None,
            ends_in_ms: None,
        };
        let told = MediaState::new(session(), stream, Role::Publisher, &state);
        insta::assert_snapshot!(json(&told), @r#"{"session":"0000000000000007-00000000000000000000000000000009","stream":"live:a","role":"publisher","state":"live","tracks":[{"kind":"audio","user":"alice","muted":true}],"viewers":2,"audience":["bob"],"speaker":"alice","recording":true}"#);
        let state = StreamState::ended(Some(Code::NoRelay));
        let told = MediaState::new(session(), stream, Role::Viewer, &state);
        insta::assert_snapshot!(json(&told), @r#"{"session":"0000000000000007-00000000000000000000000000000009","stream":"live:a","role":"viewer","state":"ended","tracks":[],"viewers":0,"code":123,"reason":"no_relay","retryable":true}"#);
    }
}
