//! Looking into a running cluster for an operator: connections with what happened to them last, users, rooms, streams, and
//! why somebody did or did not get a message.
//!
//! Whichever node is asked asks the others; who does not answer in time is named. Nothing is changed by any of it.

mod asking;
mod departed;
mod here;
mod notes;
mod relay;
mod trace;
mod verdict;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use turnpike_cluster::{Incarnation, Message, Post, Range, Read, Standing};
use turnpike_engine::SocketId;
use turnpike_guard::Whom;
use turnpike_wire::media::relay::{StreamEntry, stream_entry};
use turnpike_wire::media::{Phase, StreamLook, TrackLook};
use turnpike_wire::{Code, Failure, RoomId, UserId};

pub(crate) use self::asking::listen;
use self::asking::{Asking, Heard};
pub(crate) use self::departed::Departures;
pub use self::notes::Line;
pub(crate) use self::notes::{Note, code_of, mark, note, refusal, tag};
pub use self::relay::Looks;
pub use self::trace::Finding;
use self::trace::There;
pub use self::verdict::Verdict;
use self::words::{Answer, Question};
pub use self::words::{Ended, MediaHere, MemberHere, RoomHere, Seen, State, StreamHere, Token, Transport};
use crate::app::App;
use crate::membership::unavailable;
use crate::page;

/// What is kept for those who look.
pub(crate) struct Inspection {
    pub(crate) departures: Departures,
    /// The relay of this process.
    pub(crate) relay: OnceLock<Arc<dyn Looks>>,
    asking: Asking,
}

impl Inspection {
    pub(crate) fn new(post: Arc<dyn Post>) -> Self {
        Self { departures: Departures::default(), relay: OnceLock::new(), asking: Asking::new(post) }
    }
}

/// Messages that are read at once when one is looked for by its id, and how often.
const PAGE_MESSAGES: usize = 500;
const PAGES_MAX: usize = 10;
/// The latest messages of a room that are shown.
const LATEST: usize = 5;

/// Something that a node said, under its name.
#[derive(Debug, Clone, Serialize)]
pub struct OfNode<T> {
    pub node: String,
    #[serde(flatten)]
    pub it: T,
}

