//! `media:publish`: this connection sends a stream from here on, by way of a relay.

use turnpike_audit::Object;
use turnpike_engine::packet::Args;
use turnpike_guard::limit::Limit;
use turnpike_wire::event::ClientEvent;
use turnpike_wire::event::media::MediaPublish;
use turnpike_wire::media::Sdp;
use turnpike_wire::{Failure, RoomId};

use super::media::{Media, description, sdp};
use super::{Caller, data};
use crate::audited;

pub(super) struct Publish {
    stream: RoomId,
    sdp: Sdp,
}

pub(super) fn parse(args: &Args) -> Result<Publish, Failure> {
    let publish: MediaPublish<'_> = data(args)?;
    Ok(Publish { sdp: sdp(&publish.sdp)?, stream: publish.stream })
}

pub(super) async fn apply(caller: &Caller, publish: Publish) -> Media {
    caller.allows(Limit::Recorded)?;
    let (client, stream) = (caller.media_client()?, publish.stream.clone());
    let asked = caller.app.signaling.publish(&client, publish.stream, publish.sdp).await;
    let described =
        asked.map_err(|failure| caller.noted(ClientEvent::MediaPublish, Object::Stream, &stream, failure))?;
    // Nothing flows before the client has its answer.
    if let Err(failure) = audited::publish_started(&caller.app.audit, caller.by(), &stream).await {
        caller.app.signaling.give_up(described.session);
        return Err(failure);
    }
    Ok(description(&described))
}
