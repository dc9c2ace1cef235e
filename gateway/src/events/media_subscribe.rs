//! `media:subscribe`: this connection is sent a stream from here on. Whoever brings no offer gets one, to be answered by
//! `media:answer`.

use turnpike_engine::packet::Args;
use turnpike_wire::event::media::MediaSubscribe;
use turnpike_wire::media::Sdp;
use turnpike_wire::{Failure, RoomId};

use super::media::{Media, description, sdp};
use super::{Caller, data};

pub(super) struct Subscribe {
    stream: RoomId,
    sdp: Option<Sdp>,
}

pub(super) fn parse(args: &Args) -> Result<Subscribe, Failure> {
    let subscribe: MediaSubscribe<'_> = data(args)?;
    let sdp = subscribe.sdp.as_deref().map(sdp).transpose()?;
    Ok(Subscribe { stream: subscribe.stream, sdp })
}

pub(super) async fn apply(caller: &Caller, subscribe: Subscribe) -> Media {
    let described =
        caller.app.signaling.subscribe(&caller.media_client()?, subscribe.stream, subscribe.sdp).await?;
    Ok(description(&described))
}
