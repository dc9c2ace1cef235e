//! `media:restart`: another offer for a session that goes on, because tracks have come or gone, or the network is another
//! one (ICE restart).

use turnpike_engine::packet::Args;
use turnpike_wire::event::media::{MediaDescription, SdpType};
use turnpike_wire::media::relay::Ask;
use turnpike_wire::media::{MediaSession, Sdp};
use turnpike_wire::{Code, Failure};

use super::media::{Media, description, sdp};
use super::{Caller, data};
use crate::signaling::Described;

pub(super) struct Restart {
    session: MediaSession,
    sdp: Sdp,
}

pub(super) fn parse(args: &Args) -> Result<Restart, Failure> {
    let restart: MediaDescription<'_> = data(args)?;
    Ok(Restart { session: restart.session, sdp: sdp(&restart.sdp)? })
}

pub(super) async fn apply(caller: &Caller, restart: Restart) -> Media {
    let Restart { session, sdp } = restart;
    let answered = caller.app.signaling.ask(&caller.media_client()?, session, Ask::Restart { sdp }).await?;
    // A relay that answers an offer with nothing is broken.
    let sdp = answered.sdp.ok_or(Code::Internal)?;
    Ok(description(&Described { session, stream: answered.stream, kind: SdpType::Answer, sdp }))
}
