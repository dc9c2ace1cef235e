//! Gateways that the test plays, on a real post, before a relay that the test plays as well.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use turnpike_cluster::{Claim, Claimed, Directory, Letters, Paged, Soon, Unavailable, embedded};
use turnpike_wire::RoomId;
use turnpike_wire::media::Phase;
use turnpike_wire::media::relay::{Holder, Kept, Note, Noted, SessionEvent, TO_GATEWAYS, stream_entry};

use super::*;
use crate::{HomesConfig, Opened, StreamInfo, Told};

const BROKEN: Duration = Duration::from_secs(20);

type Asked = (Ask, oneshot::Sender<Result<Told, Failure>>);

type Listeners = Arc<Mutex<Vec<(MediaSession, mpsc::Sender<Notice>)>>>;

/// What the relay is asked goes to the test, and what the test says is told.
#[derive(Clone)]
struct Played {
    asked: mpsc::UnboundedSender<Asked>,
    listeners: Listeners,
    streams: Arc<Mutex<Vec<StreamInfo>>>,
}

impl Face for Played {
    fn listen(&self, session: MediaSession) -> mpsc::Receiver<Notice> {
        let (listener, notices) = mpsc::channel(64);
        self.listeners.lock().unwrap().push((session, listener));
        notices
    }

    async fn ask(&self, ask: Ask) -> Result<Told, Failure> {
        if matches!(ask, Ask::Streams) {
            return Ok(Told::Streams(self.streams.lock().unwrap().clone()));
        }
        let (reply, told) = oneshot::channel();
        self.asked.send((ask, reply)).unwrap();
        told.await.unwrap()
    }

    fn sessions(&self, role: Role) -> Vec<MediaSession> {
        let streams = self.streams.lock().unwrap();
        let of = |stream: &StreamInfo| match role {
            Role::Publisher => stream.publishers.len() as u64,
            Role::Viewer => stream.viewers,
        };
        let count = streams.iter().map(of).sum::<u64>();
        (0..count).map(|key| MediaSession { relay: 1, key: key.into() }).collect()
    }

    fn tell(&self, _: MediaSession, _: Notice) {}

    async fn dismiss(&self, _: MediaSession) {}
}

struct Stage {
    registry: prometheus::Registry,
    cluster: Cluster,
    face: Played,
    asked: mpsc::UnboundedReceiver<Asked>,
    heard: Letters,
    waiting: VecDeque<FromRelay>,
    notes: VecDeque<Note>,
    over: oneshot::Sender<()>,
    task: JoinHandle<()>,
    homes: Arc<Homes<Played>>,
    drawn: u64,
}

