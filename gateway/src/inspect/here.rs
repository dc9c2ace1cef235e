//! What this node knows of a connection, a user, a room, a stream, a message.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use turnpike_cluster::{Lane, LanePosition, lane_of};
use turnpike_engine::flight::{Entry, Happened, Recorder};
use turnpike_engine::{Kind, Look, SocketId};
use turnpike_wire::{RoomId, UserId};

use super::departed::Departed;
use super::notes::{self, Names, Note};
use super::trace::{Case, End, judge};
use super::words::{
    Answer, Ended, Found, MediaHere, MemberHere, Question, RoomHere, Seen, State, StreamHere, Token,
    Transport,
};
use crate::app::App;
use crate::clock::unix_ms;
use crate::offset;
use crate::session::{Session, Whereabouts};

/// Connections of one user in one answer. With all their rooms and lines, of the longest names, they fit into a letter.
pub(super) const CONNECTIONS_MAX: usize = 12;
/// Rooms of one connection that are named.
pub(super) const ROOMS_MAX: usize = 64;
/// Members of a room that are named.
const MEMBERS_MAX: usize = 100;
const MEDIA_MAX: usize = 200;

pub(super) async fn answer(app: &Arc<App>, question: &Question) -> Answer {
    match question {
        Question::Connection { id } => {
            let Some(id) = SocketId::parse(id) else {
                return Answer::Connections { seen: Vec::new(), more: 0 };
            };
            let session = app.sessions.get(id).map(|session| (id, session));
            let departed = app.inspection.departures.of_connection(id);
            connections(app, session.into_iter().collect(), departed).await
        }
        Question::User { user } => {
            connections(app, app.sessions.of_user(user), app.inspection.departures.of_user(user)).await
        }
        Question::Room { room } => Answer::Room(room_here(app, room)),
        Question::Stream { stream } => Answer::Stream(stream_here(app, stream).await),
        Question::Message { room, at, ts, user } => {
            let message = Message { room, at: *at, ts: *ts };
            trace(app, &message, user).await
        }
    }
}

/// One that is here, or was, with all that is known of it.
struct Known {
    id: SocketId,
    of: Of,
    look: Option<Look>,
    /// The wall clock when the look was taken.
    looked_ms: u64,
}

enum Of {
    Live(Arc<Session>),
    Departed(Arc<Departed>),
}

async fn known(
    app: &App,
    sessions: Vec<(SocketId, Arc<Session>)>,
    departed: Vec<Arc<Departed>>,
) -> (Vec<Known>, u64) {
    let all = sessions.len() + departed.len();
    let looks = sessions.into_iter().take(CONNECTIONS_MAX).map(|(id, session)| async move {
        let at = session.state().at;
        let look = match at {
            Whereabouts::Connected(socket) => app.handle.look(&socket).await,
            Whereabouts::Away { .. } | Whereabouts::Gone => None,
        };
        Known { id, of: Of::Live(session), look, looked_ms: unix_ms() }
    });
    let mut known = join_all(looks).await;
    let room_for = CONNECTIONS_MAX - known.len();
    known.extend(departed.into_iter().take(room_for).map(|departed| {
        let (look, looked_ms) = (Some(departed.look.clone()), departed.at_ms);
        Known { id: departed.id, of: Of::Departed(departed), look, looked_ms }
    }));
    let more = all - known.len();
    (known, more as u64)
}

async fn connections(
    app: &App,
    sessions: Vec<(SocketId, Arc<Session>)>,
    departed: Vec<Arc<Departed>>,
) -> Answer {
    let (known, more) = known(app, sessions, departed).await;
    let seen = known.iter().filter_map(|known| seen(app, known, None)).collect();
    Answer::Connections { seen, more }
}

/// Tags that stand in a record.
fn tags(entries: &[Entry]) -> impl Iterator<Item = u32> + '_ {
    entries.iter().filter_map(|entry| {
        let Happened::Noted(kind) = entry.what else { return None };
        match Note::read(kind, entry.number, entry.more)? {
            Note::Joined { tag, .. } | Note::Left { tag, .. } | Note::Denied { tag, .. } => Some(tag),
            _ => None,
        }
    })
}

