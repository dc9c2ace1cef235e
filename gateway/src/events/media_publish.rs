//! `media:publish`: this connection sends a stream from here on, by way of a relay.

use turnpike_engine::packet::Args;
use turnpike_wire::event::media::MediaPublish;
use turnpike_wire::media::Sdp;
use turnpike_wire::{Failure, RoomId};

use super::media::{Media, description, sdp};
use super::{Caller, data};

pub(super) struct Publish {
    stream: RoomId,
    sdp: Sdp,
}

pub(super) fn parse(args: &Args) -> Result<Publish, Failure> {
    let publish: MediaPublish<'_> = data(args)?;
    Ok(Publish { sdp: sdp(&publish.sdp)?, stream: publish.stream })
}

pub(super) async fn apply(caller: &Caller, publish: Publish) -> Media {
    let described =
        caller.app.signaling.publish(&caller.media_client()?, publish.stream, publish.sdp).await?;
    Ok(description(&described))
}