impl Stage {
    fn open() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Cluster)) -> Self {
        let mut cluster = embedded::start(&embedded::Config::new("n1")).unwrap();
        change(&mut cluster);
        let (asked_in, asked) = mpsc::unbounded_channel();
        let face = Played { asked: asked_in, listeners: Arc::default(), streams: Arc::default() };
        let heard = cluster.post.listen(TO_GATEWAYS);
        let config = HomesConfig { sessions_max: 100, ..HomesConfig::default() };
        let homes = Homes::new(face.clone(), &cluster, config);
        let (over, is_over) = oneshot::channel();
        let registry = prometheus::Registry::new();
        let metrics = SignalingMetrics::register(&registry).unwrap();
        let work =
            run(face.clone(), Arc::clone(&homes), cluster.clone(), metrics, async { drop(is_over.await) });
        let task = tokio::spawn(work);
        let (waiting, notes) = (VecDeque::new(), VecDeque::new());
        Self { registry, cluster, face, asked, heard, waiting, notes, over, task, homes, drawn: 0 }
    }

    /// A counter or level of the signaling.
    fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let name = format!("turnpike_media_signaling_{name}");
        let family = self.registry.gather().into_iter().find(|family| family.name() == name);
        let family = family.unwrap_or_else(|| panic!("no metric {name}"));
        let is_meant = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().map(prometheus::proto::LabelPair::value).eq(labels.iter().copied())
        };
        let found = family.get_metric().iter().find(is_meant);
        found.map_or(0, |one| (one.get_counter().get_value() + one.get_gauge().get_value()) as u64)
    }

    fn own(&self) -> Incarnation {
        self.cluster.membership.own()
    }

    fn session(&self, key: u128) -> MediaSession {
        MediaSession { relay: self.own().0, key }
    }

    /// Lets the task come to listen.
    async fn say_raw(&self, words: Vec<u8>) {
        tokio::task::yield_now().await;
        self.cluster.post.send(self.own(), TO_RELAYS, words.into()).unwrap();
    }

    async fn say(&self, word: &ToRelay) {
        self.say_raw(serde_json::to_vec(&[word]).unwrap()).await;
    }

    async fn request(&mut self, key: u128, user: &str, ask: relay::Ask) -> Request {
        self.drawn += 1;
        let by = Holder { user: user.parse().unwrap(), name: None, connection: "c1".into() };
        let request = Request { id: self.drawn, session: self.session(key), by, ask };
        self.say(&ToRelay::Request(Box::new(request.clone()))).await;
        request
    }

    async fn asked(&mut self) -> Asked {
        tokio::time::timeout(BROKEN, self.asked.recv()).await.expect("asked in time").unwrap()
    }

    async fn told(&mut self) -> FromRelay {
        while self.waiting.is_empty() {
            self.hear().await;
        }
        self.waiting.pop_front().unwrap()
    }

    async fn note(&mut self) -> Note {
        while self.notes.is_empty() {
            self.hear().await;
        }
        self.notes.pop_front().unwrap()
    }

    async fn hear(&mut self) {
        let letter = tokio::time::timeout(BROKEN, self.heard.recv()).await.expect("told in time").unwrap();
        for word in serde_json::from_slice::<Vec<FromRelay>>(&letter.words).unwrap() {
            match word {
                FromRelay::Note(note) => self.notes.push_back(note),
                word => self.waiting.push_back(word),
            }
        }
    }

    async fn failed(&mut self) -> (u64, Refusal) {
        match self.told().await {
            FromRelay::Failed { id, refusal } => (id, refusal),
            word => panic!("a refusal, not {word:?}"),
        }
    }

    async fn event(&mut self) -> (u64, SessionEvent) {
        match self.told().await {
            FromRelay::Event { number, event, .. } => (number, event),
            word => panic!("an event, not {word:?}"),
        }
    }

    async fn notice(&self, key: u128, notice: Notice) {
        let session = self.session(key);
        let listener = {
            let listeners = self.face.listeners.lock().unwrap();
            listeners.iter().rev().find(|(of, _)| *of == session).unwrap().1.clone()
        };
        listener.send(notice).await.unwrap();
    }

    /// Alice publishes under this key.
    async fn publish(&mut self, key: u128) -> Request {
        let ask = relay::Ask::Publish { stream: stream(), sdp: sdp(OFFER) };
        let request = self.request(key, "alice", ask).await;
        let (ask, reply) = self.asked().await;
        assert!(matches!(ask, Ask::Publish { session, .. } if session == request.session), "{ask:?}");
        reply.send(Ok(opened("v=0 answer"))).unwrap();
        match self.told().await {
            FromRelay::Answered { id, answer } => {
                assert_eq!((id, answer.sdp), (request.id, Some(sdp("v=0 answer"))));
            }
            word => panic!("{word:?}"),
        }
        request
    }
}

const OFFER: &str = "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=mid:0\r\n";

fn stream() -> RoomId {
    "live:a".parse().unwrap()
}

fn sdp(text: &str) -> Sdp {
    Sdp::parse(text).unwrap()
}

fn opened(sdp: &str) -> Told {
    Told::Opened(Opened { sdp: sdp.to_owned(), etag: 1, answer_within: None })
}

fn live(viewers: u64) -> StreamState {
    StreamState { phase: Phase::Live, viewers, ..StreamState::ended(None) }
}

