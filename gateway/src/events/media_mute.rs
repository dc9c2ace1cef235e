//! `media:mute`: a publisher sends nothing for a while, or a viewer wants nothing.

use turnpike_engine::packet::Args;
use turnpike_wire::Failure;
use turnpike_wire::event::media::MediaMute;
use turnpike_wire::media::relay::Ask;

use super::media::{Media, done};
use super::{Caller, data};

pub(super) fn parse(args: &Args) -> Result<MediaMute, Failure> {
    data(args)
}

pub(super) async fn apply(caller: &Caller, mute: MediaMute) -> Media {
    done(caller, mute.session, Ask::Mute(mute.mute)).await
}
