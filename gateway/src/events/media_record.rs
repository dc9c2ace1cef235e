//! `media:record`: a stream is recorded from here on, or not any more. It needs no session of the caller's.

use turnpike_audit::Object;
use turnpike_engine::packet::Args;
use turnpike_guard::MediaRight;
use turnpike_wire::Failure;
use turnpike_wire::event::ClientEvent;
use turnpike_wire::event::media::{MediaRecord, MediaRecorded};

use super::media::Media;
use super::{Caller, Reply, data};
use crate::signaling::permit_right;

pub(super) fn parse(args: &Args) -> Result<MediaRecord, Failure> {
    data(args)
}

pub(super) async fn apply(caller: &Caller, record: MediaRecord) -> Media {
    let MediaRecord { stream, on } = record;
    permit_right(&caller.media_client()?.identity, &stream, MediaRight::Record)
        .map_err(|failure| caller.noted(ClientEvent::MediaRecord, Object::Stream, &stream, failure))?;
    let recording = caller.app.signaling.record_stream(stream.clone(), on).await?;
    Ok((Reply::new(MediaRecorded { stream: &stream, on, recording: &recording }), None))
}