#[tokio::test]
async fn a_publisher_is_answered_and_then_told() {
    let mut stage = Stage::open();
    let request = stage.request(7, "alice", relay::Ask::Publish { stream: stream(), sdp: sdp(OFFER) }).await;
    let (ask, reply) = stage.asked().await;
    let Ask::Publish { stream: of, user, offer, .. } = ask else { panic!("{ask:?}") };
    assert_eq!((of, &*user, &*offer), (stream(), "alice", OFFER));
    let home = stage.cluster.directory.find(&stream_entry(&stream())).wait().await.unwrap().unwrap();
    assert_eq!(home.owner, stage.own(), "claimed before anybody publishes");
    // Asked again, and told something, while it is under way.
    stage.say(&ToRelay::Request(Box::new(request.clone()))).await;
    stage.notice(7, Notice::State(Arc::new(live(3)))).await;
    tokio::task::yield_now().await;
    reply.send(Ok(opened("v=0 answer"))).unwrap();
    let answer =
        Answered { stream: stream(), role: Role::Publisher, sdp: Some(sdp("v=0 answer")), events: 0 };
    let answered = FromRelay::Answered { id: request.id, answer };
    assert_eq!(stage.told().await, answered);
    assert!(matches!(stage.event().await, (1, SessionEvent::State { state, .. }) if state.viewers == 3));
    stage.say(&ToRelay::Request(Box::new(request))).await;
    assert_eq!(stage.told().await, answered, "asked once more, answered as before");
    assert!(stage.asked.try_recv().is_err(), "and the relay is asked once");
    stage.notice(7, Notice::Offer("v=0 again".to_owned())).await;
    assert!(matches!(stage.event().await, (2, SessionEvent::Offer { .. })));
    stage.notice(7, Notice::Ended(Ended::StreamEnded)).await;
    assert!(matches!(stage.event().await,
        (3, SessionEvent::State { state, .. }) if state.phase == Phase::Ended && state.code == Some(Code::NoSuchStream)));
}

#[tokio::test]
async fn a_session_is_its_users_alone() {
    let mut stage = Stage::open();
    stage.publish(7).await;
    for (key, user) in [(7, "bob"), (8, "alice")] {
        let request = stage.request(key, user, relay::Ask::Stop).await;
        let (id, refusal) = stage.failed().await;
        assert_eq!((id, refusal.code), (request.id, Code::NoSuchStream));
    }
    let again = stage.request(7, "bob", relay::Ask::Publish { stream: stream(), sdp: sdp(OFFER) }).await;
    assert_eq!(stage.failed().await.0, again.id, "the name is taken");
    let elsewhere = Request { id: 99, session: MediaSession { relay: 1, key: 9 }, ..again };
    stage.say(&ToRelay::Request(Box::new(elsewhere))).await;
    assert_eq!(stage.failed().await.0, 99);
    assert!(stage.asked.try_recv().is_err());
}