/// What the rooms in a record are called, as far as somebody here knows.
fn names(app: &App, known: &Known, asked: Option<&RoomId>) -> Names {
    let mut names = Names::default();
    let seq_of = |room: &RoomId| {
        app.mirror.lane_of(room).room(room).and_then(|room| room.standing()).map(|standing| standing.seq)
    };
    let mut own: Vec<RoomId> = asked.into_iter().cloned().collect();
    if let Of::Live(session) = &known.of {
        own.extend(session.state().rooms.iter().map(|member| member.room.clone()));
    }
    for room in &own {
        names.add(room, seq_of(room));
    }
    let entries = known.look.as_ref().map(Look::entries).unwrap_or_default();
    let mut wanted: HashSet<u32> = tags(&entries).collect();
    if let Of::Departed(departed) = &known.of {
        wanted.extend(departed.rooms.iter().map(|(tag, _)| *tag));
    }
    for room in &own {
        wanted.remove(&notes::tag(room));
    }
    if !wanted.is_empty() {
        for lane in Lane::all() {
            let lane = app.mirror.lane(lane);
            for (room, seq) in lane.rooms().filter(|(room, _)| wanted.contains(&notes::tag(room))) {
                names.add(room, seq);
            }
        }
    }
    names
}

/// None: it is gone, and somebody else has it.
fn seen(app: &App, known: &Known, asked: Option<&RoomId>) -> Option<Seen> {
    let names = names(app, known, asked);
    let look = known.look.as_ref();
    let entries = look.map(Look::entries).unwrap_or_default();
    let looked_at = look.map_or(0, |look| look.at_ms);
    let unix_of = |at_ms: u64| known.looked_ms.saturating_sub(looked_at.saturating_sub(at_ms));
    let events = notes::lines(&entries, &names, unix_of);
    let transport = look.map(transport);
    let kind = |is_raw: bool| if is_raw { "raw" } else { "socketio" };
    match &known.of {
        Of::Live(session) => {
            let (now_ms, steady_ms) = (unix_ms(), app.clock.steady_ms());
            let state = session.state();
            let is = match state.at {
                Whereabouts::Connected(_) => State::Connected,
                Whereabouts::Away { until_ms } => {
                    State::Away { until_ms: now_ms + until_ms.saturating_sub(steady_ms) }
                }
                Whereabouts::Gone => return None,
            };
            let identity = &state.identity;
            Some(Seen {
                connection: known.id.to_string().into(),
                user: session.user.clone(),
                state: is,
                device: session.device.clone(),
                kind: kind(session.kind == Kind::Raw).into(),
                address: session.address,
                since_ms: session
                    .address
                    .map(|_| now_ms.saturating_sub(steady_ms.saturating_sub(session.since_ms))),
                recovered: state.resumed,
                token: Some(Token {
                    role: identity.role.slug().into(),
                    id: identity.token_id.as_deref().map(Into::into),
                    class: identity.class.as_deref().map(Into::into),
                    expires_at: identity.expires_at,
                }),
                transport,
                rooms: state.rooms.iter().take(ROOMS_MAX).map(|member| member.room.as_str().into()).collect(),
                rooms_count: state.rooms.len() as u64,
                events,
            })
        }
        Of::Departed(departed) => {
            let kept = &departed.session;
            let rooms = departed.rooms.iter().map(|(tag, _)| names.of(*tag)).collect::<Vec<_>>();
            Some(Seen {
                connection: known.id.to_string().into(),
                user: kept.user.clone(),
                state: State::Closed(ended(departed)),
                device: kept.device.clone(),
                kind: kind(kept.is_raw).into(),
                address: kept.address,
                since_ms: Some(departed.at_ms.saturating_sub(kept.lasted_ms)),
                recovered: kept.resumed,
                token: None,
                transport,
                rooms_count: departed.rooms_count,
                rooms,
                events,
            })
        }
    }
}

fn ended(departed: &Departed) -> Ended {
    Ended {
        at_ms: departed.at_ms,
        reason: departed.reason.into(),
        code: departed.code,
        text: departed.text.clone(),
    }
}

fn transport(look: &Look) -> Transport {
    let recorder = look.recorder.as_deref();
    Transport {
        websocket: look.websocket,
        upgraded: look.upgraded,
        compressed: look.compressed,
        queue_bytes: look.queue_bytes as u64,
        queue_items: look.queue_items as u64,
        blocked: look.blocked,
        behind: look.behind,
        pinged: look.pinged,
        received_bytes: look.traffic.received_bytes,
        sent_bytes: look.traffic.sent_bytes,
        delivered: recorder.map_or(0, Recorder::delivered_count),
        asked: recorder.map_or(0, Recorder::asked_count),
    }
}

