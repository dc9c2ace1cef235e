//! A relay that does what the test says: the post is the real one, and so is everything before it.

use serde_json::Value;
use tokio::time::timeout;
use turnpike_cluster::{Claim, Claimed, Cluster, Incarnation, Letters, RelayOffer};
use turnpike_wire::media::relay::{
    Answered, Ask, FromRelay, Kept, Refusal, Request, Role, SessionEvent, StreamEntry, TO_GATEWAYS,
    TO_RELAYS, ToRelay, stream_entry,
};
use turnpike_wire::media::{MediaSession, Phase, Sdp, StreamState};
use turnpike_wire::{Code, Failure, RoomId};

use crate::house::{BROKEN, House};

/// What the relay names its recordings.
pub(crate) const RECORDING: &str = "live%3Ashow-20260704T183005Z";

pub(crate) struct Relay {
    cluster: Cluster,
    letters: Letters,
    waiting: std::collections::VecDeque<ToRelay>,
}

impl Relay {
    /// From here on the node has a relay.
    pub(crate) async fn open(house: &House) -> Self {
        let cluster = house.cluster.clone();
        let letters = cluster.post.listen(TO_RELAYS);
        let relay = Self { cluster, letters, waiting: std::collections::VecDeque::new() };
        relay.offer(true).await;
        relay
    }

    pub(crate) async fn offer(&self, has_room: bool) {
        let offer = RelayOffer { has_room, ..RelayOffer::default() };
        self.cluster.membership.offer(Some(offer)).wait().await.unwrap();
    }

    /// It is no more, and says nothing.
    pub(crate) async fn vanish(self) {
        self.cluster.membership.offer(None).wait().await.unwrap();
    }

    pub(crate) fn own(&self) -> Incarnation {
        self.cluster.membership.own()
    }

    /// The stream lives here.
    pub(crate) async fn claim(&self, stream: &str) -> Claimed {
        let stream: RoomId = stream.parse().unwrap();
        let value = StreamEntry { since: 1, publishers: 1, viewers: 2 }.write();
        let claim = Claim { name: stream_entry(&stream), lease_ms: 60_000, value, over: None };
        self.cluster.directory.claim(&claim).wait().await.unwrap()
    }

    /// The next word that is not about keeping sessions.
    pub(crate) async fn word(&mut self) -> ToRelay {
        loop {
            match self.any().await {
                ToRelay::Keep { .. } => {}
                word => return word,
            }
        }
    }

    pub(crate) async fn request(&mut self) -> Request {
        match self.word().await {
            ToRelay::Request(request) => *request,
            word => panic!("a request, not {word:?}"),
        }
    }

    pub(crate) async fn gone(&mut self) -> Vec<MediaSession> {
        match self.word().await {
            ToRelay::Gone { sessions } => sessions,
            word => panic!("the end of sessions, not {word:?}"),
        }
    }

    /// Ends streams, and records them, whenever that is asked for.
    pub(crate) fn play(mut self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            while let Some(letter) = self.letters.recv().await {
                for word in serde_json::from_slice::<Vec<ToRelay>>(&letter.words).unwrap() {
                    match word {
                        ToRelay::End { id, .. } => self.say(&[FromRelay::Done { id }]),
                        ToRelay::Record { id, .. } => {
                            self.say(&[FromRelay::Recorded { id, recording: RECORDING.into() }]);
                        }
                        _ => {}
                    }
                }
            }
        })
    }

    /// The next time that sessions are kept.
    pub(crate) async fn kept(&mut self) -> Vec<Kept> {
        loop {
            match self.any().await {
                ToRelay::Keep { sessions } => return sessions,
                ToRelay::Request(_) => {}
                word => panic!("sessions that are kept, not {word:?}"),
            }
        }
    }

    /// Whether nothing but keeping has come.
    pub(crate) fn has_heard_nothing(&mut self) -> bool {
        while let Ok(letter) = self.letters.try_recv() {
            self.waiting.extend(serde_json::from_slice::<Vec<ToRelay>>(&letter.words).unwrap());
        }
        self.waiting.retain(|word| !matches!(word, ToRelay::Keep { .. }));
        self.waiting.is_empty()
    }

    async fn any(&mut self) -> ToRelay {
        while self.waiting.is_empty() {
            let letter = timeout(BROKEN, self.letters.recv()).await.expect("a word in time").unwrap();
            self.waiting.extend(serde_json::from_slice::<Vec<ToRelay>>(&letter.words).unwrap());
        }
        self.waiting.pop_front().unwrap()
    }

    pub(crate) fn say(&self, words: &[FromRelay]) {
        self.say_raw(&serde_json::to_vec(words).unwrap());
    }

    pub(crate) fn say_raw(&self, words: &[u8]) {
        self.cluster.post.send(self.own(), TO_GATEWAYS, words.to_vec().into()).unwrap();
    }

    /// With an answer for whoever asked with a description, or for one.
    pub(crate) fn answer(&self, request: &Request, stream: &str, role: Role) {
        let sdp = match &request.ask {
            Ask::Publish { .. } | Ask::Subscribe { .. } | Ask::Restart { .. } => {
                Some(Sdp::parse("v=0\r\nthe relay's").unwrap())
            }
            _ => None,
        };
        let answer = Answered { stream: stream.parse().unwrap(), role, sdp, events: 0 };
        self.say(&[FromRelay::Answered { id: request.id, answer }]);
    }

    pub(crate) fn refuse(&self, id: u64, code: Code) {
        self.say(&[FromRelay::Failed { id, refusal: Refusal::from(Failure::from(code)) }]);
    }

    pub(crate) fn event(&self, session: MediaSession, number: u64, event: SessionEvent) {
        self.say(&[FromRelay::Event { session, number, event }]);
    }

    pub(crate) fn state(&self, session: MediaSession, number: u64, viewers: u64) {
        self.event(session, number, SessionEvent::State { state: live(viewers), whole: false });
    }
}

pub(crate) fn live(viewers: u64) -> StreamState {
    StreamState { phase: Phase::Live, viewers, ..StreamState::ended(None) }
}

/// The session that an answer names.
pub(crate) fn session(answer: &Value) -> MediaSession {
    let name = answer["session"].as_str().unwrap_or_else(|| panic!("a session in {answer}"));
    name.parse().unwrap()
}