#[tokio::test]
async fn what_is_asked_of_a_session_is_asked_of_the_relay() {
    let mut stage = Stage::open();
    stage.publish(7).await;
    let candidate = serde_json::from_str(
        r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 5000 typ host","sdpMid":"0","sdpMLineIndex":0}"#,
    );
    let candidate = relay::Ask::Candidate { candidate: candidate.unwrap() };
    stage.request(7, "alice", candidate).await;
    let (ask, reply) = stage.asked().await;
    let Ask::Trickle { fragment, .. } = &ask else { panic!("{ask:?}") };
    assert_eq!(turnpike_sdp::Fragment::parse(fragment).unwrap().candidates().count(), 1);
    reply.send(Ok(Told::Done)).unwrap();
    assert!(matches!(stage.told().await, FromRelay::Answered { .. }));
    stage.request(7, "alice", relay::Ask::Restart { sdp: sdp(OFFER) }).await;
    let (ask, reply) = stage.asked().await;
    assert!(matches!(ask, Ask::Offer { .. }));
    reply.send(Ok(Told::Sdp("v=0 another".to_owned()))).unwrap();
    assert!(matches!(stage.told().await,
        FromRelay::Answered { answer: Answered { sdp: Some(answer), .. }, .. } if answer.as_str() == "v=0 another"));
    // Of an offer that is not answered, who comes back is told again.
    stage.notice(7, Notice::Offer("v=0 offer".to_owned())).await;
    stage.notice(7, Notice::State(Arc::new(live(2)))).await;
    assert_eq!((stage.event().await.0, stage.event().await.0), (1, 2));
    stage.request(7, "alice", relay::Ask::Resume).await;
    assert!(matches!(stage.told().await, FromRelay::Answered { answer: Answered { events: 2, .. }, .. }));
    assert!(matches!(stage.event().await, (3, SessionEvent::Offer { .. })));
    assert!(matches!(stage.event().await, (4, SessionEvent::State { whole: true, .. })));
    stage.request(7, "alice", relay::Ask::Answer { sdp: sdp(OFFER) }).await;
    let (ask, reply) = stage.asked().await;
    assert!(matches!(ask, Ask::Answer { .. }));
    reply.send(Ok(Told::Done)).unwrap();
    stage.told().await;
    stage.request(7, "alice", relay::Ask::Resume).await;
    stage.told().await;
    assert!(matches!(stage.event().await, (5, SessionEvent::State { .. })), "the offer has its answer");
    // One that is made while the one before is being answered waits for an answer of its own.
    stage.notice(7, Notice::Offer("v=0 before".to_owned())).await;
    stage.event().await;
    stage.request(7, "alice", relay::Ask::Answer { sdp: sdp(OFFER) }).await;
    let (_, reply) = stage.asked().await;
    stage.notice(7, Notice::Offer("v=0 behind".to_owned())).await;
    stage.event().await;
    reply.send(Ok(Told::Done)).unwrap();
    stage.told().await;
    stage.request(7, "alice", relay::Ask::Resume).await;
    stage.told().await;
    assert!(matches!(stage.event().await, (8, SessionEvent::Offer { sdp }) if sdp.as_str() == "v=0 behind"));
    stage.event().await;
    stage.request(7, "alice", relay::Ask::Stop).await;
    let (ask, reply) = stage.asked().await;
    assert!(matches!(ask, Ask::Stop { .. }));
    reply.send(Ok(Told::Done)).unwrap();
    stage.told().await;
    stage.request(7, "alice", relay::Ask::Resume).await;
    assert_eq!(stage.failed().await.1.code, Code::NoSuchStream);
}

#[tokio::test]
async fn a_recording_is_answered_with_its_name() {
    let mut stage = Stage::open();
    for wanted in [true, false] {
        stage.drawn += 1;
        let id = stage.drawn;
        let word = ToRelay::Record { id, stream: stream(), wanted };
        stage.say(&word).await;
        let (ask, reply) = stage.asked().await;
        assert!(matches!(ask, Ask::Record { wanted: asked, .. } if asked == wanted), "{ask:?}");
        reply.send(Ok(Told::Recording { name: "live-1".to_owned() })).unwrap();
        let recorded = FromRelay::Recorded { id, recording: "live-1".into() };
        assert_eq!(stage.told().await, recorded);
        // Asked again, since the answer was lost.
        stage.say(&word).await;
        assert_eq!(stage.told().await, recorded);
    }
    stage.say(&ToRelay::Record { id: 100, stream: stream(), wanted: false }).await;
    let (_, reply) = stage.asked().await;
    reply.send(Err(Code::NoSuchStream.into())).unwrap();
    let (id, refusal) = stage.failed().await;
    assert_eq!((id, refusal.code), (100, Code::NoSuchStream));
    assert_eq!(stage.metric("requests_total", &["record", "ok"]), 2);
    assert_eq!(stage.metric("requests_total", &["record", "no_such_stream"]), 1);
    assert_eq!(stage.metric("repeated_total", &[]), 2);
}