fn room_here(app: &App, room: &RoomId) -> RoomHere {
    let mut here = RoomHere::default();
    {
        let lane = app.mirror.lane_of(room);
        if let Some(view) = lane.room(room) {
            here.sessions = u64::from(view.members());
            if let Some(standing) = view.standing() {
                (here.open, here.epoch, here.seq) = (true, standing.epoch, standing.seq);
            }
        }
    }
    if here.sessions == 0 {
        return here;
    }
    for id in app.sessions.ids() {
        let Some(session) = app.sessions.get(id) else { continue };
        let state = session.state();
        if state.membership(room).is_none() {
            continue;
        }
        let connected = matches!(state.at, Whereabouts::Connected(_));
        drop(state);
        here.connected += u64::from(connected);
        if here.members.len() < MEMBERS_MAX {
            let connection = id.to_string().into();
            here.members.push(MemberHere { connection, user: session.user.clone(), connected });
        }
    }
    here
}

async fn stream_here(app: &App, stream: &RoomId) -> StreamHere {
    let all = app.signaling.sessions_of(stream);
    let more = all.len().saturating_sub(MEDIA_MAX) as u64;
    let sessions = all.into_iter().take(MEDIA_MAX).map(|(id, session, role)| MediaHere {
        connection: id.to_string().into(),
        role: match role {
            turnpike_wire::media::relay::Role::Publisher => "publisher",
            turnpike_wire::media::relay::Role::Viewer => "viewer",
        }
        .into(),
        relay: session.relay,
    });
    let sessions = sessions.collect();
    let look = match app.inspection.relay.get() {
        Some(relay) => relay.look(stream).await,
        None => None,
    };
    let look = look.map(|look| (app.cluster.membership.own().0, look));
    StreamHere { sessions, more, look }
}

struct Message<'a> {
    room: &'a RoomId,
    at: LanePosition,
    ts: u64,
}

async fn trace(app: &Arc<App>, message: &Message<'_>, user: &UserId) -> Answer {
    let mut room = room_here(app, message.room);
    room.members.clear();
    let node = {
        let lane = app.mirror.lane_of(message.room);
        lane.room(message.room).and_then(|view| view.standing()).map(|standing| standing.pos)
    };
    let departures = app.inspection.departures.of_user(user);
    let mut sessions = app.sessions.of_user(user);
    // Of a session whose client is away its last connection tells more.
    sessions.retain(|(id, session)| {
        let is_away = matches!(session.state().at, Whereabouts::Away { .. });
        !is_away || !departures.iter().any(|departed| departed.id == *id)
    });
    // Should there be too many, those that were to get it are told of.
    sessions.sort_by_key(|(_, session)| session.state().membership(message.room).is_none());
    let (known, more) = known(app, sessions, departures).await;
    let mut found = Vec::with_capacity(known.len());
    for known in &known {
        let Some(seen) = seen(app, known, Some(message.room)) else { continue };
        let case = case(app, message, known, &seen, node).await;
        found.push(Found { seen, finding: judge(&case) });
    }
    Answer::Traced { room, found, more }
}

async fn case(app: &App, message: &Message<'_>, known: &Known, seen: &Seen, node: Option<u64>) -> Case {
    let tag = notes::tag(message.room);
    let joined = match &known.of {
        Of::Live(session) => {
            let state = session.state();
            state.membership(message.room).map(|index| state.rooms[index].joined.pos)
        }
        Of::Departed(departed) => {
            departed.rooms.iter().find(|(other, _)| *other == tag).map(|(_, joined)| joined.pos)
        }
    };
    let look = known.look.as_ref();
    let entries = look.map(Look::entries).unwrap_or_default();
    let queued = position(app, message, look.and_then(|look| look.queued.as_deref())).await;
    let unwritten = position(app, message, look.and_then(|look| look.unwritten.as_deref())).await;
    let end = match &known.of {
        Of::Live(session) => match session.state().at {
            Whereabouts::Connected(_) => End::Connected,
            Whereabouts::Away { .. } | Whereabouts::Gone => End::MayReturn,
        },
        // While its session waits here for its client.
        Of::Departed(departed) => {
            let waits = app
                .sessions
                .get(departed.id)
                .is_some_and(|session| matches!(session.state().at, Whereabouts::Away { .. }));
            if waits { End::MayReturn } else { End::Final }
        }
    };
    Case {
        at: message.at.pos,
        published_ms: message.ts,
        end,
        came_ms: seen.since_ms,
        resumed: seen.recovered,
        joined,
        of_room: notes::of_room(&entries, tag),
        queued,
        unwritten,
        discarded: entries.iter().any(|entry| entry.what == Happened::Discarded),
        behind: look.is_some_and(|look| look.behind),
        node,
    }
}

/// Which place of the message's lane an offset names.
async fn position(app: &App, message: &Message<'_>, text: Option<&str>) -> Option<u64> {
    let offset = offset::read(text?)?;
    let base = app.references.find(offset.base).wait().await.ok()??;
    Some(offset.against(&base)?[lane_of(message.room).index()].pos)
}