/// What came of asking all nodes.
#[derive(Debug, Clone, Serialize)]
pub struct Connections {
    pub connections: Vec<OfNode<Seen>>,
    /// Those that are not in the list: there are too many.
    pub more: u64,
    /// Nodes that did not answer.
    pub unanswered: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct OfUser {
    pub user: UserId,
    pub devices: Vec<DeviceSeen>,
    pub standing: Vec<Restrained>,
    pub limits: Vec<LimitOf>,
    #[serde(flatten)]
    pub all: Connections,
}

#[derive(Debug, Clone, Serialize)]
pub struct DeviceSeen {
    pub node: Option<String>,
    pub device: String,
    pub status: turnpike_cluster::Status,
}

/// A ban or a mute.
#[derive(Debug, Clone, Serialize)]
pub struct Restrained {
    pub step: String,
    pub until_ms: u64,
    pub by: String,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct LimitOf {
    pub limit: &'static str,
    pub a_second: f64,
    pub burst: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct OfRoom {
    pub room: RoomId,
    pub epoch: u64,
    pub seq: u64,
    pub history: History,
    pub latest: Vec<Published>,
    pub nodes: Vec<OfNode<RoomHere>>,
    pub unanswered: Vec<String>,
}

/// How far back messages are kept.
#[derive(Debug, Clone, Default, Serialize)]
pub struct History {
    pub first_seq: Option<u64>,
    pub first_ts: Option<u64>,
    pub last_seq: Option<u64>,
    pub last_ts: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Published {
    pub epoch: u64,
    pub seq: u64,
    pub id: Option<Box<str>>,
    pub from: UserId,
    /// Milliseconds since 1970.
    pub ts: u64,
    pub bytes: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct OfStream {
    pub stream: RoomId,
    /// Where it is published, as its relay says. None: no relay says that it has it.
    pub home: Option<Home>,
    /// Clients of gateways that publish or watch it. Who uses WHIP or WHEP has no connection and is not among them.
    pub nodes: Vec<OfNode<StreamHere>>,
    /// Nodes whose relay has sessions of it, or is its home.
    pub relays: Vec<RelayOf>,
    pub unanswered: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Home {
    pub node: Option<String>,
    pub incarnation: String,
    pub since_ms: u64,
    pub publishers: u32,
    pub viewers: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct RelayOf {
    pub node: Option<String>,
    pub incarnation: String,
    pub home: bool,
    pub publishers: u64,
    pub viewers: u64,
    pub link: Option<std::net::SocketAddr>,
    pub load_permille: Option<u16>,
    pub has_room: Option<bool>,
    /// As the relay itself says. None: it did not, or nothing is known of it there.
    pub at: Option<AtRelay>,
}

/// How a stream is at a relay.
#[derive(Debug, Clone, Serialize)]
pub struct AtRelay {
    pub phase: Phase,
    /// Who watches there, by whichever way.
    pub viewers: u64,
    pub recording: bool,
    /// The relay that it comes from. None: it is published here, or the other one is not known any more.
    pub from: Option<String>,
    /// To so many other relays it goes on from here.
    pub gives_to: u32,
    pub tracks: Vec<TrackLook>,
    pub more: u64,
}

/// Which message.
#[derive(Debug, Clone)]
pub enum Which {
    Seq(u64),
    Id(String),
}

#[derive(Debug, Clone, Serialize)]
pub struct Traced {
    pub room: RoomId,
    pub user: UserId,
    pub verdict: Verdict,
    pub message: Option<Published>,
    pub history: History,
    /// Of each node whether the message has come there, and how many members of the room it has.
    pub nodes: Vec<OfNode<RoomHere>>,
    pub connections: Vec<OfNode<Judged>>,
    /// Up to where the user has said that they received and read the room.
    pub received: Option<u64>,
    pub read: Option<u64>,
    pub more: u64,
    pub unanswered: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    pub finding: Finding,
    pub text: String,
    #[serde(flatten)]
    pub seen: Seen,
}

fn unanswered(heard: &[Heard]) -> Vec<String> {
    heard.iter().filter(|heard| heard.answer.is_none()).map(|heard| heard.name.clone()).collect()
}

pub(crate) async fn connection(app: &Arc<App>, id: SocketId) -> Connections {
    gathered(asking::all(app, &Question::Connection { id: id.to_string().into() }).await)
}

fn gathered(heard: Vec<Heard>) -> Connections {
    let unanswered = unanswered(&heard);
    let (mut connections, mut all_more) = (Vec::new(), 0);
    for Heard { name, answer, .. } in heard {
        let Some(Answer::Connections { seen, more }) = answer else { continue };
        all_more += more;
        connections.extend(seen.into_iter().map(|it| OfNode { node: name.clone(), it }));
    }
    // Those that live first, then those that ended last.
    connections.sort_by_key(|connection| match &connection.it.state {
        State::Connected => (0, 0),
        State::Away { .. } => (1, 0),
        State::Closed(ended) => (2, u64::MAX - ended.at_ms),
    });
    Connections { connections, more: all_more, unanswered }
}

pub(crate) async fn user(app: &Arc<App>, user: &UserId, devices: Vec<DeviceSeen>) -> OfUser {
    let all = gathered(asking::all(app, &Question::User { user: user.clone() }).await);
    let watch = &app.policing.watch;
    let restraints = watch.warden.restraints(watch.now());
    let of_user = |whom: &Whom| matches!(whom, Whom::User(other) if other == user);
    let standing = restraints.into_iter().filter(|restraint| of_user(&restraint.whom)).map(|restraint| {
        let step = format!("{:?}", restraint.rung).to_lowercase();
        Restrained { step, until_ms: restraint.until_ms, by: restraint.by, reason: restraint.reason }
    });
    let class = all.connections.iter().find_map(|one| one.it.token.as_ref()?.class.clone());
    let limits = app.limiter.list(class.as_deref());
    let limits = limits.into_iter().map(|(limit, a_second, burst)| LimitOf { limit, a_second, burst });
    OfUser { user: user.clone(), devices, standing: standing.collect(), limits: limits.collect(), all }
}

/// None: nobody is in it, and nothing of it is remembered.
pub(crate) async fn room(app: &Arc<App>, room: &RoomId) -> Result<Option<OfRoom>, Failure> {
    let latest = page::read(app, room.clone(), Range::Latest, Some(LATEST)).await?;
    let history = history(app, room, latest.messages.last()).await?;
    let heard = asking::all(app, &Question::Room { room: room.clone() }).await;
    let unanswered = unanswered(&heard);
    let Standing { epoch, seq, pos, .. } = latest.standing;
    let nodes: Vec<OfNode<RoomHere>> = rooms(heard);
    if pos == 0 && nodes.iter().all(|node| node.it.sessions == 0) && unanswered.is_empty() {
        return Ok(None);
    }
    let latest = latest.messages.iter().rev().map(|message| published(message)).collect();
    Ok(Some(OfRoom { room: room.clone(), epoch, seq, history, latest, nodes, unanswered }))
}

fn rooms(heard: Vec<Heard>) -> Vec<OfNode<RoomHere>> {
    let of_node = |Heard { name: node, answer, .. }: Heard| match answer? {
        Answer::Room(it) | Answer::Traced { room: it, .. } => Some(OfNode { node, it }),
        Answer::Connections { .. } | Answer::Stream(_) => None,
    };
    heard.into_iter().filter_map(of_node).collect()
}

async fn history(app: &App, room: &RoomId, last: Option<&Arc<Message>>) -> Result<History, Failure> {
    let first = page::read(app, room.clone(), Range::AfterSeq(0), Some(1)).await?;
    let first = first.messages.first();
    Ok(History {
        first_seq: first.map(|message| message.seq),
        first_ts: first.map(|message| message.ts),
        last_seq: last.map(|message| message.seq),
        last_ts: last.map(|message| message.ts),
    })
}

/// What is read of a message's event.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

fn id_of(message: &Message) -> Option<Box<str>> {
    serde_json::from_str::<Written<'_>>(&message.data).ok().map(|written| written.id.as_ref().into())
}

fn published(message: &Message) -> Published {
    Published {
        epoch: message.at.epoch,
        seq: message.seq,
        id: id_of(message),
        from: message.from.clone(),
        ts: message.ts,
        bytes: message.data.len() + message.attachments.iter().map(bytes::Bytes::len).sum::<usize>(),
    }
}

pub(crate) async fn stream(app: &Arc<App>, stream: &RoomId) -> Result<OfStream, Failure> {
    let found = app.cluster.directory.find(&stream_entry(stream)).wait().await.map_err(unavailable)?;
    let known = app.cluster.membership.nodes().borrow().clone();
    let node_of = |incarnation: Incarnation| known.iter().find(|node| node.incarnation == incarnation);
    let name_of =
        |relay: Incarnation| node_of(relay).map_or_else(|| relay.to_string(), |node| node.name.clone());
    let home = found.map(|claimed| {
        let entry = StreamEntry::read(&claimed.value).unwrap_or_default();
        let StreamEntry { since: since_ms, publishers, viewers } = entry;
        let node = node_of(claimed.owner).map(|node| node.name.clone());
        (claimed.owner, Home { node, incarnation: claimed.owner.to_string(), since_ms, publishers, viewers })
    });
    let heard = asking::all(app, &Question::Stream { stream: stream.clone() }).await;
    let unanswered = unanswered(&heard);
    let mut of_relays: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut looks: BTreeMap<u64, StreamLook> = BTreeMap::new();
    let of_node = |Heard { name: node, answer, .. }: Heard| {
        let Answer::Stream(mut it) = answer? else { return None };
        if let Some((relay, look)) = it.look.take() {
            of_relays.entry(relay).or_default();
            looks.insert(relay, look);
        }
        (!it.sessions.is_empty()).then_some(OfNode { node, it })
    };
    let nodes: Vec<OfNode<StreamHere>> = heard.into_iter().filter_map(of_node).collect();
    if let Some((owner, _)) = &home {
        of_relays.entry(owner.0).or_default();
    }
    for session in nodes.iter().flat_map(|node| &node.it.sessions) {
        let (publishers, viewers) = of_relays.entry(session.relay).or_default();
        let count = if &*session.role == "publisher" { publishers } else { viewers };
        *count += 1;
    }
    if of_relays.is_empty() && unanswered.is_empty() {
        return Err(Code::NoSuchStream.into());
    }
    let relays = of_relays.into_iter().map(|(relay, (publishers, viewers))| {
        let node = node_of(Incarnation(relay));
        let offer = node.and_then(|node| node.relay.as_ref());
        RelayOf {
            node: node.map(|node| node.name.clone()),
            incarnation: Incarnation(relay).to_string(),
            home: home.as_ref().is_some_and(|(owner, _)| owner.0 == relay),
            publishers,
            viewers,
            link: offer.and_then(|offer| offer.link),
            load_permille: offer.map(|offer| offer.load_permille),
            has_room: offer.map(|offer| offer.has_room),
            at: looks.remove(&relay).map(|look| AtRelay {
                phase: look.phase,
                viewers: look.viewers,
                recording: look.recording,
                from: look.from.map(|from| name_of(Incarnation(from))),
                gives_to: look.gives_to,
                tracks: look.tracks,
                more: look.more,
            }),
        }
    });
    let relays = relays.collect();
    Ok(OfStream { stream: stream.clone(), home: home.map(|(_, home)| home), nodes, relays, unanswered })
}

/// The message, if it is still kept, and where the room stands.
async fn find(app: &App, room: &RoomId, which: &Which) -> Result<(Option<Arc<Message>>, Standing), Failure> {
    match which {
        Which::Seq(seq) => {
            let page = page::read(app, room.clone(), Range::AfterSeq(seq.saturating_sub(1)), Some(1)).await?;
            Ok((page.messages.into_iter().find(|message| message.seq == *seq), page.standing))
        }
        Which::Id(id) => {
            let mut range = Range::Latest;
            let mut standing = None;
            for _ in 0..PAGES_MAX {
                let read = Read {
                    room: room.clone(),
                    range,
                    messages_max: PAGE_MESSAGES,
                    bytes_max: app.limits.answer_bytes_max,
                };
                let page = app.cluster.broker.read(&read).wait().await.map_err(unavailable)?;
                let stands = *standing.get_or_insert(page.standing);
                let is = |message: &&Arc<Message>| id_of(message).as_deref() == Some(id.as_str());
                if let Some(message) = page.messages.iter().rev().find(is) {
                    return Ok((Some(Arc::clone(message)), stands));
                }
                let Some(first) = page.messages.first().filter(|_| page.more) else { break };
                range = Range::Before(first.seq);
            }
            Ok((None, standing.unwrap_or_default()))
        }
    }
}

pub(crate) async fn message(
    app: &Arc<App>,
    room: &RoomId,
    which: &Which,
    user: &UserId,
) -> Result<Traced, Failure> {
    let (message, standing) = find(app, room, which).await?;
    let last = page::read(app, room.clone(), Range::Latest, Some(1)).await?;
    let history = history(app, room, last.messages.last()).await?;
    let marks =
        app.cluster.marks.marks(room, std::slice::from_ref(user)).wait().await.map_err(unavailable)?;
    let mark = marks.into_iter().find(|mark| mark.user == *user);
    let mut traced = Traced {
        room: room.clone(),
        user: user.clone(),
        verdict: Verdict::default(),
        message: message.as_deref().map(published),
        history,
        nodes: Vec::new(),
        connections: Vec::new(),
        received: mark.as_ref().map(|mark| mark.received),
        read: mark.as_ref().map(|mark| mark.read),
        more: 0,
        unanswered: Vec::new(),
    };
    let Some(message) = message else {
        traced.verdict = verdict::of_no_message(room, which, &standing, &traced.history);
        return Ok(traced);
    };
    let question =
        Question::Message { room: room.clone(), at: message.at, ts: message.ts, user: user.clone() };
    let mut heard = asking::all(app, &question).await;
    traced.unanswered = unanswered(&heard);
    for Heard { name, answer, .. } in &mut heard {
        let Some(Answer::Traced { found, more, .. }) = answer else { continue };
        traced.more += *more;
        let judged = std::mem::take(found).into_iter().map(|one| {
            let text = verdict::of_connection(&one, name, message.ts);
            let it = Judged { finding: one.finding, text, seen: one.seen };
            OfNode { node: name.clone(), it }
        });
        traced.connections.extend(judged);
    }
    traced.nodes = rooms(heard);
    let there: Vec<(Finding, There)> = traced
        .connections
        .iter()
        .map(|one| {
            let ended_ms = match &one.it.seen.state {
                State::Closed(ended) => Some(ended.at_ms),
                State::Connected | State::Away { .. } => None,
            };
            (one.it.finding, There { came_ms: one.it.seen.since_ms, ended_ms })
        })
        .collect();
    let decisive = trace::decisive(&there, message.ts);
    traced.verdict = verdict::of(&traced, decisive);
    Ok(traced)
}
