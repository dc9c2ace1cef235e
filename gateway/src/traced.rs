//! What of the gateway's work stands in traces: who comes in, what backends ask for, and the way of a message.
//!
//! A message has a trace of its own that every node knows without being told. What a backend asks for is a part of the
//! backend's trace; the two point at each other.

use std::future::Future;

use axum::http::HeaderMap;
use turnpike_cluster::{Message, Receipt};
use turnpike_engine::ConnectRequest;
use turnpike_telemetry::{Active, Kind, TraceContext, Tracer};
use turnpike_wire::{Failure, RoomId};

tokio::task_local! {
    /// The request that what is published here and now was asked for by.
    static REQUEST: TraceContext;
}

/// Somebody comes in, or is refused.
pub(crate) fn handshake(tracer: &Tracer, request: &ConnectRequest) -> Active {
    let mut span = tracer.begin("handshake", Kind::Server, None);
    if span.context().is_some() {
        span.attribute("turnpike.connection", request.socket.id().to_string().as_str());
        span.attribute("turnpike.returns", u64::from(request.resume.is_some()));
        span.attribute("client.address", request.handshake.peer.ip().to_string().as_str());
    }
    span
}

/// A request of a backend, which may say of which trace it is.
pub(crate) fn request(
    tracer: &Tracer,
    operation: &'static str,
    method: &'static str,
    route: &'static str,
    headers: &HeaderMap,
    id: &str,
) -> Active {
    let mut given = headers.get_all(TraceContext::HEADER).iter();
    let cause = match (given.next(), given.next()) {
        (Some(one), None) => one.to_str().ok().and_then(TraceContext::parse),
        // Two of them are none (W3C Trace Context 2.3.2).
        _ => None,
    };
    let mut span = tracer.begin(operation, Kind::Server, cause);
    span.attribute("http.request.method", method)
        .attribute("http.route", route)
        .attribute("turnpike.request", id);
    span
}

/// Whatever is published by this work is a part of that request.
pub(crate) async fn as_part_of<T>(request: Option<TraceContext>, work: impl Future<Output = T>) -> T {
    match request {
        Some(context) => REQUEST.scope(context, work).await,
        None => work.await,
    }
}

pub(crate) fn answered(mut request: Active, status: u16, failure: Option<&Failure>) {
    request.attribute("http.response.status_code", u64::from(status));
    if let Some(failure) = failure.filter(|_| status >= 500) {
        request.fail(failure.code.slug());
    }
}

/// From the moment at which a message was handed to the broker to the one at which it was kept.
pub(crate) fn publication(tracer: &Tracer, room: &RoomId, receipt: &Receipt) {
    let Receipt { seq, ts, duplicate, .. } = receipt;
    let request = REQUEST.try_with(|context| *context).ok();
    let about = |span: &mut Active| {
        if span.context().is_some() {
            span.attribute("turnpike.room", room.as_str()).attribute("turnpike.seq", *seq);
            span.attribute("messaging.message.id", &*receipt.id)
                .attribute("turnpike.duplicate", u64::from(*duplicate));
        }
    };
    let mut span = tracer.of_message("message publish", Kind::Producer, (room.as_str(), *ts, *seq), *ts);
    about(&mut span);
    span.link(request);
    if let Some(request) = request {
        // The caller's trace shows it too, with the way to where it was delivered.
        let mut part = tracer.begin("message publish", Kind::Producer, Some(request));
        about(&mut part);
        part.link(span.context());
    }
}

/// From its publication to the moment at which this node's shards have it for those who are connected.
pub(crate) fn delivery(tracer: &Tracer, message: &Message) -> Active {
    let (room, ts) = (message.room.as_str(), message.ts);
    let mut span = tracer.of_message("message deliver", Kind::Consumer, (room, ts, message.seq), ts);
    if span.context().is_some() {
        span.attribute("turnpike.room", room).attribute("turnpike.seq", message.seq);
    }
    span
}