#[tokio::test]
async fn what_is_refused_has_not_begun() {
    let mut stage = Stage::open();
    let watch = || relay::Ask::Subscribe { stream: stream(), sdp: None };
    for key in [7, 8] {
        stage.request(key, "bob", watch()).await;
        let (ask, reply) = stage.asked().await;
        assert!(matches!(ask, Ask::Watch { offer: None, .. }));
        reply.send(Err(Code::NoSuchStream.into())).unwrap();
        // As a relay does, that hears of the session no more.
        stage.face.listeners.lock().unwrap().clear();
        assert_eq!(stage.failed().await.1.code, Code::NoSuchStream);
    }
    assert_eq!(stage.metric("requests_total", &["subscribe", "no_such_stream"]), 2);
    assert_eq!(stage.metric("sessions", &[]), 0);
    let session = stage.session(7);
    stage.say(&ToRelay::Keep { sessions: vec![Kept { session, heard: 0 }] }).await;
    assert_eq!(stage.told().await, FromRelay::Over { sessions: vec![session] });
}

#[tokio::test]
async fn a_connection_that_is_gone_takes_its_sessions_with_it() {
    let mut stage = Stage::open();
    let (one, unknown) = (stage.publish(7).await.session, stage.session(9));
    stage.say(&ToRelay::Gone { sessions: vec![one, unknown] }).await;
    let (ask, reply) = stage.asked().await;
    assert!(matches!(ask, Ask::Stop { session } if session == one));
    reply.send(Ok(Told::Done)).unwrap();
    stage.say(&ToRelay::Keep { sessions: vec![Kept { session: one, heard: 0 }] }).await;
    assert_eq!(stage.told().await, FromRelay::Over { sessions: vec![one] });
    // One that is given up while it begins is stopped when it has.
    let request = stage.request(8, "alice", relay::Ask::Publish { stream: stream(), sdp: sdp(OFFER) }).await;
    let (_, reply) = stage.asked().await;
    stage.say(&ToRelay::Gone { sessions: vec![request.session] }).await;
    let (ask, stopped) = stage.asked().await;
    assert!(matches!(ask, Ask::Stop { .. }));
    stopped.send(Err(Code::NoSuchStream.into())).unwrap();
    reply.send(Ok(opened("v=0"))).unwrap();
    let (ask, _) = stage.asked().await;
    assert!(matches!(ask, Ask::Stop { session } if session == request.session));
    assert_eq!(stage.failed().await.0, request.id);
}

#[tokio::test]
async fn nonsense_of_a_gateway_harms_nobody() {
    let mut stage = Stage::open();
    let request = stage.publish(7).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for letter in
        ["", "{}", "[1,\"x\",{\"Request\":{}}]", "[{\"Later\":1}]", "[{\"Keep\":{\"sessions\":[1]}}]", &deep]
    {
        stage.say_raw(letter.as_bytes().to_vec()).await;
    }
    stage.say_raw(vec![0xff; 100]).await;
    stage.say(&ToRelay::Noted { id: u64::MAX }).await;
    let session = request.session;
    let keep = serde_json::to_string(&ToRelay::Keep {
        sessions: vec![Kept { session: stage.session(1), heard: 0 }],
    });
    stage.say_raw(format!("[{{\"Later\":1}},{}]", keep.unwrap()).into_bytes()).await;
    assert!(matches!(stage.told().await, FromRelay::Over { .. }));
    stage.notice(7, Notice::State(Arc::new(live(1)))).await;
    assert_eq!(stage.event().await.0, 1, "{session:?} goes on");
    // Letters that are no lists, and words.
    assert_eq!(stage.metric("refused_total", &[]), 4 + 6);
    assert_eq!(stage.metric("requests_total", &["publish", "ok"]), 1);
    assert_eq!(stage.metric("sessions", &[]), 1);
}

