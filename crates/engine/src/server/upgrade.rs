//! From a request to a websocket. Once it is agreed on, the bare socket is taken back, and hyper's task and buffers are
//! gone.

use std::rc::Rc;
use std::sync::Arc;

use axum::body::Body;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::caller::Caller;
use super::heard::{self, Taken};
use super::http::{kept, lists, respond};
use crate::application::{Application, Handshake, Kind};
use crate::arrival::{Arrival, Visit};
use crate::command::Command;
use crate::frame::handshake;
use crate::ids::SessionSecret;
use crate::polling::{HttpFault, PollAnswer};
use crate::shard::{Begun, Place, Shard};

/// What an agreed websocket is for.
pub(super) enum Target {
    Raw,
    NewSession,
    /// The shard that has the session, and the session's secret.
    Session(usize, SessionSecret),
}

pub(super) fn websocket<A: Application>(
    shard: &Rc<Shard<A>>,
    caller: &Caller,
    request: &mut Request<Incoming>,
    target: &Target,
) -> Response<Body> {
    let headers = request.headers();
    let wants_websocket = request.method() == Method::GET
        && lists(headers, &UPGRADE, "websocket")
        && lists(headers, &CONNECTION, "upgrade");
    if !wants_websocket {
        return if matches!(target, Target::Raw) {
            upgrade_required()
        } else {
            respond(HttpFault::BadRequest.answer())
        };
    }
    let version = text(headers, &SEC_WEBSOCKET_VERSION).unwrap_or_default();
    if handshake::version(version).is_err() {
        return upgrade_required();
    }
    let Some(Ok(accept)) = text(headers, &SEC_WEBSOCKET_KEY).map(handshake::accept) else {
        return respond(HttpFault::BadRequest.answer());
    };
    let target = match target {
        Target::Session(owner, secret) => Agreed::Session(*owner, *secret),
        Target::NewSession | Target::Raw => {
            let arrival = match shard.arrives(caller.peer.ip()) {
                Ok(arrival) => arrival,
                Err(turned) => return respond(PollAnswer::turned_away(&turned)),
            };
            let place = match shard.may_begin() {
                Ok(place) => place,
                Err(fault) => return respond(fault.answer()),
            };
            let kind = if matches!(target, Target::Raw) { Kind::Raw } else { Kind::SocketIo };
            Agreed::New(kind, arrival, place)
        }
    };
    let offers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
    let deflate = shard
        .config
        .compression_threshold
        .and_then(|_| offers.into_iter().find_map(handshake::negotiate_deflate));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).expect("base64 is a header value"));
    if let Some(agreed) = deflate {
        answers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(agreed));
    }
    let (handshake, visit) = (Arc::new(kept(request, caller.peer)), Arc::clone(&caller.visit));
    if matches!(target, Agreed::New(Kind::SocketIo, ..)) {
        // On this one the server speaks first. Were the client to, it would wait for the answer.
        caller.talk.keep_answer();
    }
    let upgrade = hyper::upgrade::on(request);
    let shard = Rc::clone(shard);
    // Once the 101 is out, the socket is ours.
    tokio::task::spawn_local(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = heard::taken_back(upgraded).expect("that is what was served");
        take_over(&shard, socket, deflate.is_some(), target, handshake, visit);
    });
    response
}

/// What is known of a websocket before it is one.
enum Agreed {
    New(Kind, Arrival, Place),
    Session(usize, SessionSecret),
}

fn take_over<A: Application>(
    shard: &Rc<Shard<A>>,
    Taken { stream, unwritten, unread }: Taken,
    deflate: bool,
    agreed: Agreed,
    handshake: Arc<Handshake>,
    visit: Arc<Visit>,
) {
    match agreed {
        Agreed::New(kind, arrival, place) => {
            let begun = Begun { handshake, visit: Some(visit), arrival: Some(arrival), place };
            shard.open_websocket(stream, &unwritten, &unread, deflate, kind, begun);
        }
        Agreed::Session(owner, secret) if owner == usize::from(shard.index) => {
            shard.attach(secret, stream, unread, deflate, visit);
        }
        Agreed::Session(owner, secret) => {
            shard.counters.handed_over.add(1);
            let Ok(stream) = stream.into_std() else { return };
            shard.handle.send(owner, Command::Attach { secret, stream, unread, deflate, visit });
        }
    }
}

fn upgrade_required() -> Response<Body> {
    let mut response = respond(HttpFault::BadRequest.answer());
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
