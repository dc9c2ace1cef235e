//! The streams that are published, their recording, and the end of one.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use turnpike_audit::Object;
use turnpike_cluster::Incarnation;
use turnpike_guard::MediaRight;
use turnpike_wire::RoomId;
use turnpike_wire::event::Empty;
use turnpike_wire::event::media::MediaRecorded;

use super::openapi::{CURSOR, LIMIT};
use super::operation::{Access, Asker, Call, Method, Operation, Outcome, Parameter, Place, done};
use super::request::limit;
use crate::audited::{self, By};

const DEFAULT_STREAMS: usize = 100;

pub(super) const LIST: Operation = Operation {
    id: "listStreams",
    method: Method::Get,
    path: "/api/v1/streams",
    access: Access::Service,
    summary: "Read which streams are published.",
    description: "On all relays, in no particular order. Who watches and publishes is counted every few seconds. A \
                  page may hold fewer than asked for, or none, and not be the last: only the one without a `cursor` is.",
    parameters: &[LIMIT, CURSOR],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/StreamPage" }),
    refusals: &[400],
    handle: |call| Box::pin(list(call)),
};

const STREAM: Parameter = Parameter {
    place: Place::Path,
    name: "stream",
    schema: || json!({ "$ref": "#/components/schemas/RoomId" }),
    about: "The stream. Its name is of the same form as a room's.",
    example: "live:show",
};

pub(super) const END: Operation = Operation {
    id: "endStream",
    method: Method::Delete,
    path: "/api/v1/streams/{stream}",
    access: Access::Service,
    summary: "End a stream.",
    description: "For everybody who publishes or watches it. Whoever may publish it can begin it again; to prevent that, \
                  disconnect or revoke the user.",
    parameters: &[STREAM],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/Empty" }),
    refusals: &[400, 404],
    handle: |call| Box::pin(end(call)),
};

pub(super) const RECORD: Operation = Operation {
    id: "recordStream",
    method: Method::Post,
    path: "/api/v1/streams/{stream}/recording",
    access: Access::Media(MediaRight::Record),
    summary: "Record a stream.",
    description: "Into files at the relay that has it, until the recording or the stream is ended. Refused with 403 where \
                  no directory is set for them. A stream that is recorded already goes on being so. Its sessions are \
                  told.",
    parameters: &[STREAM],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/Recording" }),
    refusals: &[400, 404, 409],
    handle: |call| Box::pin(record(call, true)),
};

pub(super) const RECORD_NO_MORE: Operation = Operation {
    id: "stopRecording",
    method: Method::Delete,
    path: "/api/v1/streams/{stream}/recording",
    access: Access::Media(MediaRight::Record),
    summary: "End the recording of a stream.",
    description: "The stream goes on. The file is whole a moment later.",
    parameters: &[STREAM],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/Recording" }),
    refusals: &[400, 404],
    handle: |call| Box::pin(record(call, false)),
};

#[derive(Serialize)]
struct Published<'a> {
    stream: &'a RoomId,
    /// A node that has just come or gone may not be known by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    since: u64,
    publishers: u32,
    viewers: u64,
}

#[derive(Serialize)]
struct StreamPage<'a> {
    streams: &'a [Published<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

async fn list(call: Call) -> Outcome {
    let [wanted, cursor] = call.query(["limit", "cursor"])?;
    let max = limit(wanted.as_deref())?.unwrap_or(DEFAULT_STREAMS);
    let (listed, cursor) = call.app.signaling.streams(cursor.as_deref().unwrap_or_default(), max).await?;
    let nodes = call.app.cluster.membership.nodes().borrow().clone();
    let names: HashMap<Incarnation, &str> =
        nodes.iter().map(|node| (node.incarnation, node.name.as_str())).collect();
    let streams: Vec<Published<'_>> = listed
        .iter()
        .map(|listed| Published {
            stream: &listed.stream,
            node: names.get(&listed.relay).copied(),
            since: listed.entry.since,
            publishers: listed.entry.publishers,
            viewers: listed.entry.viewers,
        })
        .collect();
    Ok(done(&StreamPage { streams: &streams, cursor: cursor.as_deref() }))
}

async fn end(call: Call) -> Outcome {
    let stream: RoomId = call.param("stream")?;
    let [] = call.query([])?;
    call.app.signaling.end_stream(stream).await?;
    Ok(done(&Empty {}))
}

async fn record(call: Call, wanted: bool) -> Outcome {
    let stream: RoomId = call.param("stream")?;
    call.asker.permit(&stream, MediaRight::Record).inspect_err(|failure| {
        let Asker::Token(identity) = &call.asker else { return };
        let (by, object) = (By::default().identified(identity), Some((Object::Stream, stream.as_str())));
        audited::denied(&call.app.audit, by, "recordStream", object, failure.code.slug());
    })?;
    let [] = call.query([])?;
    let recording = call.app.signaling.record_stream(stream.clone(), wanted).await?;
    Ok(done(&MediaRecorded { stream: &stream, on: wanted, recording: &recording }))
}