#[tokio::test]
async fn a_relay_that_leaves_says_so() {
    let mut stage = Stage::open();
    stage.publish(7).await;
    let Stage { over, task, .. } = stage;
    over.send(()).unwrap();
    tokio::time::timeout(BROKEN, task).await.expect("it ends").unwrap();
    let letter = stage.heard.recv().await.unwrap();
    let mut words: Vec<FromRelay> = serde_json::from_slice(&letter.words).unwrap();
    while words.iter().all(|word| matches!(word, FromRelay::Note(_))) {
        words = serde_json::from_slice(&stage.heard.recv().await.unwrap().words).unwrap();
    }
    let FromRelay::Event { event: SessionEvent::State { state, .. }, .. } = &words[0] else {
        panic!("{words:?}")
    };
    assert_eq!((state.phase, state.code), (Phase::Ended, Some(Code::NoRelay)));
}

/// Somebody else has every name.
struct Others;

impl Directory for Others {
    fn claim(&self, claim: &Claim) -> Soon<Result<Claimed, Unavailable>> {
        Soon::Now(Ok(Claimed { owner: Incarnation(5), fence: 1, value: claim.value.clone() }))
    }

    fn release(&self, _: &str, _: u64) -> Soon<Result<(), Unavailable>> {
        Soon::Now(Ok(()))
    }

    fn find(&self, _: &str) -> Soon<Result<Option<Claimed>, Unavailable>> {
        Soon::Now(Ok(None))
    }

    fn list(&self, _: &str, _: &str, _: usize) -> Soon<Result<Paged<(String, Claimed)>, Unavailable>> {
        Soon::Now(Ok((Vec::new(), None)))
    }
}

#[tokio::test]
async fn who_would_publish_what_lives_elsewhere_is_sent_there() {
    let mut stage = Stage::with(|cluster| cluster.directory = Arc::new(Others));
    stage.request(7, "alice", relay::Ask::Publish { stream: stream(), sdp: sdp(OFFER) }).await;
    let (_, refusal) = stage.failed().await;
    assert_eq!((refusal.code, refusal.elsewhere), (Code::StreamTaken, Some(5)));
    assert!(stage.asked.try_recv().is_err());
}

#[tokio::test]
async fn the_life_of_a_stream_is_noted_and_its_name_given_back() {
    let mut stage = Stage::open();
    let (over, is_over) = oneshot::channel::<()>();
    let keeping = tokio::spawn(Arc::clone(&stage.homes).keep(async { drop(is_over.await) }));
    let info = StreamInfo {
        stream: stream(),
        publishers: vec!["alice".parse().unwrap()],
        viewers: 96,
        is_fed: false,
    };
    *stage.face.streams.lock().unwrap() = vec![info];
    stage.publish(7).await;
    let note = stage.note().await;
    assert_eq!((&note.stream, &*note.user, note.what), (&stream(), "alice", Noted::Started));
    stage.say(&ToRelay::Noted { id: note.id }).await;
    let mut nodes = stage.cluster.membership.nodes();
    let is_full = |node: &turnpike_cluster::Node| node.relay.as_ref().is_some_and(|relay| !relay.has_room);
    let full = nodes.wait_for(|nodes| nodes.iter().any(is_full));
    tokio::time::timeout(BROKEN, full).await.expect("all know that it is full").unwrap();
    // As of the next renewal.
    let counted = async {
        loop {
            let found = stage.cluster.directory.find(&stream_entry(&stream())).wait().await.unwrap().unwrap();
            let entry = relay::StreamEntry::read(&found.value).unwrap();
            if (entry.publishers, entry.viewers) == (1, 96) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(BROKEN, counted).await.expect("the directory says who is there");
    stage.face.streams.lock().unwrap().clear();
    let ended = loop {
        let note = stage.note().await;
        if note.what != Noted::Started {
            break note;
        }
    };
    assert!(matches!(ended.what, Noted::Ended { viewers_max: 96, .. }), "{ended:?}");
    tokio::time::timeout(BROKEN, async {
        while stage.cluster.directory.find(&stream_entry(&stream())).wait().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the name is given back");
    over.send(()).unwrap();
    keeping.await.unwrap();
    assert!(nodes.borrow().iter().all(|node| node.relay.is_none()));
}
