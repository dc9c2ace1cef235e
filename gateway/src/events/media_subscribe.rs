//! `media:subscribe`: this connection is sent a stream from here on. Whoever brings no offer gets one, to be answered by
//! `media:answer`.

use turnpike_audit::Object;
use turnpike_engine::packet::Args;
use turnpike_guard::limit::Limit;
use turnpike_wire::event::ClientEvent;
use turnpike_wire::event::media::MediaSubscribe;
use turnpike_wire::media::Sdp;
use turnpike_wire::{Failure, RoomId};

use super::media::{Media, description, sdp};
use super::{Caller, data};
use crate::audited;

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
    caller.allows(Limit::Recorded)?;
    let (client, stream) = (caller.media_client()?, subscribe.stream.clone());
    let asked = caller.app.signaling.subscribe(&client, subscribe.stream, subscribe.sdp).await;
    let described = asked
        .map_err(|failure| caller.noted(ClientEvent::MediaSubscribe, Object::Stream, &stream, failure))?;
    // Nothing flows before the client has its answer.
    if let Err(failure) = audited::subscribe_started(&caller.app.audit, caller.by(), &stream).await {
        caller.app.signaling.give_up(described.session);
        return Err(failure);
    }
    Ok(description(&described))
}
